"""``JobGroup``: many requests for boards at once, handed out one by one or all together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from spalloc_gevent.batch.allocation import Check, Limits, Observer, Search, unwanted
from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.batch.tally import Progress, Tally
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.engine.mailbox import Mailbox, NothingCameError
from spalloc_gevent.engine.pausing import Alarm
from spalloc_gevent.engine.workers import new_mutex, start
from spalloc_gevent.errors import ClosedError, QueueTimeoutError
from spalloc_gevent.job import Job

CLOSE_WITHIN_S = 10.0
GIVEN_BACK = "Given back with all jobs of its group."


class JobGroup:
    """Requests for boards, as many open at once as may be; as a context manager it gives all back.

    ::

        with JobGroup(300, max_open=50, hostname=..., owner=...) as group:
            for job in group.as_ready():
                run_trial(job.hostname)
                job.destroy()  # makes room for the next

    requests: how many jobs of one board, or an iterable of what each is to be:
    a number or a tuple of numbers, as for ``Job``.
    max_open: how many may be asked for, ready or in use at once; None for all.
    A job that has been handed out counts until it is destroyed or closed.
    all_or_nothing: entering waits until every job is ready, at most `timeout`
    seconds, which have to be given; else it gives all back and raises.
    ``group.jobs`` are then all of them, in the order of the requests.
    progress: called with ``{"queued": 3, "ready": 1, ...}``, by one thread at a
    time, whenever a request has gone on; see :class:`Phase` for the names.
    attempts, check, avoid, queue_timeout, power_timeout, settle: as for
    :func:`~spalloc_gevent.batch.allocate`. What is left is for ``Job``.

    A server that has given boards before is waited for when it is away, for two minutes.
    The requests are worked on by native threads, whatever the program does
    meanwhile; so is `check`, by several at once.
    """

    def __init__(
        self,
        requests: int | Iterable[int | tuple[int, ...]],
        *,
        max_open: int | None = None,
        all_or_nothing: bool = False,
        timeout: float | None = None,
        progress: Progress | None = None,
        attempts: int = 3,
        check: Check | None = None,
        avoid: Iterable[tuple[str, int, int, int]] = (),
        queue_timeout: float | None = None,
        power_timeout: float | None = None,
        settle: float = 0.0,
        **job_options: Any,
    ) -> None:
        self._whats = _whats(requests)
        self._most = len(self._whats) if max_open is None else max_open
        _check_limits(len(self._whats), self._most, all_or_nothing, timeout, job_options)
        self._all_or_nothing = all_or_nothing
        self._timeout_s = timeout
        self._limits = Limits(attempts, queue_timeout, power_timeout, settle)
        self._check = check
        self._unwanted = unwanted(avoid)
        self._options = job_options
        self._tally = Tally(len(self._whats), progress)
        self._mutex = new_mutex()
        self._closing = Alarm()
        self._ended: Mailbox[int] = Mailbox()
        self._ready: Mailbox[tuple[int, Job | BaseException]] = Mailbox()
        self._phases = [Phase.WAITING] * len(self._whats)
        self._at_work: dict[int, Job | None] = {}
        self._jobs: dict[int, Job] = {}
        self._begun = 0
        self.has_had_jobs = False
        """True once the server has given one: it is waited for when it is away."""
        self._handed_out = 0
        self.jobs: list[Job] = []
        """All jobs, once they are ready together; empty for a group that hands them out."""
        self.failures: list[BaseException] = []
        """Why requests have failed, in the order in which that was noticed."""

    # -- the life of a group ----------------------------------------------------

    def __enter__(self) -> JobGroup:
        try:
            self._begin_some()
            if self._all_or_nothing:
                self._await_all()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give every job back and ask for no more; harmless when that is done already."""
        self._closing.ring()
        with self._mutex:
            jobs = [job for job in self._at_work.values() if job is not None]
            jobs += self._jobs.values()
        for job in jobs:
            job.destroy(GIVEN_BACK)
        self._await_workers(Deadline(CLOSE_WITHIN_S))

    def _await_workers(self, deadline: Deadline) -> None:
        """One whose server does not answer, or whose check does not end, gives back by itself."""
        while True:
            with self._mutex:
                if not self._at_work:
                    return
            try:
                self._ended.take(deadline.left())
            except NothingCameError:
                return

    # -- what is handed out -------------------------------------------------------

    def as_ready(self, timeout: float | None = None) -> Iterator[Job]:
        """Each job as it becomes ready; the caller destroys it when it is not needed any more.

        A request that fails keeps no other from being handed out; when none is
        left, the first failure is raised. Raises QueueTimeoutError when the
        next job takes more than `timeout` seconds.
        """
        while self._handed_out < len(self._whats):
            _, job = self._next_ready(Deadline(timeout))
            if isinstance(job, BaseException):
                self.failures.append(job)
            else:
                yield job
        if self.failures:
            raise self.failures[0]

    def _next_ready(self, deadline: Deadline) -> tuple[int, Job | BaseException]:
        if self._closing.rung:
            raise ClosedError("the group of jobs has been closed")
        try:
            number, job = self._ready.take(deadline.left())
        except NothingCameError:
            raise QueueTimeoutError(f"no job was ready in time: {self._counted()}") from None
        self._handed_out += 1
        if not isinstance(job, BaseException):
            self._went_on(number, Phase.IN_USE)
        return number, job

    def _await_all(self) -> None:
        deadline = Deadline(self._timeout_s)
        ready: dict[int, Job] = {}
        while len(ready) < len(self._whats):
            number, job = self._next_ready(deadline)
            if isinstance(job, BaseException):
                self.failures.append(job)
                raise job
            ready[number] = job
        self.jobs = [ready[number] for number in sorted(ready)]

    # -- counting -----------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """How many requests are in each phase; those without any are left out."""
        return self._tally.counts

    def _counted(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.counts.items())

    def _went_on(self, number: int, phase: Phase) -> None:
        old, self._phases[number] = self._phases[number], phase
        self._tally.goes_on(old, phase)

    # -- asking -------------------------------------------------------------------

    def _begin_some(self) -> None:
        """Have as many asked for as may be open."""
        while True:
            with self._mutex:
                is_full = len(self._at_work) + len(self._jobs) >= self._most
                if self._closing.rung or is_full or self._begun >= len(self._whats):
                    return
                number = self._begun
                self._begun += 1
                self._at_work[number] = None
            start(lambda number=number: self._fulfil(number))  # type: ignore[misc]

    def _fulfil(self, number: int) -> None:
        try:
            job = self._found(number)
        except BaseException as error:  # noqa: BLE001 - raised where the job is waited for
            self._went_on(number, Phase.FAILED)
            self._finish(number, None, error)
        else:
            self._finish(number, job, job)
        self._begin_some()

    def _found(self, number: int) -> Job:
        def ask() -> Job:
            return _Member(self, number, self._whats[number], self._options)

        worker = _Worker(self, number)
        with Search(ask, self._limits, self._check, self._unwanted, worker) as search:
            return search.run()

    def _finish(self, number: int, job: Job | None, outcome: Job | BaseException) -> None:
        with self._mutex:
            del self._at_work[number]
            if job is not None:
                self._jobs[number] = job
        if job is not None and self._closing.rung:
            job.destroy(GIVEN_BACK)
        self._ready.put((number, outcome))
        self._ended.put(number)

    def looks_at(self, number: int, phase: Phase, job: Job) -> None:
        """A worker has come so far with a job; raises ClosedError when the group is closed."""
        self.has_had_jobs = True
        with self._mutex:
            self._at_work[number] = job
        if self._closing.rung:
            raise ClosedError("the group of jobs has been closed")
        self._went_on(number, phase)

    def rest(self, seconds: float) -> None:
        """Wait on behalf of a worker; raises ClosedError when the group is closed meanwhile."""
        if self._closing.wait(seconds):
            raise ClosedError("the group of jobs has been closed")

    def given_back(self, number: int, job: Job) -> None:
        """A job has been destroyed or closed; others may be asked for."""
        with self._mutex:
            if self._jobs.get(number) is not job:
                return
            del self._jobs[number]
        self._went_on(number, Phase.DONE)
        self._begin_some()


