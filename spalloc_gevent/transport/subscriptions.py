"""Subscriptions to notifications: one greenlet, one connection of their own.

Notifications share no connection with other commands: unread ones would turn the close of a
killed client into a reset, with commands in flight behind it.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any, Protocol

from spalloc_gevent.address import bracketed
from spalloc_gevent.errors import ClosedError, ConnectionLostError, ProtocolError
from spalloc_gevent.transport import database
from spalloc_gevent.transport.background import BackgroundUse
from spalloc_gevent.transport.connection import CONNECT_WITHIN_S, Connection, connect
from spalloc_gevent.transport.notification_queue import Key, Kind
from spalloc_gevent.transport.pool import Pool
from spalloc_gevent.transport.tracked_jobs import TrackedJobs
from spalloc_gevent.transport.waiting import ChangeCounter, Waiter, wait_readable
from spalloc_gevent.wire.messages import ErrorReply, Notification
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

MAX_SINGLE = 8
"""A few jobs or machines are subscribed to one by one; past this number, all with one command
(the Java server starts a thread for each)."""
ANSWER_WITHIN_S = 5.0
PROBE_AFTER_S = 20.0
"""A connection that is quiet for so long is asked for a subscription again, to see if it lives."""
LIVES_AFTER_S = 2.0
"""A connection that is lost sooner has led nowhere: the next attempt keeps its delay."""
RENEW_AFTER_S = 0.25
"""On the Java server a subscription to all jobs does not cover those that are made after it:
it is renewed for them, at most this often."""


class Listener(Protocol):
    """Who is told every notification, and of gaps between them; in the background."""

    def put(self, body: dict[str, Any], /) -> None: ...

    def put_gap(self, error: Exception, /) -> None:
        """Notifications may have been missed."""

    def caught_up(self) -> None:
        """From now on they come again; what happened meanwhile has told nobody."""


class Confirmed:
    """The subscriptions of one kind that the server has confirmed on one connection."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.keys: set[Key] = set()

    def next_command(self, wanted: Collection[Key]) -> tuple[str, Key] | None:
        """The command, and its argument, that brings these nearer to what is `wanted`.

        Returns:
            None when they cover it. Once there is one for all it stays until nothing is
            wanted any more: going back and forth would cost more.
        """
        all_of_them = None in wanted or None in self.keys or len(wanted) > MAX_SINGLE
        target: set[Key] = {None} if wanted and all_of_them else set(wanted)
        if missing := target - self.keys:
            return f"notify_{self.kind.value}", _first(missing)
        # One by one before all: the Python server forgets every one with the latter.
        if spare := self.keys - target:
            return f"no_notify_{self.kind.value}", _first(spare - {None} or spare)
        return None

    def done(self, command: str, key: Key) -> None:
        """The server has carried out a command of :meth:`next_command`."""
        if command.startswith("no_"):
            self.keys.discard(key)
        else:
            self.keys.add(key)


def _first(keys: Collection[Key]) -> Key:
    return min(keys, key=lambda key: (key is None, str(key)))


