"""Looks at jobs that were destroyed while the Java server's allocator may have worked on them.

What it finds for the jobs of a run it stores at the end of the run: those that were destroyed
meanwhile live again, with boards that nobody uses until their keepalive runs out. A second
destroy is kept.

The program looks as long as it runs, its guardian when it has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from spalloc_gevent.errors import ProtocolError, SpallocError
from spalloc_gevent.states import JobState
from spalloc_gevent.transport.connection import Connection, connect
from spalloc_gevent.transport.waiting import Waiter, sleep
from spalloc_gevent.wire.answers import state_in
from spalloc_gevent.wire.identity import by_number
from spalloc_gevent.wire.messages import AnyReply, ErrorReply, value_of
from spalloc_gevent.wire.requests import Request

if TYPE_CHECKING:
    from spalloc_gevent.transport.background import BackgroundHub, BackgroundUse

_log = logging.getLogger(__name__)

FIRST_LOOK_AFTER_S = 0.05
LAST_LOOK_AFTER_S = 30.0
"""No run of the allocator takes longer."""
LONGEST_PAUSE_S = 4.0
LIST_EVERY_S = 0.25
SINGLE_LOOK_EVERY_S = 0.1
ANSWER_WITHIN_S = 10.0

ALIVE = (JobState.queued, JobState.power, JobState.ready)


class _DestroyedJob:
    """A job that has been destroyed, and when it is to be looked at."""

    def __init__(self, job_id: int, reason: str | None, destroyed_at: float) -> None:
        self.job_id = job_id
        self.reason = reason
        self.destroyed(destroyed_at)

    def destroyed(self, at: float) -> None:
        """The server has been told (again) to destroy it."""
        self.destroyed_at = at
        self.look_at = at + FIRST_LOOK_AFTER_S

    def seen(self, now: float) -> None:
        """It was looked at: again after a while, which grows with the time since the destroy."""
        self.look_at = now + min(LONGEST_PAUSE_S, max(FIRST_LOOK_AFTER_S, now - self.destroyed_at))

    @property
    def is_done(self) -> bool:
        """True after the last look."""
        return self.look_at > self.destroyed_at + LAST_LOOK_AFTER_S


class ServerChecks:
    """The destroyed jobs of one server, and a connection while they are looked at."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._jobs: list[_DestroyedJob] = []
        self._connection: Connection | None = None
        self._news = Waiter()

    @property
    def is_done(self) -> bool:
        """True once no job needs to be looked at any more."""
        return not self._jobs

    def add(self, job_id: int, reason: str | None, destroyed_at: float) -> None:
        """One more job; in the thread that looks, or before it begins.

        Args:
            job_id: the job.
            reason: for others to read, should it be destroyed again.
            destroyed_at: when it was, on the monotonic clock.
        """
        self._jobs.append(_DestroyedJob(job_id, reason, destroyed_at))
        if not self._news.woken:
            self._news.wake()

    def run(self) -> None:
        """Look at all of them until that is done, in any thread or greenlet."""
        try:
            while self._jobs:
                self._wait_for_next_look()
                self._look()
                self._jobs = [job for job in self._jobs if not job.is_done]
        finally:
            self._hang_up()

    def close_in_child(self) -> None:
        """In a forked child: let go of the parent's connection."""
        if self._connection is not None:
            self._connection.close_in_child()

    def _wait_for_next_look(self) -> None:
        while monotonic() < (look_at := min(job.look_at for job in self._jobs)):
            self._news = Waiter()
            self._news.wait(look_at)

    def _look(self) -> None:
        """Look at all by one list, or else at those that are due; destroy those that live."""
        # Not at those that are added meanwhile.
        looked_at = self._jobs[:]
        try:
            listed = self._list()
            if listed is None:
                looked_at = [job for job in looked_at if job.look_at <= monotonic()]
            for job in looked_at:
                if self._is_alive(job, listed):
                    _log.info("job %d lives again after its destroy: destroying it", job.job_id)
                    self._ask(Request("destroy_job", (job.job_id,), {"reason": job.reason}))
                    job.destroyed(monotonic())
        except (OSError, SpallocError) as error:
            _log.info("destroyed jobs could not be looked at: %s", error)
            self._hang_up()
        for job in looked_at:
            job.seen(monotonic())
        sleep(LIST_EVERY_S)

    def _list(self) -> Mapping[int, Mapping[str, Any]] | None:
        """What the server tells of every job, by its number; None if it does not."""
        try:
            reply = self._ask(Request("list_jobs"))
        except (OSError, ProtocolError) as error:
            # It hangs up on who asks for the list while a badly made job lives.
            self._hang_up()
            _log.debug("no list of jobs: %s", error)
            return None
        return None if isinstance(reply, ErrorReply) else by_number(reply.value)

    def _is_alive(self, job: _DestroyedJob, listed: Mapping[int, Mapping[str, Any]] | None) -> bool:
        if listed is not None:
            return listed.get(job.job_id, {}).get("state") in ALIVE
        sleep(SINGLE_LOOK_EVERY_S)
        request = Request("get_job_state", (job.job_id,))
        return state_in(lambda: value_of(request.name, self._ask(request)))["state"] in ALIVE

    def _ask(self, request: Request) -> AnyReply:
        deadline = monotonic() + ANSWER_WITHIN_S
        if self._connection is None:
            self._connection = connect(self._host, self._port, deadline)
        reply = self._connection.exchange(request, deadline)
        if reply is None:
            raise TimeoutError
        return reply

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class DestroyChecks:
    """All such jobs of this process: ``background.singleton(DestroyChecks)``.

    They outlive the sessions that destroyed them. Every method runs in the background.
    """

    def __init__(self, hub: BackgroundHub) -> None:
        self._hub = hub
        self._servers: dict[tuple[str, int], ServerChecks] = {}

    def add(self, host: str, port: int, job_id: int, reason: str | None) -> None:
        """See that a job that was just destroyed stays so.

        Args:
            host, port: the server.
            job_id: the job.
            reason: for others to read, should it be destroyed again.

        Raises:
            ClosedError: the program ends.
        """
        address = (host, port)
        if address not in self._servers:
            use = self._hub.use()
            use.start()
            self._servers[address] = ServerChecks(host, port)
            self._hub.spawn_here(self._run, address, use)
        self._servers[address].add(job_id, reason, monotonic())

    def _run(self, address: tuple[str, int], use: BackgroundUse) -> None:
        checks = self._servers[address]
        try:
            # More may have come while the connection was being closed.
            while not checks.is_done:
                checks.run()
        finally:
            del self._servers[address]
            use.close()

    def forked(self) -> None:
        """In a forked child: the jobs are the parent's."""
        for checks in self._servers.values():
            checks.close_in_child()
        self._servers.clear()
