"""``JobGroup``: many requests for boards at once, handed out one by one or all together."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from spalloc_gevent.batch.allocation import JOB_KEYWORDS, Check, Search, Terms
from spalloc_gevent.batch.phases import Phase, PhaseCounter, Progress
from spalloc_gevent.batch.request import BoardRequest, NotWantedError
from spalloc_gevent.batch.workers import KEEP, Workers
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
from spalloc_gevent.transport.threads import Threads
from spalloc_gevent.transport.waiting import ChangeCounter

CLOSE_WITHIN_S = 10.0
_JOB_KEYWORDS = tuple(name for name in JOB_KEYWORDS if name != "timeout")
"""A group's time-out is that of its own."""
GIVEN_BACK = "Given back with all jobs of its group."
CLOSED = "the group of jobs has been closed"


class JobGroup:
    """Requests for boards, as many open at once as may be; as a context manager it gives all back.

    ::

        with JobGroup(300, max_open=50, hostname=..., owner=...) as group:
            for job in group.as_ready():
                run_trial(job.hostname)
                job.destroy()  # makes room for the next

    A server that has given boards before is waited for when it is away, for two minutes.
    Each request has a native thread until its boards are ready, whatever the program does;
    `check` is called there, by several at once. The keywords from `hostname` on
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

    jobs: list[Job]
    """All jobs, once they are ready together; empty for a group that hands them out."""
    failures: list[BaseException]
    """Why requests have failed, in the order in which that was noticed."""
    _jobs: dict[BoardRequest, Job]
    """Those that are ready or in use."""
    _found: deque[tuple[BoardRequest, Job | BaseException]]
    """What workers have ended with, and nobody has been handed yet."""

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
        job_options = given(locals(), _JOB_KEYWORDS)
        shapes = shapes_of(requests)
        most = len(shapes) if max_open is None else as_int(max_open, "max_open")
        check_limits(len(shapes), most, all_or_nothing, timeout)
        self._timeout_s = limit_in_seconds(timeout)
        self._terms = Terms(
            lambda request: GroupJob(self, request, job_options),
            attempts, check, avoid, queue_timeout, power_timeout, settle, waits_for_server=True,
        )  # fmt: skip
        self._counter = PhaseCounter()
        self._requests = [BoardRequest(self._counter, what) for what in shapes]
        for request in self._requests:
            self._counter.move(request, Phase.WAITING)
        self._counter.progress = progress
        self._workers = Workers(most, Threads())
        self._jobs, self._found = {}, deque()
        # How many requests have not been found.
        self._left = len(shapes)
        # Counts when a request has been found, and when the group is closed.
        self._changes = ChangeCounter()
        self.jobs, self.failures = [], []

    # -- the life of a group ----------------------------------------------------

    def __enter__(self) -> JobGroup:
        try:
            for request in self._requests:
                self._submit(request)
            if self._timeout_s is not None:
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
        self._workers.close(drop=True)
        with self._workers.lock:
            jobs = list(self._jobs.values())
        self._changes.increment()
        for job in (*jobs, *(request.cancel() for request in self._requests)):
            if job is not None:
                job.destroy(GIVEN_BACK)
        self._workers.join(Deadline(CLOSE_WITHIN_S))

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

    def _next_found(self, deadline: Deadline) -> tuple[BoardRequest, Job | BaseException] | None:
        """The next request with its job, or why there is none; None when all are handed out."""
        while True:
            seen = self._changes.count
            with self._workers.lock:
                if self._found and not self._workers.is_closed:
                    request, job = self._found.popleft()
                    if not isinstance(job, BaseException):
                        self._counter.move(request, Phase.IN_USE)
                    return request, job
                if not self._left and not self._found:
                    return None
            if self._workers.is_closed:
                raise ClosedError(CLOSED)
            if not self._changes.wait_beyond(seen, deadline.at):
                counted = ", ".join(f"{count} {name}" for name, count in self.counts.items())
                raise QueueTimeoutError(f"no job was ready in time: {counted}")

    def _await_all(self) -> None:
        deadline = Deadline(self._timeout_s)
        ready: dict[BoardRequest, Job] = {}
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
        return self._counter.counts

    # -- asking -------------------------------------------------------------------

    def _submit(self, request: BoardRequest) -> None:
        try:
            self._workers.submit(functools.partial(self._serve, request))
        except SpallocError as error:
            self._finish(request, error)

    def _serve(self, request: BoardRequest) -> object:
        """In a worker: until there are boards, which keep its place until they are given back."""
        try:
            job = Search(self._terms, request).run()
        except NotWantedError:
            self._finish(request, ClosedError(CLOSED))
        except BaseException as error:  # noqa: BLE001 - raised where the job is waited for
            self._finish(request, error)
        else:
            self._finish(request, job)
            if self._workers.is_closed:
                job.destroy(GIVEN_BACK)
            return KEEP
        return None

    def _finish(self, request: BoardRequest, found: Job | BaseException) -> None:
        if isinstance(found, BaseException):
            self._counter.move(request, Phase.FAILED)
        with self._workers.lock:
            if not isinstance(found, BaseException):
                self._jobs[request] = found
            self._found.append((request, found))
            self._left -= 1
        self._changes.increment()

    def give_back(self, request: BoardRequest, job: Job) -> None:
        """A job has been destroyed or closed; others may be asked for."""
        with self._workers.lock:
            if self._jobs.get(request) is not job:
                return
            del self._jobs[request]
        self._counter.move(request, Phase.DONE)
        self._workers.leave()


class GroupJob(Job):
    """A job that tells its group when its boards are given back."""

    def __init__(self, group: JobGroup, request: BoardRequest, options: dict[str, Any]) -> None:
        self._group = group
        self._request = request
        super().__init__(*request.what, **options)

    def destroy(self, reason: str | None = None) -> None:
        super().destroy(reason)
        self._group.give_back(self._request, self)

    def close(self) -> None:
        super().close()
        self._group.give_back(self._request, self)


def shapes_of(requests: int | Iterable[int | tuple[int, ...]]) -> list[tuple[int, ...]]:
    """What each request asks for, as the numbers of ``Job``."""
    if not isinstance(requests, Iterable):
        return [()] * at_least(requests, 0, "the number of requests")
    return [tuple(what) if isinstance(what, Iterable) else (what,) for what in requests]


def check_limits(requests: int, most: int, all_or_nothing: bool, timeout: float | None) -> None:
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
