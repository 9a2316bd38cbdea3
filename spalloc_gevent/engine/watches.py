"""Wanted notifications: armed on a connection of their own, re-armed, fanned out.

Notifications share no connection with other commands: unread ones would turn
the close of a killed client into a reset, with commands in flight behind it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

import gevent
import gevent.event

from spalloc_gevent.deadline import Clock
from spalloc_gevent.engine.arming import Armed, Key, Kind
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import Connection
from spalloc_gevent.engine.dialling import Dialler
from spalloc_gevent.engine.hub import HubThread
from spalloc_gevent.engine.outcome import NotSettledError, Outcome
from spalloc_gevent.engine.pool import Pool
from spalloc_gevent.engine.reachability import Reachability
from spalloc_gevent.engine.roll import Vetting
from spalloc_gevent.engine.vouching import WORD_WITHIN_S, Vouching
from spalloc_gevent.errors import (
    ClosedError,
    ConnectionLostError,
    SpallocError,
    SpallocServerException,
)
from spalloc_gevent.wire.messages import Notification

_log = logging.getLogger(__name__)

ARM_TIMEOUT_S = 5.0
PROBE_AFTER_S = 20.0
"""A watch that is quiet for this long is asked for again, to see that its link lives."""


class Changes:
    """Counts what may have happened to one job; from outside one can wait for the next."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[Outcome[int]] = []

    def happened(self) -> None:
        """Something may have changed; on the hub."""
        self.count += 1
        waiting, self._waiting = self._waiting, []
        for outcome in waiting:
            outcome.settle(self.count)

    def await_beyond(self, seen: int, outcome: Outcome[int]) -> None:
        """Settle `outcome` once the count is more than `seen`; on the hub."""
        if self.count > seen:
            outcome.settle(self.count)
        else:
            self._waiting.append(outcome)

    def forget(self, outcome: Outcome[int]) -> None:
        if outcome in self._waiting:
            self._waiting.remove(outcome)


class Listener(Protocol):
    """Who is told every notification, and of gaps between them; on the hub."""

    def notified(self, notification: Notification, /) -> None: ...

    def lost(self, error: Exception, /) -> None:
        """Notifications may be missed from now on."""

    def caught_up(self) -> None:
        """From now on they come again; what happened meanwhile has told nobody."""