class Subscriptions:
    """What is subscribed to on one server; every method runs in the background."""

    def __init__(
        self, host: str, port: int, background: BackgroundUse, pool: Pool, tracked: TrackedJobs
    ) -> None:
        self._host = host
        self._port = port
        self._background = background
        self._pool = pool
        self._tracked = tracked
        self._not_before = -math.inf
        """When the next attempt may be made, after a connection that answered and led nowhere."""
        self._is_asked = False
        """True if a caller has asked for an attempt, and it was not made yet."""
        self._wanted: dict[Kind, Counter[Key]] = {kind: Counter() for kind in Kind}
        self._confirmed: dict[Kind, Confirmed] = {}
        self._job_watchers: dict[int, list[Callable[[], object]]] = {}
        self._unseen: list[Callable[[], object]] = []
        """Watchers that have not been called since their subscription was confirmed."""
        self._renewed_at = 0.0
        self._uncovered = False
        """True if jobs are watched that were made after the subscription to all of them."""
        self._listeners: set[Listener] = set()
        self._connection: Connection | None = None
        self._outcomes = ChangeCounter()
        self._error: Exception | None = None
        self._is_in_step = False
        self._news = Waiter()
        self._is_running = False
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return int(self._connection is not None)

    @property
    def are_harmless(self) -> bool:
        """True unless the server, as far as is known, suffers from them."""
        return self._tracked.server.bears_subscriptions

    # -- what is wanted -------------------------------------------------------------------

    def subscribe(self, kind: Kind, key: Key) -> None:
        """Have notifications about `key` come; counted, so as often as it is unsubscribed."""
        self._wanted[kind][key] += 1
        self._wake()

    def unsubscribe(self, kind: Kind, key: Key) -> None:
        self._wanted[kind][key] -= 1
        if self._wanted[kind][key] <= 0:
            del self._wanted[kind][key]
        self._wake()

    def watch_job(self, job_id: int, on_change: Callable[[], object]) -> None:
        """Have ``on_change()`` called now, and whenever the job may have changed."""
        self._job_watchers.setdefault(job_id, []).append(on_change)
        self._unseen.append(on_change)
        self._uncovered = True
        self.subscribe(Kind.JOB, job_id)

    def unwatch_job(self, job_id: int, on_change: Callable[[], object]) -> None:
        """Undo :meth:`watch_job`; harmless when that is done."""
        watchers = self._job_watchers.get(job_id, [])
        if on_change not in watchers:
            return
        watchers.remove(on_change)
        if not watchers:
            del self._job_watchers[job_id]
        self.unsubscribe(Kind.JOB, job_id)

    def listen(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def unlisten(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def wait_until_confirmed(self, deadline: float) -> bool:
        """Wait until the server has confirmed what is wanted now; False at the deadline.

        Raises:
            ConnectionLostError: the attempt to tell it has failed.
            ClosedError: the client was closed.
        """
        self._is_in_step = False
        self._is_asked = True
        self._wake()
        while not self._is_in_step:
            if not self._outcomes.wait_beyond(self._outcomes.count, deadline):
                return False
            if self._error is not None:
                raise type(self._error)(str(self._error))
        return True

    def try_now(self) -> None:
        """The server has been heard of elsewhere: wait no longer for the next attempt."""
        if self._connection is None:
            self._wake()

    def _wake(self) -> None:
        if not self._news.woken:
            self._news.wake()
        if (
            not self._is_running
            and not self._closed
            and (self._keys_wanted or not self._is_in_step)
        ):
            self._is_running = True
            self._background.hub.spawn_here(self._run)

    @property
    def _keys_wanted(self) -> bool:
        return any(self._wanted_of(kind) for kind in Kind)

    def _wanted_of(self, kind: Kind) -> list[Key]:
        """Without the jobs whose numbers are others' now, and machines whose server would not
        let go of them."""
        if kind is Kind.MACHINE and not self._tracked.server.lets_go_of_machines:
            return []
        return [key for key in self._wanted[kind] if self._tracked.why_lost(key) is None]

    # -- the greenlet -----------------------------------------------------------------------

    def _run(self) -> None:
        """Subscribe, read, tell; subscribe again after a cut; until nothing is wanted."""
        try:
            while self._pause_before_attempt():
                try:
                    self._connection = self._connect()
                    self._serve(self._connection)
                except (OSError, ProtocolError) as error:
                    self._lost(error)
                finally:
                    self._hang_up()
            self._report(None)
        finally:
            self._is_running = False

    def _pause_before_attempt(self) -> bool:
        """Wait until an attempt may be made; False once nobody wants one any more."""
        while self._keys_wanted and not self._closed:
            moment = self._pool.next_attempt_at(by_caller=self._is_asked)
            if not self._is_asked:
                moment = max(moment, self._not_before)
            if monotonic() >= moment:
                return True
            self._news = Waiter()
            self._news.wait(moment)
        return False

    def _connect(self) -> Connection:
        self._is_asked = False
        self._pool.backoff.began(monotonic())
        connection = connect(self._host, self._port, monotonic() + CONNECT_WITHIN_S)
        connection.notified = self._notified
        self._confirmed = {kind: Confirmed(kind) for kind in Kind}
        try:
            # To subscribe to a job by its number may count as its keepalive.
            self._tracked.verify(connection, self._pool.ask_another)
        except BaseException:
            self._pool.drain(connection)
            raise
        return connection

    def _serve(self, connection: Connection) -> None:
        self._unseen = [watcher for all_of in self._job_watchers.values() for watcher in all_of]
        quiet_since = monotonic()
        while self._keys_wanted and not self._closed:
            self._news = Waiter()
            self._bring_up_to_date(connection)
            deadline = quiet_since + PROBE_AFTER_S
            if self._needs_renewal():
                deadline = self._renewed_at + RENEW_AFTER_S
            if wait_readable(connection, deadline, self._news):
                connection.receive()
                connection.acknowledge_quickly()
                quiet_since = monotonic()
            elif monotonic() >= quiet_since + PROBE_AFTER_S:
                self._probe(connection)
                quiet_since = monotonic()

    def _bring_up_to_date(self, connection: Connection) -> None:
        has_missed = False
        while (command := self._next_command(connection)) is not None:
            confirmed, name, key = command
            if (name, key) == ("notify_job", None):
                # Before it is sent: what is watched meanwhile may be too late for it.
                self._renewed_at, self._uncovered = monotonic(), False
            self._ask(connection, name, key)
            confirmed.done(name, key)
            has_missed = True
            self._pool.answered()
        self._report(None)
        # What happened before the subscription was there has told nobody: all look once.
        if has_missed:
            for listener in list(self._listeners):
                listener.caught_up()
        unseen, self._unseen = self._unseen, []
        for on_change in unseen:
            on_change()

    def _next_command(self, connection: Connection) -> tuple[Confirmed, str, Key] | None:
        for kind, confirmed in self._confirmed.items():
            if kind is Kind.JOB and self._needs_renewal() and self._may_renew():
                self._ask(connection, "no_notify_job", None)
                # However few are wanted by now: going back to single ones would cost more.
                return confirmed, "notify_job", None
            if kind is Kind.MACHINE and self._wanted[kind] and not connection.has_answered:
                # Not to be subscribed to before it is known what server it is.
                self._ask(connection, "version", None)
            command = confirmed.next_command(self._wanted_of(kind))
            if command is not None:
                return confirmed, *command
        return None

    def _needs_renewal(self) -> bool:
        is_for_all = None in self._confirmed[Kind.JOB].keys
        return self._uncovered and is_for_all and not self._tracked.server.subscribes_to_new_jobs

    def _may_renew(self) -> bool:
        return monotonic() >= self._renewed_at + RENEW_AFTER_S

    def _ask(self, connection: Connection, name: str, key: Key) -> None:
        # For all without an argument, which both servers take: the Java server refuses null.
        request = Request(name, () if key is None else (key,))
        reply = database.exchange(connection, request, monotonic() + ANSWER_WITHIN_S)
        if reply is None:
            host = bracketed(self._host)
            told = f"{host}:{self._port} did not answer {name!r} in {ANSWER_WITHIN_S:g} s"
            raise ConnectionLostError(told, may_have_happened=True)
        self._tracked.server.learn(connection)
        if isinstance(reply, ErrorReply):
            _log.warning("no notifications: the server refused %r: %s", name, reply.reason)

    def _probe(self, connection: Connection) -> None:
        kind, keys = next((kind, c.keys) for kind, c in self._confirmed.items() if c.keys)
        self._ask(connection, f"notify_{kind.value}", next(iter(keys)))

    def _report(self, error: Exception | None) -> None:
        """Tell those who wait for a confirmation what came of it."""
        self._error = error
        self._is_in_step = error is None
        self._outcomes.increment()

    def _lost(self, error: Exception) -> None:
        _log.info("the connection for notifications was lost: %s", error)
        connection, now = self._connection, monotonic()
        if connection is None or not connection.has_answered:
            self._pool.backoff.failed(error, now)
        elif now < connection.made_at + LIVES_AFTER_S:
            self._not_before = connection.made_at + self._pool.retry_delay_s
        self._report(ConnectionLostError(str(error)))
        if connection is not None:
            for listener in list(self._listeners):
                listener.put_gap(error)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.owes_reply:
            self._pool.drain(connection)
        elif connection is not None:
            connection.close()

    # -- what is told -------------------------------------------------------------------------

    def _notified(self, notification: Notification) -> None:
        ids = notification.body.get(Kind.JOB.label)
        for job_id in ids if isinstance(ids, list) else ():
            for on_change in self._job_watchers.get(job_id, ()) if isinstance(job_id, int) else ():
                on_change()
        for listener in list(self._listeners):
            listener.put(notification.body)

    def close(self) -> None:
        """Tell everybody who waits or listens that there is nothing more to come."""
        self._closed = True
        error = ClosedError("the client was closed")
        self._report(error)
        for listener in list(self._listeners):
            listener.put_gap(error)
        if not self._news.woken:
            self._news.wake()

    def forked(self) -> None:
        """In a forked child: let go of the parent's connection."""
        if self._connection is not None:
            self._connection.close_in_child()
