"""What the clients of one server share: connections, subscriptions and tracked jobs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from spalloc_gevent.address import bracketed
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import (
    ClosedError,
    ConnectionLostError,
    JobDestroyedError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
)
from spalloc_gevent.guardian.guarded_jobs import DestroyedJob
from spalloc_gevent.transport import database, native
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.connection import CLOSE_WITHIN_S, Connection, connect
from spalloc_gevent.transport.destroy_checks import DestroyChecks
from spalloc_gevent.transport.guardian import Guardian
from spalloc_gevent.transport.notification_queue import Key, Kind, NotificationQueue
from spalloc_gevent.transport.pool import DEFAULT_LIMIT, Pool
from spalloc_gevent.transport.server_kind import ServerKind
from spalloc_gevent.transport.state_lists import StateLists
from spalloc_gevent.transport.subscriptions import Subscriptions
from spalloc_gevent.transport.tracked_jobs import TrackedJobs
from spalloc_gevent.transport.waiting import sleep
from spalloc_gevent.wire.answers import is_database_busy
from spalloc_gevent.wire.checks import check_fits
from spalloc_gevent.wire.commands import Route
from spalloc_gevent.wire.messages import AnyReply, value_of
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

MOST_SENDS = 3
"""A command that loses its connection this often is not sent again: it may be the cause."""
MOST_SENDS_AFTER_VIOLATION = 2
MOST_STALE = 8
"""So many connections may have been made, used by others and lost again before it is sent."""

CALL_LATER_WITHIN_S = 30.0
"""How long a command that outlives its caller is tried."""
STUCK_STEP_S = 0.1
"""How often one that waits for a keepalive's reply looks whether the others are quicker."""