class Watches:
    """The watches on one server; every method runs on the hub."""

    def __init__(
        self,
        thread: HubThread,
        dial: Dialler,
        pool: Pool,
        vouching: Vouching,
        clock: Clock = time.monotonic,
    ) -> None:
        self._thread = thread
        self._dial = dial
        self._pool = pool
        self._vouching = vouching
        self._reachability = Reachability()
        self._clock = clock
        self._wanted: dict[Kind, Counter[Key]] = {kind: Counter() for kind in Kind}
        self._armed: dict[Kind, Armed] = {}
        self._jobs: dict[int, set[Changes]] = {}
        self._listeners: set[Listener] = set()
        self._connection: Connection | None = None
        self._awaiting_sync: list[Outcome[None]] = []
        self._missed = False
        self._closed = False
        self._news = gevent.event.Event()
        self._back = gevent.event.Event()
        self._keeper: gevent.Greenlet[..., Any] | None = None

    @property
    def connections(self) -> int:
        return int(self._connection is not None)

    @property
    def longest_delay_s(self) -> float:
        return self._reachability.longest_delay_s

    @longest_delay_s.setter
    def longest_delay_s(self, value: float) -> None:
        self._reachability.longest_delay_s = value

    def try_now(self) -> None:
        """The server has been heard of elsewhere: wait no longer for the next attempt."""
        self._back.set()

    # -- what is wanted -----------------------------------------------------

    def want(self, kind: Kind, key: Key) -> None:
        """Have notifications about `key` come; counted, so as often as it is unwanted."""
        self._wanted[kind][key] += 1
        self._wake_keeper()

    def unwant(self, kind: Kind, key: Key) -> None:
        self._wanted[kind][key] -= 1
        if self._wanted[kind][key] <= 0:
            del self._wanted[kind][key]
        self._wake_keeper()

    def watch_job(self, job_id: int, changes: Changes) -> None:
        """Count in `changes` whatever may have happened to the job."""
        self._jobs.setdefault(job_id, set()).add(changes)
        self.want(Kind.JOB, job_id)

    def unwatch_job(self, job_id: int, changes: Changes) -> None:
        watching = self._jobs.get(job_id, set())
        if changes not in watching:
            return
        watching.discard(changes)
        if not watching:
            del self._jobs[job_id]
        self.unwant(Kind.JOB, job_id)

    def listen(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def unlisten(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def when_armed(self, outcome: Outcome[None]) -> None:
        """Settle `outcome` when the server has confirmed what is wanted now, or fail it."""
        self._awaiting_sync.append(outcome)
        self._wake_keeper()

    def _wake_keeper(self) -> None:
        self._news.set()
        if self._keeper is None and not self._closed:
            self._keeper = self._thread.spawn(self._keep)

    # -- the keeper: one greenlet that arms, probes and reconnects ------------

    def _keep(self) -> None:
        try:
            while not self._closed:
                self._keep_once()
        finally:
            # One that was being dialled when everything was closed is nobody else's.
            if self._closed:
                self._drop_connection()

    def _keep_once(self) -> None:
        self._news.clear()
        try:
            self._bring_up_to_date()
        except ConnectionLostError as error:
            self._unreachable(error)
            self._news.clear()
            self._back.clear()
            self._back.wait(self._reachability.wait_s(self._clock()))
        else:
            self._rest()

    def _bring_up_to_date(self) -> None:
        if not self._wants_any and self._connection is None:
            self._in_step()
            return
        self._connect()
        while (step := self._next_step()) is not None:
            self._take_step(*step)
        self._in_step()

    def _connect(self) -> None:
        if self._connection is None:
            self._connection = Connection(self._thread, self._dial(), self)
            self._armed = {kind: Armed(kind) for kind in Kind}
            self._reachability.connected()
            # To watch a job by its number may count as its keepalive.
            self._vouching.admit(self._connection)
            if not self._is_vouched_for(self._connection):
                self._vet()

    def _is_vouched_for(self, connection: Connection) -> bool:
        if not connection.vouched:
            self._have_the_pool_ask()
        return self._vouching.vouches_for(connection)

    def _have_the_pool_ask(self) -> None:
        """Have a command answered that is newer than our connection."""
        call = Call("version")
        self._pool.submit(call)
        try:
            call.outcome.wait(WORD_WITHIN_S)
        except NotSettledError:
            self._pool.abandon(call)
        except SpallocError as error:
            _log.debug("no word from another connection: %s", error)

    def _vet(self) -> None:
        vetting = Vetting(self._vouching.roll, ARM_TIMEOUT_S)
        while (call := vetting.next_call(Outcome())) is not None:
            self._converse(call)

    def _next_step(self) -> tuple[Armed, str, Key] | None:
        for kind, armed in self._armed.items():
            command = armed.next_command(self._ours(kind))
            if command is not None:
                return armed, *command
        return None

    def _ours(self, kind: Kind) -> list[Key]:
        """What is wanted, without the jobs whose numbers are others' now."""
        return [key for key in self._wanted[kind] if not self._vouching.roll.is_gone(key)]

    @property
    def _wants_any(self) -> bool:
        return any(self._ours(kind) for kind in Kind)

    def _take_step(self, armed: Armed, command: str, key: Key) -> None:
        self._ask(command, key)
        armed.done(command, key)
        self._missed = self._missed or not command.startswith("no_")

    def _ask(self, command: str, key: Key) -> None:
        # For all without an argument, which both servers take: the Java server refuses null.
        self._converse(Call(command, () if key is None else (key,)))

    def _converse(self, call: Call) -> None:
        connection = self._connection
        if connection is None:
            raise ConnectionLostError("the connection for notifications was lost")
        connection.send(call, self._clock())
        try:
            call.outcome.wait(ARM_TIMEOUT_S)
        except NotSettledError:
            self._give_up(connection, call)
        except SpallocServerException as error:
            _log.warning("no notifications: %s", error)

    def _give_up(self, connection: Connection, call: Call) -> None:
        call.abandon()
        connection.abandon()
        self._connection = None
        connection.retire()
        raise ConnectionLostError(
            f"{self._dial.where} did not answer {call.name!r} in {ARM_TIMEOUT_S:g} s",
            may_have_happened=True,
        )

    def _in_step(self) -> None:
        self._reachability.answered()
        waiting, self._awaiting_sync = self._awaiting_sync, []
        for outcome in waiting:
            outcome.settle(None)
        # What happened before a watch was armed has told nobody: everyone looks once.
        if self._missed:
            self._missed = False
            self._all_jobs_may_have_changed()
            for listener in list(self._listeners):
                listener.caught_up()

    def _all_jobs_may_have_changed(self) -> None:
        for watching in list(self._jobs.values()):
            _tell(watching)

    def _rest(self) -> None:
        if self._news.wait(PROBE_AFTER_S) or self._closed or self._connection is None:
            return
        if not self._wants_any:
            self._drop_connection()
            return
        self._probe()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.retire()

    def _probe(self) -> None:
        armed = next(armed for armed in self._armed.values() if armed.keys)
        try:
            self._ask(f"notify_{armed.kind.value}", next(iter(armed.keys)))
        except ConnectionLostError as error:
            self._unreachable(error)

    def _unreachable(self, error: Exception) -> None:
        self._reachability.failed(error, self._clock())
        waiting, self._awaiting_sync = self._awaiting_sync, []
        for outcome in waiting:
            outcome.fail(ConnectionLostError(str(error)))

    # -- what the connection tells ------------------------------------------

    def idle(self, connection: Connection) -> None:
        """Nothing is waiting: the keeper sends the next command itself."""

    def gone(self, connection: Connection, error: Exception, call: Call | None) -> None:
        if call is not None:
            call.lost(self._dial.where, error)
        self._vouching.dismiss(connection)
        if connection is self._connection:
            self._connection = None
            _log.info("the connection for notifications was lost: %s", error)
            for listener in list(self._listeners):
                listener.lost(error)
            self._news.set()

    def job_changed(self, job_id: int) -> None:
        """Something is known of the job that no notification told."""
        _tell(self._jobs.get(job_id, ()))

    def notified(self, notification: Notification) -> None:
        for job_id in _changed_jobs(notification):
            self.job_changed(job_id)
        for listener in list(self._listeners):
            listener.notified(notification)

    def close(self) -> None:
        """Close the connection politely and wake everyone who waits."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.kill(block=False)
        self._drop_connection()
        self._all_jobs_may_have_changed()
        for outcome in self._awaiting_sync:
            outcome.fail(ClosedError("the client was closed"))
        for listener in list(self._listeners):
            listener.lost(ClosedError("the client was closed"))


def _tell(watching: Iterable[Changes]) -> None:
    for changes in list(watching):
        changes.happened()


def _changed_jobs(notification: Notification) -> list[int]:
    ids = notification.body.get(Kind.JOB.label)
    return [job_id for job_id in ids if isinstance(job_id, int)] if isinstance(ids, list) else []
