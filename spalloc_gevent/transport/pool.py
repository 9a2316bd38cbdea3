"""A few connections to one server, used in the callers' own threads and greenlets.

A caller acquires one, has its command answered, and releases it. What does not end well is
discarded: the background hub reads the reply that is owed and closes the connection politely,
so that nobody can get another's reply.
"""

from __future__ import annotations

import logging
import math
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic

from spalloc_gevent.errors import ClosedError, ConnectionLostError, ProtocolError, SpallocError
from spalloc_gevent.transport import native
from spalloc_gevent.transport.background import BackgroundUse
from spalloc_gevent.transport.backoff import RECONNECT_DELAY_S, ConnectBackoff
from spalloc_gevent.transport.connection import (
    CLOSE_WITHIN_S,
    CONNECT_WITHIN_S,
    Connection,
    connect,
)
from spalloc_gevent.transport.tracked_jobs import TrackedJobs
from spalloc_gevent.transport.waiting import Waiter, sleep
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

DEFAULT_LIMIT = 8
MOST_GROWING = 4
"""The server's backlog is 5: no more connections than this are made at once."""

HAND_OVER_AFTER_S = 0.01
"""A plain thread is woken for a connection only after this time in the line. Woken at once, for
every call anew, it would cost more than the call."""

UNUSED_FOR_S = 30.0
"""A connection that was not used for so long is not used again: what lies between may have
forgotten it, and a command on it would be answered by silence."""

PROBE_WITHIN_S = 5.0
ANOTHER_WITHIN_S = 0.25
"""How long another connection may take to answer, before the list is asked for."""
DRAIN_WITHIN_S = 5.0
DRAIN_CREATION_WITHIN_S = 60.0
"""A reply that somebody looks after, as that to create_job, is waited for longer."""

PATIENCE_SHARE = 0.125
"""The share of the shortest keepalive after which an attempt to connect is taken for vain."""
SHORTEST_PATIENCE_S = 0.25
SHORTEST_DELAY_S = 0.05
HARMLESS_SHARE = 0.25
"""A keepalive is due at half of its interval: a delay between attempts of this share of it
leaves time for two of them, and loses no job."""
RESCUE_SHARE = 0.125
SHORTEST_RESCUE_S = 0.5
"""Where the delay is longer, attempts come after this share of the shortest keepalive, but not
more than two a second."""


class PlaceInLine(Waiter):
    """One caller that waits for a connection; woken with one, or with an error."""

    __slots__ = ("look_at", "request", "since", "wants_new")

    def __init__(self, request: Request, wants_new: bool) -> None:
        super().__init__()
        self.request = request
        self.wants_new = wants_new
        """True if only a connection will do that is made from now on."""
        self.since = monotonic()
        self.look_at = math.inf
        """When it looks itself for what was left idle; only the first in line does."""

    def is_early(self) -> bool:
        """True while a plain thread has not waited long enough to be woken.

        It looks itself then: those that leave idle what they would find again may stay away.
        """
        if not self.blocks_thread or monotonic() - self.since >= HAND_OVER_AFTER_S:
            return False
        if self.look_at == math.inf:
            self.look_at = self.since + HAND_OVER_AFTER_S
            self.nudge()
        return True

    def hub_ended(self) -> None:
        """The connection that it was woken with, if so, is given up."""
        if isinstance(self.value, Connection):
            self.value.lose()


