"""Which connection carries which call: one command in flight on each, a few connections in all."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from spalloc_gevent.deadline import Clock
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import Connection
from spalloc_gevent.engine.dialling import Dialler
from spalloc_gevent.engine.held import are_gone, why_gone
from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.engine.lending import Lender, Loan
from spalloc_gevent.engine.queue import CallQueue
from spalloc_gevent.engine.reachability import Reachability
from spalloc_gevent.engine.roll import Roll
from spalloc_gevent.engine.vouching import Doubted, Vouching
from spalloc_gevent.errors import ClosedError, ConnectionLostError, JobDestroyedError
from spalloc_gevent.wire.messages import Notification

_log = logging.getLogger(__name__)

DEFAULT_LIMIT = 8
MOST_UNPROVEN = 4
"""The server's backlog is 5: no more connections than this wait for their first answer."""

RETIRE_AFTER_S = 5.0
"""A connection whose abandoned command is this old is given up for another."""

STALLED_AFTER_S = 5.0
"""A command unanswered for this long gives its connection up to a keepalive that waits for one."""

IDLE_FOR_S = 30.0
"""Connections idle for this long are closed, all but one."""


class Pool:
    """The connections to one server; every method runs on the hub.

    A call takes an idle connection, else a new one up to `limit`, else waits in
    order. What a lost connection carried is sent again if that is harmless. To
    plain threads connections are lent: busy until they are home again.
    """

    def __init__(
        self,
        thread: HubThread,
        dial: Dialler,
        *,
        limit: int = DEFAULT_LIMIT,
        reachability: Reachability | None = None,
        vouching: Vouching | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._thread = thread
        self._dial = dial
        self._limit = limit
        self._clock = clock
        self._reachability = reachability or Reachability()
        self._vouching = vouching or Vouching(Roll(), clock)
        self._doubted = Doubted(thread, self._vouching, self._send, self._free, clock)
        self.lender = Lender(thread, self._came_home)
        self._queue = CallQueue()
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}
        self._draining: set[Connection] = set()
        self._dialling = 0
        self.stalled_after_s = STALLED_AFTER_S
        self.when_back: Callable[[], object] = lambda: None
        """Called when a server that was away answers again."""
        self._redial: Timer | None = None
        self._relief: Timer | None = None
        self._shrink: Timer | None = None
        self._told_away = False
        self._watchdog: Timer | None = None
        self._watching_until = math.inf
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open, those being closed politely included."""
        return len(self._open) + len(self._draining)

    @property
    def in_flight(self) -> int:
        return sum(connection.in_flight is not None for connection in list(self._open))

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def trouble(self) -> str:
        """Why the server cannot be reached at present; empty when it can."""
        return str(self._reachability.error or "")

    @property
    def longest_delay_s(self) -> float:
        return self._reachability.longest_delay_s

    @longest_delay_s.setter
    def longest_delay_s(self, value: float) -> None:
        self._reachability.longest_delay_s = value

    # -- calls in and out ---------------------------------------------------

    def submit(self, call: Call) -> None:
        """Send `call` as soon as a connection is free for it.

        If it is on its way already, over a connection that was lent, that one
        comes home with it.
        """
        if not call.introduces:
            call.held = self._vouching.roll.known_as(call.job_id)
        self.lender.bring_home(call)
        if call.sends:
            return
        self.lender.count(call)
        if self._closed and not (call.outlives_caller and self._open):
            call.outcome.fail(ClosedError(f"{call.name!r} was called on a closed client"))
        elif self._reachability.down and not self._open and not call.patient:
            self._submit_while_down(call)
        else:
            self._queue.append(call)
            if not self._idle:
                self.lender.free_one(soon=not call.lendable or not self._kept)
            if self._idle or not self._is_full or call.urgent_at is not None:
                self._pump()

    @property
    def _is_full(self) -> bool:
        return len(self._open) + self._dialling >= self._limit

    @property
    def _kept(self) -> int:
        """How many connections are open and not lent."""
        return len(self._open) - len(self.lender.loans)

    @property
    def _may_lend(self) -> bool:
        """Whether plain threads may have a connection that has become idle.

        The last one only as long as nobody waits for it; and none while another
        one still needs the word that its answers give.
        """
        return (
            self.lender.willing(len(self._queue))
            and (self._kept > 1 or not (self._queue or self._dialling))
            and all(self._vouching.vouches_for(one) for one in self._open)
            and not self._closed
        )

    def _submit_while_down(self, call: Call) -> None:
        if not self._dialling and not self._reachability.open_to_impatient(self._clock()):
            self._fail([call])
            return
        self._queue.append(call)
        if not self._dialling:
            self._start_dialling()

    def abandon(self, call: Call) -> None:
        """The caller of `call` has given up; its connection is busy until the late answer."""
        call.abandon()
        self.lender.bring_home(call)
        connection = next((c for c in self._open if c.in_flight is call), None)
        if connection is None:
            return
        if not call.outlives_caller:
            connection.abandon()
        call.answer_by = self._clock() + RETIRE_AFTER_S
        self._look_after(call)

    # -- frozen connections ---------------------------------------------------

    def _look_after(self, call: Call) -> None:
        """Wake up by when `call` has to be answered; or earlier, if another has to be."""
        if call.answer_by is None or call.answer_by >= self._watching_until:
            return
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watching_until = call.answer_by
        delay_s = call.answer_by - self._clock()
        self._watchdog = self._thread.timer(delay_s, self._leave_frozen)

    def _leave_frozen(self) -> None:
        self._watchdog = None
        self._watching_until = math.inf
        now = self._clock()
        for connection in list(self._open):
            call = connection.in_flight
            if call is None or call.answer_by is None:
                continue
            if call.answer_by <= now:
                self._leave(connection, call)
            else:
                self._look_after(call)

    def _leave(self, connection: Connection, call: Call) -> None:
        """Give up a connection that does not answer; what it carried takes another."""
        _log.info("no answer to %r in time: taking another connection", call.name)
        connection.abandon()
        if call.repeatable and call.wanted:
            self._queue.append_left(call)
        self._retire(connection)

    def _relieve_later(self) -> None:
        if self._relief is None and self._queue.has_urgent and not self._closed:
            self._relief = self._thread.timer(self.stalled_after_s, self._relieve)

    def _relieve(self) -> None:
        """A keepalive waits, perhaps behind calls that will never be answered: leave those."""
        self._relief = None
        if not self._queue.has_urgent:
            return
        stalled_since = self._clock() - self.stalled_after_s
        for connection in list(self._open):
            call = connection.in_flight
            if call is not None and call.sent_before(stalled_since) and call.may_move:
                self._leave(connection, call)
        self._relieve_later()

    # -- sending ------------------------------------------------------------

    def _pump(self) -> None:
        while self._queue and self._idle:
            connection, since = self._idle.popitem()
            if not connection.stays_idle():
                continue
            now = self._clock()
            call = self._queue.take(now)
            if call is None:
                self._idle[connection] = since
                return
            if are_gone(call.held):
                self._idle[connection] = since
                why = f"job {call.job_id} is gone: {why_gone(call.held)}"
                call.outcome.fail(JobDestroyedError(why))
            elif self._vouching.may_carry(connection, call):
                self._send(connection, call, now)
            else:
                self._queue.append_left(call)
                self._doubted.take(connection, others=any(one.vouched for one in self._open))
                self.lender.recall_all()
        if self._queue and not self._idle:
            self._grow()
            self._relieve_later()

    def _send(self, connection: Connection, call: Call, now: float | None = None) -> None:
        now = self._clock() if now is None else now
        connection.send(call, now)
        if self._closed and call.answer_by is None:
            call.answer_by = now + RETIRE_AFTER_S
        self._look_after(call)

    # -- growing ------------------------------------------------------------

    def _grow(self) -> None:
        if self._closed and self._open:
            return
        if self._reachability.down:
            self._try_again_later()
            return
        if self._is_full:
            return
        unproven = self._dialling + sum(not c.proven for c in self._open)
        room = min(self._limit - len(self._open) - self._dialling, MOST_UNPROVEN - unproven)
        for _ in range(min(room, len(self._queue) - self._dialling)):
            self._start_dialling()

    def _try_again_later(self) -> None:
        """While the server is away: one attempt at a time, paced."""
        if not self._dialling and self._redial is None:
            wait_s = self._reachability.wait_s(self._clock())
            self._redial = self._thread.timer(wait_s, self._redial_now)

    def _requeue(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self._queue.append(call)

    def _redial_now(self) -> None:
        self._redial = None
        if self._queue and not self._dialling and self._reachability.down:
            self._start_dialling()

    def _fail(self, calls: list[Call]) -> None:
        reason = str(self._reachability.error)
        for call in calls:
            call.outcome.fail(ConnectionLostError(reason))

    def _start_dialling(self) -> None:
        self._dialling += 1
        self._thread.spawn(self._dial_one)

    def _dial_one(self) -> None:
        began_at = self._clock()
        try:
            sock = self._dial()
        except ConnectionLostError as error:
            self._dialling -= 1
            self._server_away(error, began_at)
        else:
            self._dialling -= 1
            self._dialled(sock)

    def _server_away(self, error: Exception, began_at: float | None = None) -> None:
        # Once for each outage, however often a connect succeeds and leads nowhere meanwhile.
        level = logging.DEBUG if self._told_away else logging.WARNING
        _log.log(level, "trying again: %s", error)
        self._told_away = True
        self._reachability.failed(error, self._clock(), began_at)
        # Open connections still serve those who wait, or bring them here when they break.
        if not self._open:
            self._fail_impatient()
        self._pump()

    def _new_one_lost(self, error: Exception) -> None:
        """A connection that never answered: the first may be bad luck, the next one is not."""
        if self._reachability.doubtful:
            told = f"the server at {self._dial.where} closed a new connection: {error}"
            self._server_away(ConnectionLostError(told))
        else:
            self._reachability.doubt()
            self._pump()

    def _fail_impatient(self) -> None:
        waiting = list(self._queue.drain())
        self._requeue(call for call in waiting if call.patient)
        self._fail([call for call in waiting if not call.patient])

    def _dialled(self, sock: Any) -> None:
        connection = Connection(self._thread, sock, self)
        self._vouching.admit(connection)
        self._open.add(connection)
        self._reachability.connected()
        self._free(connection)

    def _free(self, connection: Connection) -> None:
        self._idle[connection] = self._clock()
        self._pump()
        if self._closed and connection in self._idle:
            self._retire(connection)
        elif len(self._open) > 1 and self._shrink is None and not self._closed:
            self._shrink = self._thread.timer(IDLE_FOR_S, self._close_long_idle)

    # -- what connections tell ----------------------------------------------

    def idle(self, connection: Connection) -> None:
        if not self._is_ours(connection):
            return
        if self._may_lend:
            self.lender.lend(connection)
        else:
            self._free(connection)

    def _is_ours(self, connection: Connection) -> bool:
        """Take note of an answer; False if what follows it is not up to this pool."""
        if self._reachability.doubtful:
            self._reachability.answered()
            self._tell_back()
            self.when_back()
        return self._doubted.answered(connection)

    def _tell_back(self) -> None:
        if self._told_away:
            self._told_away = False
            _log.info("the server at %s answers again", self._dial.where)

    def _came_home(self, loan: Loan) -> None:
        connection = loan.connection
        was_idle = connection.in_flight is None
        connection.take_back(loan.error, in_doubt=loan.in_doubt)
        if loan.in_doubt:
            self._retire(connection)
        elif was_idle and connection in self._open:
            # It is ours in any case: none that is doubted is lent.
            self._is_ours(connection)
            self._free(connection)
        if self._closed:
            self._retire_all()

    def gone(self, connection: Connection, error: Exception, call: Call | None) -> None:
        was_draining = connection in self._draining
        self._draining.discard(connection)
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._doubted.dismiss(connection)
        if call is not None:
            self._after_loss(call, error)
        if self._closed and not self._open:
            self._fail_all()
        if was_draining or self._closed:
            return
        if connection.proven:
            _log.info("a connection was lost: %s", error)
            self._pump()
        else:
            self._new_one_lost(error)

    def _after_loss(self, call: Call, error: Exception) -> None:
        if call.may_be_sent_again and not self._closed:
            self._queue.append_left(call)
        elif not call.outcome.settled:
            call.lost(self._dial.where, error)

    def notified(self, notification: Notification) -> None:
        _log.debug("a notification that nobody asked for on this connection: %s", notification.body)

    # -- shrinking ----------------------------------------------------------

    def _close_long_idle(self) -> None:
        self._shrink = None
        now = self._clock()
        # The most recently used are taken first, so the oldest stand in front.
        for connection, since in list(self._idle.items())[: len(self._open) - 1]:
            if now - since >= IDLE_FOR_S:
                self._retire(connection)
        if len(self._open) > 1 and not self._closed:
            self._shrink = self._thread.timer(IDLE_FOR_S / 2, self._close_long_idle)

    def _retire(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._doubted.dismiss(connection)
        self._draining.add(connection)
        connection.retire()
        if not self._closed:
            self._pump()

    def close(self) -> None:
        """Close every connection politely; calls that outlive their callers still go out."""
        if self._closed:
            return
        self._closed = True
        self._cancel_timers()
        self.lender.stop()
        for call in list(self._queue.drain()):
            self._close_call(call)
        self._pump()
        self._retire_all()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """What still goes out after the end is waited for as long as what was given up."""
        if not self._open:
            self._fail_all()
        for connection in self._open:
            call = connection.in_flight
            if call is not None and call.answer_by is None:
                call.answer_by = self._clock() + RETIRE_AFTER_S
            if call is not None:
                self._look_after(call)

    def _fail_all(self) -> None:
        for call in list(self._queue.drain()):
            self._fail_closed(call)

    def _retire_all(self) -> None:
        for connection in list(self._idle if self._queue else self._open):
            call = connection.in_flight
            if not connection.lent and (call is None or call.late is None):
                self._retire(connection)

    def _close_call(self, call: Call) -> None:
        if call.outlives_caller and not self._reachability.down:
            self._queue.append(call)
        else:
            self._fail_closed(call)

    @staticmethod
    def _fail_closed(call: Call) -> None:
        reason = f"the client was closed before {call.name!r} was sent"
        call.outcome.fail(ClosedError(reason))

    def _cancel_timers(self) -> None:
        for timer in (self._redial, self._shrink, self._watchdog, self._relief):
            if timer is not None:
                timer.cancel()
        self._redial = self._shrink = self._watchdog = self._relief = None
        self._watching_until = math.inf
