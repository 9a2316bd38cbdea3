"""``JobGroup``: many requests for boards at once, handed out one by one or all together."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from spalloc_gevent.batch.allocation import (
    JOB_KEYWORDS,
    Check,
    Limits,
    Observer,
    Search,
    unwanted,
)
from spalloc_gevent.batch.phase_counter import PhaseCounter, Progress
from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.deadline import Deadline, limit_in_seconds
from spalloc_gevent.errors import (
    BadTypeError,
    BadValueError,
    ClosedError,
    QueueTimeoutError,
    SpallocError,
)
from spalloc_gevent.job import Job
from spalloc_gevent.job.request import as_int, at_least
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven, given
from spalloc_gevent.transport import native
from spalloc_gevent.transport.threads import start_thread
from spalloc_gevent.transport.waiting import ChangeCounter

CLOSE_WITHIN_S = 10.0
_JOB_KEYWORDS = tuple(name for name in JOB_KEYWORDS if name != "timeout")
"""A group's time-out is that of its own."""
GIVEN_BACK = "Given back with all jobs of its group."


class JobGroup:
    """Requests for boards, as many open at once as may be; as a context manager it gives all back.

    ::

        with JobGroup(300, max_open=50, hostname=..., owner=...) as group:
            for job in group.as_ready():
                run_trial(job.hostname)
                job.destroy()  # makes room for the next

    A server that has given boards before is waited for when it is away, for two minutes.
    The requests are worked on by native threads, whatever the program does
    meanwhile; so is `check`, by several at once. The keywords from `hostname` on
    are those of :class:`~spalloc_gevent.Job`, for all requests.

    Args:
        requests: how many jobs of one board, or an iterable of what each is to be:
            a number or a tuple of numbers, as for ``Job``.
        max_open: how many may be asked for, ready or in use at once; None for all.
            A job that has been handed out counts until it is destroyed or closed.
        all_or_nothing: entering waits until every job is ready, at most `timeout`
            seconds, which have to be given; else it gives all back and raises.
            ``group.jobs`` are then all of them, in the order of the requests.
        timeout: in seconds, for ``all_or_nothing`` only; how long an answer of the
            server is waited for is as configured.
        progress: called with ``{"queued": 3, "ready": 1, ...}``, by one thread at a
            time, whenever a request has gone on; see :class:`Phase` for the names.
        attempts, check, avoid, queue_timeout, power_timeout, settle: as for
            :func:`~spalloc_gevent.batch.allocate`.

    Raises:
        ValueError: a number is too small, or `max_open` for ``all_or_nothing``.
        TypeError: of `timeout` and ``all_or_nothing`` one goes without the other.
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
        hostname: str | NotGiven = NOT_GIVEN,
        port: int | NotGiven = NOT_GIVEN,
        owner: str | NotGiven = NOT_GIVEN,
        keepalive: float | NotGiven | None = NOT_GIVEN,
        machine: str | NotGiven | None = NOT_GIVEN,
        tags: Collection[str] | NotGiven | None = NOT_GIVEN,
        min_ratio: float | NotGiven = NOT_GIVEN,
        max_dead_boards: int | NotGiven | None = NOT_GIVEN,
        max_dead_links: int | NotGiven | None = NOT_GIVEN,
        require_torus: bool | NotGiven = NOT_GIVEN,
        reconnect_delay: float | NotGiven = NOT_GIVEN,
        ignore_version: bool | NotGiven = NOT_GIVEN,
        guardian: bool | NotGiven = NOT_GIVEN,
        ledger: str | os.PathLike[str] | NotGiven | None = NOT_GIVEN,
        label: str | NotGiven | None = NOT_GIVEN,
        config_filenames: Iterable[str | os.PathLike[str]] | NotGiven | None = NOT_GIVEN,
    ) -> None:
        self._job_options = given(locals(), _JOB_KEYWORDS)
        self._requests = _requests(requests)
        self._most = len(self._requests) if max_open is None else as_int(max_open, "max_open")
        _check_limits(len(self._requests), self._most, all_or_nothing, timeout)
        self._all_or_nothing = all_or_nothing
        self._timeout_s = limit_in_seconds(timeout)
        self._limits = Limits(attempts, queue_timeout, power_timeout, settle)
        self._check = check
        self._unwanted = unwanted(avoid)
        self._phases = PhaseCounter(progress, self._requests)
        self._lock = native.new_rlock()
        self._closes = ChangeCounter()
        self._at_work: dict[_Request, Job | None] = {}
        """The requests that a worker sees to, each with the job that it looks at."""
        self._found: deque[tuple[_Request, Job | BaseException]] = deque()
        """What workers have ended with, and nobody has been handed yet."""
        self._ends = ChangeCounter()
        """Counts the requests that no worker will see to any more."""
        self._jobs: dict[_Request, Job] = {}
        """Those that are ready or in use."""
        self._begun = 0
        self.has_had_jobs = False
        """True once the server has given one: it is waited for when it is away."""
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
        """Give every job back and ask for no more; harmless when that is done already.

        It waits at most 10 seconds for workers that are held up, by a server that does not
        answer or a check that does not end: they give back by themselves.
        """
        self._closes.increment()
        with self._lock:
            jobs = [job for job in self._at_work.values() if job is not None]
            jobs += self._jobs.values()
        for job in jobs:
            job.destroy(GIVEN_BACK)
        self._wait_for_workers(Deadline(CLOSE_WITHIN_S))

    def _wait_for_workers(self, deadline: Deadline) -> None:
        while True:
            ended = self._ends.count
            with self._lock:
                if not self._at_work:
                    return
            if not self._ends.wait_beyond(ended, deadline.at):
                return

    @property
    def _closed(self) -> bool:
        return self._closes.count > 0

    # -- what is handed out -------------------------------------------------------

    def as_ready(self, timeout: float | None = None) -> Iterator[Job]:
        """Each job as it becomes ready; the caller destroys it when it is not needed any more.

        A request that fails keeps no other from being handed out; when none is
        left, the first failure is raised.

        Args:
            timeout: how long to wait for the next job, in seconds; None for ever.

        Raises:
            QueueTimeoutError: the next job takes longer.
            ClosedError: the group has been closed.
        """
        while (found := self._next_found(Deadline(timeout))) is not None:
            _, job = found
            if isinstance(job, BaseException):
                self.failures.append(job)
            else:
                yield job
        if self.failures:
            raise self.failures[0]

    def _next_found(self, deadline: Deadline) -> tuple[_Request, Job | BaseException] | None:
        """The next request with its job, or why there is none; None when all are handed out."""
        while True:
            ended = self._ends.count
            with self._lock:
                found = self._found.popleft() if self._found and not self._closed else None
            if found is not None:
                request, job = found
                if not isinstance(job, BaseException):
                    self._phases.move(request, Phase.IN_USE)
                return found
            if ended == len(self._requests) and not self._found:
                return None
            if self._closed:
                raise _closed_error()
            if not self._ends.wait_beyond(ended, deadline.at):
                raise QueueTimeoutError(f"no job was ready in time: {self._counted()}")

    def _await_all(self) -> None:
        deadline = Deadline(self._timeout_s)
        ready: dict[_Request, Job] = {}
        while (found := self._next_found(deadline)) is not None:
            request, job = found
            if isinstance(job, BaseException):
                self.failures.append(job)
                raise job
            ready[request] = job
        self.jobs = [ready[request] for request in self._requests]

    @property
    def counts(self) -> dict[str, int]:
        """How many requests are in each phase; those without any are left out."""
        return self._phases.counts

    def _counted(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.counts.items())

    # -- asking -------------------------------------------------------------------

    def _begin_some(self) -> None:
        """Have as many asked for as may be open."""
        while True:
            with self._lock:
                is_full = len(self._at_work) + len(self._jobs) >= self._most
                if self._closed or is_full or self._begun >= len(self._requests):
                    return
                self._begin(self._requests[self._begun])

    def _begin(self, request: _Request) -> None:
        """Have a worker see to a request; without one, the request has failed."""
        self._begun += 1
        self._at_work[request] = None
        try:
            start_thread(functools.partial(self._fulfil, request))
        except BaseException as error:
            self._phases.move(request, Phase.FAILED)
            self._finish(request, None, error)
            if not isinstance(error, SpallocError):
                raise

    def _fulfil(self, request: _Request) -> None:
        with self._lock:
            if request not in self._at_work:
                # Whoever started this was interrupted, and thinks that there is no worker.
                return
        try:
            job = self._find_boards(request)
        except BaseException as error:  # noqa: BLE001 - raised where the job is waited for
            self._phases.move(request, Phase.FAILED)
            self._finish(request, None, error)
        else:
            self._finish(request, job, job)
        self._begin_some()

    def _find_boards(self, request: _Request) -> Job:
        def ask() -> Job:
            return _Member(self, request, self._job_options)

        worker = _Worker(self, request)
        with Search(ask, self._limits, self._check, self._unwanted, worker) as search:
            return search.run()

    def _finish(self, request: _Request, job: Job | None, found: Job | BaseException) -> None:
        with self._lock:
            del self._at_work[request]
            if job is not None:
                self._jobs[request] = job
            self._found.append((request, found))
        if job is not None and self._closed:
            job.destroy(GIVEN_BACK)
        self._ends.increment()

    def looks_at(self, request: _Request, phase: Phase, job: Job) -> None:
        """A worker has come so far with a job; raises ClosedError when the group is closed."""
        self.has_had_jobs = True
        with self._lock:
            self._at_work[request] = job
        if self._closed:
            raise _closed_error()
        self._phases.move(request, phase)

    def rest(self, seconds: float) -> None:
        """Wait on behalf of a worker; raises ClosedError when the group is closed meanwhile."""
        if self._closes.wait_beyond(0, Deadline(seconds).at):
            raise _closed_error()

    def given_back(self, request: _Request, job: Job) -> None:
        """A job has been destroyed or closed; others may be asked for."""
        with self._lock:
            if self._jobs.get(request) is not job:
                return
            del self._jobs[request]
        self._phases.move(request, Phase.DONE)
        self._begin_some()


def _closed_error() -> ClosedError:
    return ClosedError("the group of jobs has been closed")


class _Request:
    """What one job is to be, and how far it has come."""

    def __init__(self, what: tuple[int, ...]) -> None:
        self.what = what
        self.phase = Phase.WAITING


class _Member(Job):
    """A job that tells its group when its boards are given back."""

    def __init__(self, group: JobGroup, request: _Request, options: dict[str, Any]) -> None:
        self._group = group
        self._request = request
        super().__init__(*request.what, **options)

    def destroy(self, reason: str | None = None) -> None:
        super().destroy(reason)
        self._group.given_back(self._request, self)

    def close(self) -> None:
        super().close()
        self._group.given_back(self._request, self)


class _Worker(Observer):
    """Tells the group how far the search for one of its jobs has come."""

    def __init__(self, group: JobGroup, request: _Request) -> None:
        self._group = group
        self._request = request

    def reached(self, phase: Phase, job: Job) -> None:
        self._group.looks_at(self._request, phase, job)

    def pause(self, seconds: float) -> None:
        self._group.rest(seconds)

    @property
    def waits_for_server(self) -> bool:
        return self._group.has_had_jobs


def _requests(requests: int | Iterable[int | tuple[int, ...]]) -> list[_Request]:
    if not isinstance(requests, Iterable):
        number = at_least(requests, 0, "the number of requests")
        return [_Request(()) for _ in range(number)]
    return [_Request(tuple(what) if isinstance(what, Iterable) else (what,)) for what in requests]


def _check_limits(requests: int, most: int, all_or_nothing: bool, timeout: float | None) -> None:
    if requests:
        at_least(most, 1, "max_open")
    if timeout is not None and not all_or_nothing:
        raise BadTypeError(
            "timeout is for all_or_nothing=True; as_ready(timeout) has one of its own"
        )
    if all_or_nothing and timeout is None:
        raise BadTypeError(
            "all_or_nothing=True needs a timeout: half of the boards are nobody's use"
        )
    if all_or_nothing and most < requests:
        raise BadValueError(f"all {requests} jobs cannot be ready with max_open={most}")