class Pool:
    """The connections to one server.

    While jobs are held, callers leave one connection, or the place for one, to the
    keepalives: whoever holds one may be stopped for any time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        background: BackgroundUse,
        tracked: TrackedJobs,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        """Make an empty pool.

        Args:
            host, port: the server.
            background: where connections are made and drained when a caller cannot do so.
            tracked: the jobs that a new connection has to be verified for.
            limit: the most connections that carry commands.
        """
        self.host = host
        self.port = port
        self.backoff = ConnectBackoff()
        self._said_delay_s: float | None = None
        """The shortest delay between attempts that anybody has said."""
        self.on_answer_after_outage: Callable[[], object] = _nothing
        self._background = background
        self._tracked = tracked
        self._outdated_before = -math.inf
        """Connections from before this moment are used no more once their reply has come."""
        self._limit = limit
        self._closed = False
        self._start_anew()

    def _start_anew(self) -> None:
        # Re-entrant: a finaliser, or a signal handler, may use the pool in the middle of this.
        self._lock = native.new_rlock()
        self._idle: list[Connection] = []
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._draining: set[Connection] = set()
        self._keepalives: deque[PlaceInLine] = deque()
        self._line: deque[PlaceInLine] = deque()
        self._growers = 0
        self._held_by_keepalives = 0
        self._connecting: Request | None = None
        """What a caller connects for, in its own context."""
        self._is_proving = False
        self._told_down = False
        self._grower_pause: Waiter | None = None

    # -- what is there ------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """How many connections are open, those being drained included."""
        return len(self._open) + len(self._draining)

    @property
    def in_flight(self) -> int:
        return sum(connection.owes_reply for connection in list(self._open))

    @property
    def waiting(self) -> int:
        return len(self._line) + len(self._keepalives)

    @property
    def is_entered_here(self) -> bool:
        """True if this very thread is in the middle of the pool: a finaliser, or a handler."""
        return bool(self._lock._is_owned())

    def set_reconnect_delay(self, delay_s: float) -> None:
        """Try a server that is away once in this time; the least patient user decides.

        Args:
            delay_s: seconds from the beginning of one attempt to that of the next.
        """
        said_s = math.inf if self._said_delay_s is None else self._said_delay_s
        self._said_delay_s = min(said_s, max(delay_s, SHORTEST_DELAY_S))

    @property
    def reconnect_delay_s(self) -> float:
        """Seconds between attempts to reach a server that is away, as was said."""
        return RECONNECT_DELAY_S if self._said_delay_s is None else self._said_delay_s

    @property
    def retry_delay_s(self) -> float:
        """Seconds between attempts at present: what was said, unless that would lose a job."""
        delay_s = self.reconnect_delay_s
        keepalive_s = self._tracked.shortest_keepalive_s
        if delay_s <= keepalive_s * HARMLESS_SHARE:
            return delay_s
        return min(delay_s, max(SHORTEST_RESCUE_S, keepalive_s * RESCUE_SHARE))

    # -- acquiring ----------------------------------------------------------------------

    def acquire(
        self, request: Request, deadline: float, *, new: bool = False, keepalive: bool = False
    ) -> Connection | None:
        """A connection for one exchange; to be released, or discarded.

        Args:
            request: what it is for; names the holder, too.
            deadline: when to give up, on the monotonic clock.
            new: one that is made from now on.
            keepalive: before all others, with the place that is kept for this.

        Returns:
            The connection, or None at the deadline.

        Raises:
            ConnectionLostError: the server cannot be reached, and `request` does not wait
                for it.
            ClosedError: the pool is closed.
        """
        while True:
            connection = None
            if self._idle and not new:
                with self._lock:
                    if self._idle and (keepalive or self._is_free_for_callers()):
                        connection = self._give(self._idle.pop(), request, keepalive)
            if connection is None:
                connection = self._wait_in_line(request, deadline, new, keepalive)
                if connection is None:
                    return None
            if connection.is_clean(UNUSED_FOR_S):
                return connection
            self.discard(connection, request)
            self._note_break()

    def _is_free_for_callers(self) -> bool:
        """True if a caller may take an idle connection: the last one is for the keepalives."""
        return (
            not self._tracked.count
            or len(self._idle) > 1
            or self._held_by_keepalives > 0
            or len(self._open) < self._limit
        )

    def _give(self, connection: Connection, request: Request, keepalive: bool) -> Connection:
        connection.holder = request
        if keepalive:
            connection.serves_keepalive = True
            self._held_by_keepalives += 1
        return connection

    def _wait_in_line(
        self, request: Request, deadline: float, new: bool, keepalive: bool
    ) -> Connection | None:
        connection = self._connect_here(request, deadline)
        if connection is not None or monotonic() >= deadline:
            return connection
        place = PlaceInLine(request, new)
        try:
            with self._lock:
                if self._closed:
                    raise ClosedError(f"{request.name!r} was called on a closed client")
                (self._keepalives if keepalive else self._line).append(place)
                self._serve()
            # Seldom: it wakes the background thread.
            is_paused = self.backoff.is_pending
            if not place.woken and (new or self._draining or is_paused or self._wants_grower()):
                self._background.call_soon(self._start_growers)
            return self._await_turn(place, deadline)
        except BaseException:
            self._leave_line(place)
            raise

    def _await_turn(self, place: PlaceInLine, deadline: float) -> Connection | None:
        while not place.wait(min(deadline, place.look_at)):
            now = monotonic()
            if now >= deadline:
                self._leave_line(place)
                return None
            if now >= place.look_at:
                with self._lock:
                    place.look_at = math.inf
                    self._serve()
        if isinstance(place.value, BaseException):
            raise place.value
        connection: Connection = place.value
        return connection

    def _leave_line(self, place: PlaceInLine) -> None:
        with self._lock:
            for line in (self._keepalives, self._line):
                if place in line:
                    line.remove(place)
        if isinstance(place.value, Connection):
            # It came just now: somebody else can have it.
            self.release(place.value, place.request)

    # -- giving back --------------------------------------------------------------------

    def release(self, connection: Connection, request: Request) -> None:
        """Give a clean connection back, to be used by others; harmless when it was given back."""
        self._tracked.answered(connection)
        if self.backoff.is_pending:
            self.answered()
        with self._lock:
            if connection.holder is not request:
                return
            if connection.serves_keepalive:
                connection.serves_keepalive = False
                self._held_by_keepalives -= 1
            connection.holder = None
            if not self._closed and connection.made_at >= self._outdated_before:
                self._idle.append(connection)
                if self._line or self._keepalives:
                    self._serve()
                elif connection.used_at - self._idle[0].used_at > UNUSED_FOR_S:
                    self._close_longest_idle()
                return
            self._open.discard(connection)
        connection.close()

    def _close_longest_idle(self) -> None:
        connection = self._idle.pop(0)
        self._open.discard(connection)
        self.drain(connection)

    def _serve(self, *, at_once: bool = False) -> None:
        """Give idle connections to those who wait, the keepalives first.

        Args:
            at_once: also to a plain thread that has not waited for long yet.
        """
        while self._idle:
            connection, line = self._idle[-1], self._keepalives
            place = _first_for(connection, line, at_once)
            if place is None and self._is_free_for_callers():
                line = self._line
                place = _first_for(connection, line, at_once)
            if place is None:
                return
            # In this order, an interruption in between loses nothing but the connection.
            self._idle.pop()
            self._give(connection, place.request, line is self._keepalives)
            place.wake(connection)
            line.remove(place)

    def discard(self, connection: Connection, request: Request | None) -> None:
        """Take a connection out of use; what it owes is read in the background.

        Args:
            connection: one that was acquired.
            request: what for; harmless when another one has it by now.
        """
        with self._lock:
            self._serve()
            if connection.holder is not request or connection not in self._open:
                return
            self._held_by_keepalives -= connection.serves_keepalive
            connection.serves_keepalive = False
            self._open.discard(connection)
        self.drain(connection)
        self._grow_if_wanted()

    def discard_older(self, moment: float) -> None:
        """Take out of use all idle connections that were not answered on since `moment`."""
        with self._lock:
            stale = [connection for connection in self._idle if connection.used_at < moment]
        for connection in stale:
            with self._lock:
                if connection not in self._idle:
                    continue
                self._idle.remove(connection)
                self._open.discard(connection)
            self.drain(connection)

    def renew(self, connection: Connection) -> None:
        """Use a connection that was just made, and no other one from before.

        Args:
            connection: not verified, so that it is closed again while jobs are held.
        """
        with self._lock:
            self.backoff.connected()
            stale, self._idle = self._idle, []
            self._outdated_before = connection.made_at
            for old in stale:
                self._open.discard(old)
            is_wanted = not self._closed and not self._tracked.count and self._room() > 0
            if is_wanted:
                self._enter(connection)
                self._idle.append(connection)
                self._serve(at_once=True)
        for old in stale if is_wanted else (*stale, connection):
            self.drain(old)

    # -- draining -----------------------------------------------------------------------

    def drain(self, connection: Connection) -> None:
        """Read what is owed, and close politely; in the background where something is owed."""
        connection.dropped = None
        if not connection.is_open_and_owes():
            connection.sock.close()
            return
        self._draining.add(connection)
        try:
            # What it needs is not this client's: that may be closed meanwhile.
            self._background.hub.acquire()
            self._background.hub.drain(self._drain_here, connection)
        except SpallocError:
            # The program ends: nobody else can do it.
            self._draining.discard(connection)
            connection.close()
        except BaseException:
            connection.sock.close()
            raise

    def _drain_here(self, connection: Connection) -> None:
        request = connection.request
        assert request is not None, "a reply is owed"
        within_s = DRAIN_WITHIN_S if request.late_reply is None else DRAIN_CREATION_WITHIN_S
        try:
            reply = connection.reply(monotonic() + within_s)
            if reply is not None and request.late_reply is not None:
                then = request.late_reply(reply)
                if then is not None:
                    reply = connection.exchange(then, monotonic() + within_s)
            if reply is not None and self._adopt(connection):
                return
            connection.close()
        except (OSError, ProtocolError) as error:
            _log.debug("a connection broke while it was drained: %s", error)
        finally:
            self._draining.discard(connection)
            if connection not in self._open:
                connection.sock.close()
            self._start_growers()
            self._background.hub.release()

    def _make_room(self) -> None:
        """Close what others wait behind: a connection that is drained, or an old idle one."""
        if any(connection.has_ended_reading for connection in self._draining):
            return  # That one makes room.
        for connection in list(self._draining):
            if connection.request is not None and connection.request.late_reply is None:
                connection.end_reading()
                return
        wants_new = any(place.wants_new for place in (*self._keepalives, *self._line))
        if wants_new and self._idle:
            self._close_longest_idle()

    def _adopt(self, connection: Connection) -> bool:
        """Use a connection again whose late reply has come; False if nobody needs it."""
        with self._lock:
            room = len(self._open) + self._growers < self._limit
            if self._closed or not room or not self._tracked.is_verified(connection):
                return False
            self._enter(connection)
            self._idle.append(connection)
            self._serve()
            return True

    def _enter(self, connection: Connection) -> None:
        connection.holder = None
        connection.dropped = self._dropped
        self._open.add(connection)

    def _dropped(self, connection: Connection) -> None:
        """An interruption has struck between two steps: nobody holds it, or ever will."""
        with self._lock:
            self._held_by_keepalives -= connection.serves_keepalive
            self._open.discard(connection)
        self.drain(connection)
        self._grow_if_wanted()

    # -- connecting in the caller's own context -----------------------------------------

    def _connect_here(self, request: Request, deadline: float) -> Connection | None:
        """Connect if there is no connection, nor a background hub that could make one."""
        if self._open or self._background.started:
            return None
        try:
            with self._lock:
                if self._closed or self._open or self._connecting is not None:
                    return None
                self._connecting = request
            by_caller = request.tries_at_once
            while self._pause_until(self.next_attempt_at(by_caller=by_caller), deadline):
                self.backoff.began(monotonic())
                try:
                    connection = connect(self.host, self.port, deadline)
                except ConnectionLostError as error:
                    self._attempt_failed(error, goes_on=request.wait_for_server)
                    if monotonic() >= deadline:
                        return None
                    if not request.wait_for_server:
                        raise
                    by_caller = False
                else:
                    with self._lock:
                        self._enter(connection)
                        return self._give(connection, request, False)
            return None
        finally:
            if self._connecting is request:
                self._connecting = None
                self._grow_if_wanted()

    @staticmethod
    def _pause_until(moment: float, deadline: float) -> bool:
        """Wait; False at the deadline."""
        while (pause_s := min(moment, deadline) - monotonic()) > 0:
            sleep(pause_s)
        return monotonic() < deadline

    def next_attempt_at(self, *, by_caller: bool) -> float:
        """When the server may be tried again; as :meth:`ConnectBackoff.next_attempt_at`."""
        return self.backoff.next_attempt_at(self.retry_delay_s, by_caller=by_caller)

    # -- growing, in the background -----------------------------------------------------

    def _grow_if_wanted(self) -> None:
        if not self.waiting or self._closed:
            return
        self._background.call_soon(self._start_growers)

    def _start_growers(self) -> None:
        if self._grower_pause is not None and not self._grower_pause.woken:
            self._grower_pause.wake()
        if self.waiting and self._room() <= self._growers:
            self._make_room()
        while self._wants_grower():
            self._growers += 1
            self._background.hub.spawn_here(self._grow)

    def _wants_grower(self) -> bool:
        """True if one more could make a connection for who waits; one at a time in an outage."""
        if self.backoff.is_pending and self._growers:
            return False
        room = min(self._room(), MOST_GROWING)
        return self._growers < room and self._growers < self._unserved

    @property
    def _unserved(self) -> int:
        """How many wait who have no idle connection to come: plain threads fetch one later."""
        waiting = [*self._keepalives, *self._line]
        wants_new = any(place.wants_new for place in waiting)
        return len(waiting) - (0 if wants_new else len(self._idle))

    def _room(self) -> int:
        """For how many more connections there is a place, for those who wait."""
        kept = self._tracked.count and not self._keepalives and not self._held_by_keepalives
        drained = sum(c.request is None or c.request.late_reply is None for c in self._draining)
        return self._limit - len(self._open) - drained - bool(kept) - bool(self._connecting)

    def _grow(self) -> None:
        """Make connections as long as somebody waits for one and there is room."""
        try:
            while self._is_grower_needed():
                self._pause_before_attempt()
                self.backoff.began(monotonic())
                try:
                    connection = self._make_connection()
                except (OSError, ProtocolError) as error:
                    if not isinstance(error, ConnectionLostError):
                        told = f"the server at {self.host}:{self.port} closed a new connection"
                        error = ConnectionLostError(f"{told}: {error}")
                    self._attempt_failed(error, goes_on=self._is_server_waited_for)
                else:
                    self._add(connection)
        finally:
            self._growers -= 1

    def _is_grower_needed(self) -> bool:
        # Each of the other growers has a connection in the making.
        if self._closed or min(self._unserved, self._room()) < self._growers:
            return False
        return self._growers == 1 or not self.backoff.is_pending

    def _pause_before_attempt(self) -> None:
        while self.waiting:
            moment = self.next_attempt_at(by_caller=self._is_asked_for)
            if monotonic() >= moment:
                return
            self._grower_pause = Waiter()
            self._grower_pause.wait(moment)

    @property
    def _is_asked_for(self) -> bool:
        """True if a caller does not wait for the server, or has come since the last attempt."""
        tried_at = self.backoff.tried_at
        return any(
            not place.request.wait_for_server
            or (place.request.tries_at_once and place.since > tried_at)
            for place in list(self._line)
        )

    def _make_connection(self) -> Connection:
        """A new connection that leads to the right server, which answers there."""
        patience_s = max(SHORTEST_PATIENCE_S, self._tracked.shortest_keepalive_s * PATIENCE_SHARE)
        within_s = min(CONNECT_WITHIN_S, patience_s)
        connection = connect(self.host, self.port, monotonic() + within_s)
        with self._lock:
            connection.holder = _PROBE
            self._open.add(connection)
        try:
            self._tracked.verify(connection, self.ask_another)
            if not connection.has_answered and self._should_probe():
                if connection.exchange(_PROBE, monotonic() + PROBE_WITHIN_S) is None:
                    told = f"{self.host}:{self.port} did not answer on a new connection"
                    raise ConnectionLostError(told)
                self._tracked.answered(connection)
        except BaseException:
            with self._lock:
                self._open.discard(connection)
            self.drain(connection)
            raise
        return connection

    def _should_probe(self) -> bool:
        """True if others can serve meanwhile: they have answered, and this one may never do."""
        first = next(iter((*self._keepalives, *self._line)), None)
        can_others_serve = any(other.has_answered for other in list(self._open))
        return can_others_serve and not (first is not None and first.wants_new)

    def ask_another(self) -> None:
        """Have a connection that is in use answer: it leads to the server that has our jobs."""
        if all(connection.holder is _PROBE for connection in list(self._open)):
            return
        deadline = monotonic() + max(ANOTHER_WITHIN_S, 2 * self._tracked.slow_reply_s)
        try:
            connection = self.acquire(_PROBE, deadline, keepalive=True)
        except ProtocolError:
            return
        if connection is None:
            return
        try:
            if connection.exchange(_PROBE, deadline):
                self.release(connection, _PROBE)
        except (OSError, ProtocolError) as error:
            _log.debug("an idle connection broke: %s", error)
        finally:
            self.discard(connection, _PROBE)

    def _add(self, connection: Connection) -> None:
        if connection.has_answered:
            self.answered()
        with self._lock:
            if not self._closed:
                self._enter(connection)
                self._idle.append(connection)
                # Who still waits would have another one made.
                self._serve(at_once=True)
                return
            self._open.discard(connection)
        connection.close()

    def lost(self, connection: Connection, error: Exception) -> None:
        """A connection broke in use: one that had never answered was a vain attempt."""
        if connection.is_inherited or self._closed:
            return
        if connection.has_answered:
            self._note_break()
            return
        told = f"the server at {self.host}:{self.port} closed a new connection: {error}"
        # Those who wait are not told: the command may have been the cause.
        self._note_failure(ConnectionLostError(told), goes_on=self._is_server_waited_for)

    def _note_break(self) -> None:
        """A connection broke that had answered: without another, the server may be away."""
        if not any(connection.has_answered for connection in list(self._open)):
            self.backoff.broke()

    @property
    def _is_server_waited_for(self) -> bool:
        """True if a server that is away is tried again and again, and not told as an error."""
        places = (*self._keepalives, *self._line)
        return self._tracked.count > 0 or any(place.request.wait_for_server for place in places)

    def _attempt_failed(self, error: Exception, *, goes_on: bool) -> None:
        self._note_failure(error, goes_on=goes_on)
        with self._lock:
            # Open connections still serve those who wait.
            if self._open:
                return
            waiting = [place for place in self._line if not place.request.wait_for_server]
            for place in waiting:
                self._line.remove(place)
                place.wake(ConnectionLostError(str(error)))

    def _note_failure(self, error: Exception, *, goes_on: bool) -> None:
        # Once for each outage, however often a connection is made and leads nowhere meanwhile.
        is_news = goes_on and not self._told_down
        _log.log(logging.WARNING if is_news else logging.DEBUG, "trying again: %s", error)
        self._told_down = self._told_down or goes_on
        self.backoff.failed(error, monotonic())

    # -- what replies tell --------------------------------------------------------------

    def answered(self) -> None:
        """The server has replied: who waits for it may go on."""
        if not self.backoff.is_pending:
            return
        self.backoff.answered()
        if self._told_down:
            self._told_down = False
            _log.info("the server at %s:%d answers again", self.host, self.port)
        self._grow_if_wanted()
        self.on_answer_after_outage()

    def prove(self, connection: Connection, request: Request) -> bool:
        """Have a new connection made and answered, to see whether the others are frozen.

        Args:
            connection, request: what is waited for at present.

        Returns:
            False if that connection had to make room for the new one.
        """
        if self._is_proving:
            return True
        self._is_proving = True
        self._background.spawn(self._prove)
        with self._lock:
            has_room = bool(self._idle) or len(self._open) < self._limit
        if not has_room:
            self.discard(connection, request)
        return has_room

    def _prove(self) -> None:
        request = Request("version", wait_for_server=True)
        try:
            deadline = monotonic() + PROBE_WITHIN_S
            connection = self.acquire(request, deadline, new=True, keepalive=True)
            if connection is None:
                return
            try:
                if connection.exchange(request, deadline) is not None:
                    self.release(connection, request)
            finally:
                self.discard(connection, request)
        except (OSError, ProtocolError) as error:
            _log.debug("a new connection broke: %s", error)
        finally:
            self._is_proving = False

    # -- the end ------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections politely; who waits hears of it, at once or by its reply."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
            waiting = [*self._keepalives, *self._line]
            self._keepalives.clear()
            self._line.clear()
            for place in waiting:
                told = f"the client was closed before {place.request.name!r} was sent"
                place.wake(ClosedError(told))
            held = [connection for connection in self._open if connection not in idle]
        for connection in (*idle, *held):
            connection.end_writing()
        deadline = monotonic() + CLOSE_WITHIN_S
        for connection in idle:
            connection.dropped = None
            connection.close(deadline)

    @property
    def is_closed(self) -> bool:
        return self._closed

    def forked(self) -> None:
        """In a forked child: let go of the parent's connections, and start anew."""
        for connection in (*self._open, *self._draining):
            connection.close_in_child()
        self._start_anew()


def _first_for(
    connection: Connection, line: deque[PlaceInLine], at_once: bool
) -> PlaceInLine | None:
    """The first in the line that a connection will do for, if it is time."""
    while line and (line[0].woken or line[0].hub_is_gone):
        # Left over by an interruption between its wake and its leaving the line.
        line[0].signal()
        line.popleft()
    for place in line:
        if not at_once and place.is_early():
            return None
        if not place.wants_new or connection.made_at >= place.since:
            return place
    return None


_PROBE = Request("version")


def _nothing() -> None:
    """What is done where nobody wants to know."""