class ServerSession:
    """Connections to one server, the jobs that are held there, and what is heard of them."""

    def __init__(
        self, background: BackgroundHub, host: str, port: int, limit: int = DEFAULT_LIMIT
    ) -> None:
        """Make a session; it connects to nothing yet.

        Args:
            background: the hub for what goes on without the caller.
            host, port: the server.
            limit: the most connections that carry commands.
        """
        self.host = host
        self.port = port
        self.background = background.use()
        self.server = ServerKind()
        """What the server is and can, as far as it is known."""
        self.tracked = TrackedJobs(self.server)
        self.pool = Pool(host, port, self.background, self.tracked, limit)
        self.subscriptions = Subscriptions(host, port, self.background, self.pool, self.tracked)
        self.state_lists = StateLists(self.background, self.call)
        self.pool.on_answer_after_outage = self._try_subscriptions
        self._is_over = False
        self.version_checked = False
        """Set by the user of this session once the server's version has been found good."""
        background.sessions.add(self)

    def __repr__(self) -> str:
        return (
            f"{bracketed(self.host)}:{self.port} {'closed' if self.is_closed else 'open'}, "
            f"{self.pool.connections} connections, {self.pool.in_flight} in-flight, "
            f"{self.pool.waiting} waiting"
        )

    @property
    def is_closed(self) -> bool:
        return self.pool.is_closed

    @property
    def connections(self) -> int:
        """How many connections to the server are open."""
        return self.pool.connections + self.subscriptions.connections

    # -- calls --------------------------------------------------------------------------

    def call(self, request: Request, deadline: Deadline) -> Any:
        """Have a command answered, in the caller's own thread or greenlet.

        A command that only reads, a keepalive and ``destroy_job`` are sent up to three times
        when their connection breaks, up to twice when the server violates the protocol;
        ``create_job`` and power commands once. One that the database was too busy for, whichever,
        has not happened and is sent again until the deadline.

        Args:
            request: the command.
            deadline: when to give up.

        Returns:
            What the server returns.

        Raises:
            ProtocolTimeoutError: no answer by the deadline.
            ConnectionLostError: the server cannot be reached, or the connection broke.
            ProtocolError: the server said what the protocol does not allow.
            SpallocServerException: the server refused.
            JobDestroyedError: the job that it names is known to be lost.
            ClosedError: the session is closed.
        """
        reply = self._send(request, deadline)
        for pause_s in database.pauses() if is_database_busy(reply) else ():
            if not database.may_ask_again(request, reply, pause_s, deadline.at):
                break
            self._pause(pause_s, request)
            reply = self._send(request, deadline)
        return value_of(request.name, reply)

    def _pause(self, seconds: float, request: Request) -> None:
        try:
            sleep(seconds)
        except BaseException:
            self._send_later(request)
            raise

    def _send(self, request: Request, deadline: Deadline) -> AnyReply:
        """The reply to a command, sent again as long as that helps against lost connections."""
        if self._is_over:
            return self._send_directly(request, deadline)
        if request.route is Route.ALONE:
            return self._send_alone(request, deadline)
        sends, stale = 0, 0
        while True:
            connection, was_used = None, False
            try:
                connection = self.pool.acquire(request, deadline.at, new=sends > 0)
                if connection is None:
                    raise self._too_late(request, deadline)
                was_used = sends > 0 and connection.has_answered
                # Only now: what is known of the job may have come while this waited.
                if self.tracked.has_lost:
                    self._check_not_lost(request)
                sends += 1
                request.was_sent = True
                reply = connection.exchange(request, deadline.at)
                if reply is None:
                    raise self._too_late(request, deadline)
                self.pool.release(connection, request)
            except (OSError, ProtocolError) as error:
                if connection is None:
                    raise
                self._lose(connection, request, error)
                if was_used and stale < MOST_STALE and isinstance(error, OSError):
                    # It may have been closed because of what others had asked on it meanwhile.
                    sends, stale = sends - 1, stale + 1
                if not self._may_send_again(request, error, sends):
                    raise self._lost(request, error) from None
                if request.wait_for_server and not connection.has_answered:
                    # The server was away all the time: this was no attempt to ask it.
                    sends = 0
                    request.tries_at_once = False
                continue
            except BaseException:
                if connection is not None:
                    self.pool.discard(connection, request)
                if not sends:
                    self._send_later(request)
                raise
            return reply

    def _send_later(self, request: Request) -> None:
        """The caller has given up: a command that has to go out goes out without it."""
        if request.outlives_caller:
            self.background.spawn(self._call_later, request)

    def _call_later(self, request: Request) -> None:
        """Have a command answered that its caller does not wait for any more."""
        request.outlives_caller = False
        try:
            self.call(request, Deadline(CALL_LATER_WITHIN_S))
        except SpallocError as error:
            _log.debug("%r could not be sent later: %s", request.name, error)

    def keep_alive(self, request: Request, patience_s: float) -> AnyReply | None:
        """Have a keepalive answered; in a greenlet of the background hub.

        A connection on which the reply is late is not left before another one has proved
        quicker: a slow server is no frozen one.

        Args:
            request: a command that names the job.
            patience_s: how long the reply may take, in seconds, before another connection is
                tried.

        Returns:
            The reply, or None if another connection is quicker, or is to be, the server away, or
            its database busy.

        Raises:
            OSError, ProtocolError: the connection broke.
        """
        patience_s = max(patience_s, 1.5 * self.tracked.slow_reply_s)
        connection = self.pool.acquire(request, monotonic() + patience_s * 2, keepalive=True)
        if connection is None:
            return None
        try:
            self._check_not_lost(request)
            connection.send(request, monotonic() + patience_s)
            reply = connection.reply(connection.sent_at + patience_s)
            while reply is None:
                if self.tracked.verified_at > connection.sent_at:
                    _log.info("no reply to %r in time: taking another connection", request.name)
                    self.pool.discard_older(connection.sent_at)
                    return None
                if not self.pool.prove(connection, request):
                    return None
                reply = connection.reply(monotonic() + STUCK_STEP_S)
            self.tracked.note_reply_time(monotonic() - connection.sent_at)
            self.pool.release(connection, request)
            if is_database_busy(reply):
                _log.debug("the database was too busy for a keepalive of job %s", request.job_id)
                return None
            return reply
        except OSError as error:
            self._lose(connection, request, error)
            raise
        finally:
            self.pool.discard(connection, request)

    def _send_alone(self, request: Request, deadline: Deadline) -> AnyReply:
        """Have a command answered that a server may answer by hanging up."""
        if self.is_closed:
            raise ClosedError(f"{request.name!r} was called on a closed client")
        connection = connect(self.host, self.port, deadline.at)
        try:
            reply = connection.exchange(request, deadline.at)
        except (OSError, ProtocolError) as error:
            connection.sock.close()
            raise self._lost(request, error) from None
        except BaseException:
            self.pool.drain(connection)
            raise
        if reply is None:
            self.pool.drain(connection)
            raise self._too_late(request, deadline)
        connection.close()
        return reply

    def _send_directly(self, request: Request, deadline: Deadline) -> AnyReply:
        """The reply, over a connection of its own that is verified here: the program ends."""
        connection = connect(self.host, self.port, deadline.at)
        try:
            self.tracked.verify(connection, _nothing)
            self._check_not_lost(request)
            reply = database.exchange(connection, request, deadline.at)
        finally:
            connection.close()
        if reply is None:
            raise self._too_late(request, deadline)
        return reply

    def _try_subscriptions(self) -> None:
        if self.background.started:
            self.background.call_soon(self.subscriptions.try_now)

    def _check_not_lost(self, request: Request) -> None:
        reason = self.tracked.why_lost(request.job_id)
        if reason is not None:
            raise JobDestroyedError(f"job {request.job_id} is gone: {reason}")

    def _lose(self, connection: Connection, request: Request, error: Exception) -> None:
        _log.info("a connection was lost: %s", error)
        if isinstance(error, OSError):
            connection.sock.close()
        self.pool.discard(connection, request)
        self.pool.lost(connection, error)

    def _may_send_again(self, request: Request, error: Exception, sends: int) -> bool:
        most = MOST_SENDS if isinstance(error, OSError) else MOST_SENDS_AFTER_VIOLATION
        return request.repeatable and sends < most and not self.is_closed

    def _lost(self, request: Request, error: Exception) -> SpallocError:
        name = request.name
        if self.is_closed:
            return ClosedError(f"the client was closed while {name!r} was in flight")
        if not isinstance(error, OSError):
            return ProtocolError(
                f"{bracketed(self.host)}:{self.port} answered {name!r} with nonsense: {error}"
            )
        return ConnectionLostError(
            f"the connection to {bracketed(self.host)}:{self.port} broke before {name!r} "
            f"was answered: {error}; "
            + (
                "sending it again did not help"
                if request.repeatable
                else "the server may or may not have carried it out: "
                "look with list_jobs before asking again"
            ),
            may_have_happened=True,
        )

    def _too_late(self, request: Request, deadline: Deadline) -> ProtocolTimeoutError:
        trouble = self.pool.backoff.error
        return ProtocolTimeoutError(
            f"{bracketed(self.host)}:{self.port} did not answer {request.name!r} "
            f"in {deadline.timeout_s:g} s" + (f" ({trouble})" if trouble else "")
        )

    def check_fits(
        self, size: Sequence[int], options: Mapping[str, Any], deadline: Deadline
    ) -> None:
        """Refuse a job that would stop all allocation on the server.

        Args:
            size, options: the arguments of ``create_job``.
            deadline: when to give up asking for the machines.

        Raises:
            ValueError: no machine there can hold it.
            SpallocError: as for :meth:`call`.
        """
        if len(size) not in (1, 2) or max(size) == 1:
            return
        if not self.server.is_known:
            self.call(Request("version"), deadline)
        if self.server.stops_at_too_large_jobs:
            check_fits(size, options, self.call(Request("list_machines"), deadline))

    # -- destroyed jobs -----------------------------------------------------------------

    def have_guardian_check(self, job_id: int, reason: str | None) -> None:
        """Have the guardian see that a job stays destroyed when the program has ended.

        Where the server may bring it back; in any thread.

        Args:
            job_id: the job, destroyed or about to be.
            reason: for others to read, should it be destroyed again.
        """
        if self.server.may_undo_destroys:
            job = DestroyedJob(self.host, self.port, job_id, reason, monotonic())
            self.background.hub.singleton(Guardian).look_after(job)

    def check_destroyed(self, job_id: int, reason: str | None) -> None:
        """As :meth:`have_guardian_check`, as long as the program runs; in the background.

        In other threads nothing is done: the background has ended.
        """
        hub = self.background.hub
        if self.server.may_undo_destroys and hub.is_current:
            with suppress(ClosedError):
                hub.singleton(DestroyChecks).add(self.host, self.port, job_id, reason)

    # -- notifications ------------------------------------------------------------------

    def open_queue(self) -> NotificationQueue:
        """A queue for the notifications that a client subscribes to."""
        queue = NotificationQueue()
        self.background.call_soon(self.subscriptions.listen, queue)
        return queue

    def subscribe(self, queue: NotificationQueue, kind: Kind, key: Key, deadline: Deadline) -> bool:
        """Have notifications come to `queue`; returns when the server has confirmed it.

        Args:
            queue: one of :meth:`open_queue`.
            kind, key: what about; key None stands for all of the kind.
            deadline: when to give up.

        Returns:
            False at the deadline.
        """

        def change() -> bool:
            if (kind, key) not in queue.subscribed:
                queue.subscribed.add((kind, key))
                self.subscriptions.subscribe(kind, key)
            return self.subscriptions.wait_until_confirmed(deadline.at)

        return self.background.run(change)

    def unsubscribe(
        self, queue: NotificationQueue, kind: Kind, key: Key, deadline: Deadline
    ) -> bool:
        """Undo :meth:`subscribe`; key None undoes all of that kind."""

        def change() -> bool:
            for subscribed_kind, subscribed in list(queue.subscribed):
                if subscribed_kind is kind and key in (None, subscribed):
                    queue.subscribed.discard((kind, subscribed))
                    self.subscriptions.unsubscribe(kind, subscribed)
            return self.subscriptions.wait_until_confirmed(deadline.at)

        return self.background.run(change)

    # -- the end ------------------------------------------------------------------------

    def close(self, wait_s: float = CLOSE_WITHIN_S) -> None:
        """Close every connection politely; the last user of the background waits for its end.

        Args:
            wait_s: for how long, in seconds.
        """
        self.pool.close()
        if self.background.started:
            self.background.call_soon(self.subscriptions.close)
        self.background.close(wait_s)

    def end(self) -> None:
        """The program ends: close every connection politely; later calls make their own."""
        self.pool.close()
        self._is_over = True

    def forked(self) -> None:
        """In a forked child: the connections and jobs are the parent's."""
        self.pool.forked()
        self.subscriptions.forked()
        self.background.forked()
        self.tracked = TrackedJobs(self.server)