class _Member(Job):
    """A job that tells its group when its boards are given back."""

    def __init__(
        self, group: JobGroup, number: int, what: tuple[int, ...], options: dict[str, Any]
    ) -> None:
        self._group = group
        self._number = number
        super().__init__(*what, **options)

    def destroy(self, reason: str | None = None) -> None:
        super().destroy(reason)
        self._group.given_back(self._number, self)

    def close(self) -> None:
        super().close()
        self._group.given_back(self._number, self)


class _Worker(Observer):
    """Tells the group how far the search for one of its jobs has come."""

    def __init__(self, group: JobGroup, number: int) -> None:
        self._group = group
        self._number = number

    def reached(self, phase: Phase, job: Job) -> None:
        self._group.looks_at(self._number, phase, job)

    def pause(self, seconds: float) -> None:
        self._group.rest(seconds)

    @property
    def waits_for_server(self) -> bool:
        return self._group.has_had_jobs


def _whats(requests: int | Iterable[int | tuple[int, ...]]) -> list[tuple[int, ...]]:
    if isinstance(requests, int):
        if requests < 0:
            raise ValueError(f"a group has 0 requests or more, not {requests}")
        return [()] * requests
    return [(what,) if isinstance(what, int) else tuple(what) for what in requests]


def _check_limits(
    requests: int,
    most: int,
    all_or_nothing: bool,
    timeout: float | None,
    options: dict[str, Any],
) -> None:
    if most < 1 and requests:
        raise ValueError(f"max_open must be 1 or more, not {most}")
    if "resume_job_id" in options:
        raise TypeError("a group asks for new boards: Job(resume_job_id=...) resumes a job")
    if timeout is not None and not all_or_nothing:
        raise TypeError("timeout is for all_or_nothing=True; as_ready(timeout) has one of its own")
    if all_or_nothing and timeout is None:
        raise TypeError("all_or_nothing=True needs a timeout: half of the boards are nobody's use")
    if all_or_nothing and most < requests:
        raise ValueError(f"all {requests} jobs cannot be ready with max_open={most}")
