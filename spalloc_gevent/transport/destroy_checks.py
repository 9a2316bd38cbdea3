"""Looks at jobs that were destroyed while the Java server's allocator may have worked on them.

What it finds for the jobs of a run it stores at the end of the run: those that were destroyed
meanwhile live again, with boards that nobody uses until their keepalive runs out. A second
destroy is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic

from spalloc_gevent.errors import ProtocolError, SpallocError
from spalloc_gevent.states import JobState
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.connection import Connection, connect
from spalloc_gevent.transport.waiting import ChangeCounter, Waiter, sleep
from spalloc_gevent.wire.answers import state_in
from spalloc_gevent.wire.identity import by_number
from spalloc_gevent.wire.messages import AnyReply, ErrorReply, value_of
from spalloc_gevent.wire.requests import Request

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

    def __init__(self, job_id: int, reason: str | None) -> None:
        self.job_id = job_id
        self.reason = reason
        self.first_look = ChangeCounter()
        self.destroyed()

    def destroyed(self) -> None:
        """The server has been told (again) to destroy it."""
        self.destroyed_at = monotonic()
        self.look_at = self.destroyed_at + FIRST_LOOK_AFTER_S

    def seen(self, now: float) -> None:
        """It was looked at: again after a while, which grows with the time since the destroy."""
        self.look_at = now + min(LONGEST_PAUSE_S, max(FIRST_LOOK_AFTER_S, now - self.destroyed_at))
        self.first_look.increment()

    @property
    def is_done(self) -> bool:
        """True after the last look."""
        return self.look_at > self.destroyed_at + LAST_LOOK_AFTER_S


class DestroyChecks:
    """All such jobs of this process: ``background.singleton(DestroyChecks)``.

    They outlive the sessions that destroyed them. Every method runs in the background.
    """

    def __init__(self, hub: BackgroundHub) -> None:
        self._hub = hub
        self._servers: dict[tuple[str, int], _ServerChecks] = {}

    def look_after(
        self, host: str, port: int, job_id: int, reason: str | None, deadline: float
    ) -> None:
        """See that a job that was just destroyed stays so; waits for the first look.

        Args:
            host, port: the server.
            job_id: the job.
            reason: for others to read, should it be destroyed again.
            deadline: when to stop waiting, on the monotonic clock; the looks go on.
        """
        checks = self._servers.get((host, port))
        if checks is None or checks.has_ended:
            checks = self._servers[host, port] = _ServerChecks(self._hub, host, port)
        checks.add(job_id, reason).wait_beyond(0, deadline)

    def forked(self) -> None:
        """In a forked child: the jobs are the parent's."""
        for checks in self._servers.values():
            checks.forked()
        self._servers.clear()


class _ServerChecks:
    """The destroyed jobs of one server: a greenlet and a connection, while there are any."""

    def __init__(self, hub: BackgroundHub, host: str, port: int) -> None:
        self._use = hub.use()
        self._use.start()
        self._host = host
        self._port = port
        self._jobs: list[_DestroyedJob] = []
        self._connection: Connection | None = None
        self._news = Waiter()
        self.has_ended = False
        hub.spawn_here(self._run)

    def add(self, job_id: int, reason: str | None) -> ChangeCounter:
        """One more job; its first look counts."""
        job = _DestroyedJob(job_id, reason)
        self._jobs.append(job)
        if not self._news.woken:
            self._news.wake()
        return job.first_look

    def forked(self) -> None:
        """In a forked child: let go of the parent's connection."""
        if self._connection is not None:
            self._connection.close_in_child()

    # -- the greenlet ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._jobs:
                self._wait_for_next_look()
                self._look()
                self._jobs = [job for job in self._jobs if not job.is_done]
        finally:
            self.has_ended = True
            self._hang_up()
            self._use.close()

    def _wait_for_next_look(self) -> None:
        while monotonic() < (look_at := min(job.look_at for job in self._jobs)):
            self._news = Waiter()
            self._news.wait(look_at)

    def _look(self) -> None:
        """Look at all that are due, destroy those that live."""
        # A job that is added meanwhile has its own first look.
        due = [job for job in self._jobs if job.look_at <= monotonic()]
        try:
            for job in self._living(due):
                _log.info("job %d lives again after its destroy: destroying it", job.job_id)
                self._ask(Request("destroy_job", (job.job_id,), {"reason": job.reason}))
                job.destroyed()
        except (OSError, SpallocError) as error:
            _log.info("destroyed jobs could not be looked at: %s", error)
            self._hang_up()
        for job in due:
            job.seen(monotonic())
        sleep(LIST_EVERY_S)

    def _living(self, due: list[_DestroyedJob]) -> Iterator[_DestroyedJob]:
        """Those that live, from one list; from a look at each where there is no list."""
        try:
            reply = self._ask(Request("list_jobs"))
        except (OSError, ProtocolError) as error:
            # It hangs up on who asks for the list while a badly made job lives.
            self._hang_up()
            _log.debug("no list of jobs: %s", error)
            reply = ErrorReply(str(error))
        if not isinstance(reply, ErrorReply):
            listed = by_number(reply.value)
            yield from (job for job in due if listed.get(job.job_id, {}).get("state") in ALIVE)
            return
        for job in due:
            if self._is_alive(job):
                yield job
            sleep(SINGLE_LOOK_EVERY_S)

    def _is_alive(self, job: _DestroyedJob) -> bool:
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
