"""A few connections to one server, used in the callers' own threads and greenlets.

A caller acquires one, has its command answered, and releases it. What does not end well is
discarded: the background hub reads the reply that is owed and closes the connection politely,
so that nobody can get another's reply.
"""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Callable
from time import monotonic

from spalloc_gevent.address import bracketed
from spalloc_gevent.errors import ClosedError, ConnectionLostError, ProtocolError, SpallocError
from spalloc_gevent.transport import native
from spalloc_gevent.transport.background import BackgroundUse
from spalloc_gevent.transport.backoff import ConnectBackoff
from spalloc_gevent.transport.connection import (
    CLOSE_WITHIN_S,
    CONNECT_WITHIN_S,
    Connection,
    connect,
)
from spalloc_gevent.transport.growers import Growers
from spalloc_gevent.transport.line import Line, PlaceInLine, first_for
from spalloc_gevent.transport.tracked_jobs import TrackedJobs
from spalloc_gevent.transport.waiting import sleep
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

DEFAULT_LIMIT = 8
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
        self._line = Line()
        self._growers = Growers(
            self._background,
            self.backoff,
            wanted=self._connections_wanted,
            next_attempt_at=self._next_attempt_of_grower,
            connect=self._connect_for_line,
        )
        self._held_by_keepalives = 0
        self._connecting: Request | None = None
        """What a caller connects for, in its own context."""
        self._is_proving = False
        self._told_down = False

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
        return len(self._line)

    @property
    def is_entered_here(self) -> bool:
        """True if this very thread is in the middle of the pool: a finaliser, or a handler."""
        return bool(self._lock._is_owned())

    @property
    def retry_delay_s(self) -> float:
        """Seconds between attempts at present: what was said, unless that would lose a job."""
        return self.backoff.delay_for(self._tracked.shortest_keepalive_s)

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
                (self._line.keepalives if keepalive else self._line.callers).append(place)
                self._serve()
            # Seldom: it wakes the background thread.
            is_paused = self.backoff.is_pending
            if not place.woken and (
                new or self._draining or is_paused or self._growers.is_wanted()
            ):
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
            self._line.leave(place)
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
                if self._line:
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
            connection, places = self._idle[-1], self._line.keepalives
            place = first_for(connection, places, at_once)
            if place is None and self._is_free_for_callers():
                places = self._line.callers
                place = first_for(connection, places, at_once)
            if place is None:
                return
            # In this order, an interruption in between loses nothing but the connection.
            self._idle.pop()
            self._give(connection, place.request, places is self._line.keepalives)
            place.wake(connection)
            places.remove(place)

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
            connection: not verified: while jobs are held, that comes first, in the background.
        """
        with self._lock:
            self.backoff.connected()
            stale, self._idle = self._idle, []
            self._outdated_before = connection.made_at
            for old in stale:
                self._open.discard(old)
            is_wanted = not self._closed and self._room() > 0
            needs_verifying = is_wanted and self._tracked.count > 0
            if needs_verifying:
                connection.holder = _PROBE
                self._open.add(connection)
            elif is_wanted:
                self._make_idle(connection, at_once=True)
        for old in stale if is_wanted else (*stale, connection):
            self.drain(old)
        if needs_verifying:
            try:
                self._background.spawn(self._verify_and_add, connection)
            except SpallocError:
                # The program ends: nobody else can do it.
                self.discard(connection, _PROBE)

    def _verify_and_add(self, connection: Connection) -> None:
        try:
            self._verify(connection)
        except (OSError, ProtocolError) as error:
            _log.debug("a new connection broke: %s", error)
            self._grow_if_wanted()
        else:
            self._add(connection)

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
        if self._line.wants_new and self._idle:
            self._close_longest_idle()

    def _adopt(self, connection: Connection) -> bool:
        """Use a connection again whose late reply has come; False if nobody needs it."""
        with self._lock:
            room = len(self._open) + self._growers.count < self._limit
            if self._closed or not room or not self._tracked.is_verified(connection):
                return False
            self._make_idle(connection)
            return True

    def _make_idle(self, connection: Connection, *, at_once: bool = False) -> None:
        self._enter(connection)
        self._idle.append(connection)
        self._serve(at_once=at_once)

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
        if self.waiting and self._room() <= self._growers.count:
            self._make_room()
        self._growers.start()

    def _connections_wanted(self) -> int:
        """How many more could be made for those who have no idle connection to come."""
        if self._closed:
            return 0
        # Plain threads fetch an idle one later.
        idle = 0 if self._line.wants_new else len(self._idle)
        return min(self.waiting - idle, self._room())

    def _room(self) -> int:
        """For how many more connections there is a place, for those who wait."""
        kept = self._tracked.count and not self._line.keepalives and not self._held_by_keepalives
        drained = sum(c.request is None or c.request.late_reply is None for c in self._draining)
        return self._limit - len(self._open) - drained - bool(kept) - bool(self._connecting)

    def _next_attempt_of_grower(self) -> float | None:
        if not self._line:
            return None
        return self.next_attempt_at(by_caller=self._line.asks_at_once(self.backoff.tried_at))

    def _connect_for_line(self) -> None:
        try:
            connection = self._make_connection()
        except (OSError, ProtocolError) as error:
            if not isinstance(error, ConnectionLostError):
                host = bracketed(self.host)
                told = f"the server at {host}:{self.port} closed a new connection: {error}"
                error = ConnectionLostError(told)
            self._attempt_failed(error, goes_on=self._is_server_waited_for)
        else:
            self._add(connection)

    def _make_connection(self) -> Connection:
        """A new connection that leads to the right server, which answers there."""
        patience_s = max(SHORTEST_PATIENCE_S, self._tracked.shortest_keepalive_s * PATIENCE_SHARE)
        within_s = min(CONNECT_WITHIN_S, patience_s)
        connection = connect(self.host, self.port, monotonic() + within_s)
        with self._lock:
            connection.holder = _PROBE
            self._open.add(connection)
        self._verify(connection)
        return connection

    def _verify(self, connection: Connection) -> None:
        """See that it leads to our jobs' server, and that it is answered there."""
        try:
            self._tracked.verify(connection, self.ask_another)
            if not connection.has_answered and self._should_probe():
                if connection.exchange(_PROBE, monotonic() + PROBE_WITHIN_S) is None:
                    told = f"{bracketed(self.host)}:{self.port} did not answer on a new connection"
                    raise ConnectionLostError(told)
                self._tracked.answered(connection)
        except BaseException:
            with self._lock:
                self._open.discard(connection)
            self.drain(connection)
            raise

    def _should_probe(self) -> bool:
        """True if others can serve meanwhile: they have answered, and this one may never do."""
        first = next(iter(self._line), None)
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
                # Who still waits would have another one made.
                self._make_idle(connection, at_once=True)
                return
            self._open.discard(connection)
        connection.close()

    def lost(self, connection: Connection, error: Exception) -> None:
        """A connection broke in use: one that had never answered was a vain attempt."""
        if connection.is_inherited or self._closed or connection.has_answered:
            return
        told = f"the server at {bracketed(self.host)}:{self.port} closed a new connection: {error}"
        # Those who wait are not told: the command may have been the cause.
        self._note_failure(ConnectionLostError(told), goes_on=self._is_server_waited_for)

    @property
    def _is_server_waited_for(self) -> bool:
        """True if a server that is away is tried again and again, and not told as an error."""
        return self._tracked.count > 0 or self._line.waits_for_server

    def _attempt_failed(self, error: Exception, *, goes_on: bool) -> None:
        self._note_failure(error, goes_on=goes_on)
        with self._lock:
            # Open connections still serve those who wait.
            if not self._open:
                self._line.fail_impatient(error)

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
            _log.info("the server at %s:%d answers again", bracketed(self.host), self.port)
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
            line, self._line = self._line, Line()
            for place in line:
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


_PROBE = Request("version")


def _nothing() -> None:
    """What is done where nobody wants to know."""