def _nothing() -> None:
    """There is no other connection."""


class SharedSession:
    """A client's hold on a session: opened when first needed, and anew in a forked child.

    Those for the same server that are `shared` hold one session, closed with its last holder.
    """

    def __init__(
        self, background: BackgroundHub, host: str, port: int, *, shared: bool = False
    ) -> None:
        """Define a hold; it opens nothing yet.

        Args:
            background: the hub for what goes on without the caller.
            host, port: the server.
            shared: True to use one session with all others that are shared.
        """
        self.host = host
        self.port = port
        self._background = background
        self._key = (host, port) if shared else None
        self._lock = native.new_rlock()
        self._forks = background.forks
        self._session: ServerSession | None = None
        self._is_open = False
        self._was_open = False

    @property
    def in_parent_process(self) -> bool:
        """True in the process that made this, False in its forked children."""
        return self._background.forks == self._forks

    @property
    def held(self) -> ServerSession | None:
        """The session if there is one at present; opens none."""
        return self._session

    def get(self) -> ServerSession:
        """The session, made if need be.

        Raises:
            ProtocolError: :meth:`open` was not called.
            ClosedError: this was closed.
        """
        session = self._session
        if session is not None and not session.is_closed and self.in_parent_process:
            return session
        self._notice_fork()
        with self._lock:
            if not self._is_open:
                raise self._not_open()
            if self._session is None or self._session.is_closed:
                self._session = self._open()
            return self._session

    def _not_open(self) -> ProtocolError:
        if self._was_open:
            return ClosedError(
                f"this client of {bracketed(self.host)}:{self.port} is closed: connect() it"
            )
        return ProtocolError(
            f"this client of {bracketed(self.host)}:{self.port} is not connected: "
            "call connect() first, or use it in a `with` statement"
        )

    def _notice_fork(self) -> None:
        if not self.in_parent_process:
            self._forks = self._background.forks
            self._lock = native.new_rlock()
            self._session = None

    def _open(self) -> ServerSession:
        def make() -> ServerSession:
            return ServerSession(self._background, self.host, self.port)

        return make() if self._key is None else self._background.share(self._key, make)

    def open(self) -> None:
        """Let :meth:`get` make a session, also after :meth:`close`."""
        self._is_open = self._was_open = True

    def close(self, wait_s: float = CLOSE_WITHIN_S) -> None:
        """Let go of the session; the last holder closes it politely.

        Args:
            wait_s: how long to wait for that, in seconds.
        """
        if not self.in_parent_process:
            return
        with self._lock:
            session, self._session = self._session, None
            self._is_open = False
        if session is not None and (
            self._key is None or self._background.unshare(self._key, session)
        ):
            session.close(wait_s)
