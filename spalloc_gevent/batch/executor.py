"""``SpallocExecutor``: an executor of the standard library, every task on boards of its own."""

from __future__ import annotations

import atexit
import concurrent.futures
import functools
import itertools
import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from spalloc_gevent.batch.allocation import JOB_KEYWORDS, Check, Search, Terms
from spalloc_gevent.batch.boards import Allocation
from spalloc_gevent.batch.phases import Phase, PhaseCounter, Progress
from spalloc_gevent.batch.request import NotWantedError
from spalloc_gevent.batch.tasks import Task, TaskJob
from spalloc_gevent.batch.workers import Workers
from spalloc_gevent.deadline import Deadline, limit_in_seconds
from spalloc_gevent.errors import (
    BadTypeError,
    BadValueError,
    ForkedError,
    JobDestroyedError,
    SpallocError,
)
from spalloc_gevent.job import Job
from spalloc_gevent.job.request import at_least
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven, given
from spalloc_gevent.transport.native import threads_are_greenlets
from spalloc_gevent.transport.threads import GreenletThread, Threads
from spalloc_gevent.transport.waiting import ChangeCounter

P = ParamSpec("P")
T = TypeVar("T")

THREADS = "threads"
GREENLETS = "greenlets"
DONE = "Given back when its task had ended."


class SpallocExecutor(concurrent.futures.Executor):
    """Runs ``fn(boards, *args)`` on an allocation of its own, for each task that is submitted.

    ::

        with SpallocExecutor(3, max_jobs=60, hostname=..., owner=...) as executor:
            for verdict in executor.map(run_trial, trials):
                print(verdict)

    A server that has given boards before is waited for when it is away, for two minutes.
    A future counts as running from when its boards are ready, and can be
    cancelled until then. When it is done its boards are given back, unless ``reuse``
    keeps them. A program that ends without :meth:`shutdown` runs first what it has submitted.

    What each task is given is told as to :class:`~spalloc_gevent.Job`: by the numbers in
    front and the keywords from `hostname` on.

    Args:
        max_jobs: how many allocations there may be at once; bad ones that are held
            while others are asked for come on top.
        workers: ``"threads"``: native threads, one a job; ``"greenlets"``: greenlets,
            in one thread with a hub of their own, for tasks that only wait; or any other
            executor, as a ``ProcessPoolExecutor`` or Dask's ``client.get_executor()``, but
            not in a monkey-patched program. ``boards`` are the :class:`~spalloc_gevent.Job`,
            but on another executor an :class:`Allocation`, which can be pickled: this program
            holds all jobs and keeps them alive.
        reuse: leave a task's boards, as they are, to the next one, until the end. Only
            new boards are checked.
        reset: power-cycle them in between.
        retries: how often a task is run again, on new boards, that raised an
            exception after somebody else had destroyed its job, or whose job ended
            before it had any.
        attempts, check, avoid, queue_timeout, power_timeout, settle: as for
            :func:`~spalloc_gevent.batch.allocate`, whose errors a task's future has when
            there are no boards for it.
        progress: called with ``{"waiting": 3, "in use": 1, ...}``, by one thread at a
            time, whenever a task has gone on; see :class:`Phase`.

    Raises:
        ValueError: a number is too small, ``reset`` goes without ``reuse``, or another
            executor's threads are greenlets, as the program is monkey-patched.
        TypeError: `workers` is nothing of the above.
    """

    def __init__(
        self,
        *what: int,
        max_jobs: int = 16,
        workers: str | concurrent.futures.Executor = THREADS,
        reuse: bool = False,
        reset: bool = False,
        retries: int = 0,
        attempts: int = 3,
        check: Check | None = None,
        avoid: Iterable[tuple[str, int, int, int]] = (),
        queue_timeout: float | None = None,
        power_timeout: float | None = None,
        settle: float = 0.0,
        progress: Progress | None = None,
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
        timeout: float | NotGiven | None = NOT_GIVEN,
        reconnect_delay: float | NotGiven = NOT_GIVEN,
        ignore_version: bool | NotGiven = NOT_GIVEN,
        guardian: bool | NotGiven = NOT_GIVEN,
        ledger: str | os.PathLike[str] | NotGiven | None = NOT_GIVEN,
        label: str | NotGiven | None = NOT_GIVEN,
        config_filenames: Iterable[str | os.PathLike[str]] | NotGiven | None = NOT_GIVEN,
    ) -> None:
        job_options = given(locals(), JOB_KEYWORDS)
        check_arguments(workers, reuse, reset)
        self._terms = Terms(
            lambda _: TaskJob(*what, **job_options),
            attempts, check, avoid, queue_timeout, power_timeout, settle, waits_for_server=True,
        )  # fmt: skip
        self._call = task_caller(workers)
        self._reuse, self._reset = reuse, reset
        self._retries = at_least(retries, 0, "retries")
        self._counter = PhaseCounter(progress)
        # Those that have not ended.
        self._tasks: set[Task] = set()
        # Jobs to be used again that no task has at present.
        self._warm: list[TaskJob] = []
        most = at_least(max_jobs, 1, "max_jobs")
        threads = GreenletThread() if workers == GREENLETS else Threads()
        self._workers = Workers(most, threads)
        executors.add(self)

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks are in each phase; those without any are left out."""
        return self._counter.counts

    def submit(
        self, fn: Callable[Concatenate[Any, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Have ``fn(boards, *args, **kwargs)`` run.

        Returns:
            The future of what it returns.

        Raises:
            RuntimeError: the executor has been shut down.
            ForkedError: this is a forked child.
            SpallocError: the system gives no thread.
        """
        if os.getpid() != self._workers.process:
            raise ForkedError("this executor belongs to the parent process, not to this child")
        task = Task(self._workers, self._counter, fn, args, kwargs)
        with self._workers.lock:
            self._tasks.add(task)
            try:
                is_taken = self._workers.submit(functools.partial(self._serve, task))
            except BaseException:
                self._tasks.discard(task)
                raise
            if not is_taken:
                raise RuntimeError("this executor has been shut down, and takes on no more tasks")
            self._counter.move(task, Phase.WAITING)
        return task.future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **buffering: Any,
    ) -> Iterator[T]:
        """``fn(boards, *items)`` for the items of all iterables, in their order.

        Args:
            fn: called with boards and one item of each iterable.
            iterables: the items; the shortest decides how many calls there are.
            timeout: seconds from this call in which a result has to be there, else
                TimeoutError is raised where it is asked for; None for no limit.
            chunksize: so many calls share one allocation, one after the other.
            buffering: ``buffersize=`` where the standard library's ``map`` has it (3.14).

        Returns:
            What the calls return; where one has raised, the exception is raised.
        """
        chunksize, timeout = at_least(chunksize, 1, "chunksize"), limit_in_seconds(timeout)
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout, **buffering)
        items = zip(*iterables, strict=False)
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])

        def run(boards: Any, chunk: Iterable[tuple[Any, ...]]) -> list[T]:
            return [fn(boards, *items) for items in chunk]

        results: Iterator[list[T]] = super().map(run, chunks, timeout=timeout, **buffering)
        return itertools.chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take on no more tasks.

        Args:
            wait: True: until all have ended, and their boards are given back.
            cancel_futures: True: give up the tasks that do not have their boards yet.

        Raises:
            RuntimeError: a task of its own waits.
        """
        if os.getpid() != self._workers.process:
            return
        if cancel_futures:
            for task in list(self._tasks):
                task.future.cancel()
                task.give_up()
        self._give_back_warm()
        self._workers.close()
        if wait:
            self._workers.join(Deadline(None))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all tasks; after Ctrl+C only for those that have their boards already."""
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.shutdown(cancel_futures=interrupted)

    def __del__(self) -> None:
        # As in the standard library: what was submitted is run even so.
        if hasattr(self, "_workers"):
            self.shutdown(wait=False)

    # -- in a worker ------------------------------------------------------------------------

    def _serve(self, task: Task) -> None:
        """See to it that a task's future gets what it is to have."""
        error: BaseException | None = None
        for _ in range(self._retries + 1):
            try:
                result = self._run(task)
            except BoardsLostError as lost:
                error = lost.__cause__
            except NotWantedError:
                break
            except BaseException as failure:  # noqa: BLE001 - raised where the result is asked for
                error = failure
                break
            else:
                self._tasks.discard(task)
                self._counter.move(task, Phase.DONE)
                task.future.set_result(result)
                return
        self._tasks.discard(task)
        if error is not None and task.begin():
            self._counter.move(task, Phase.FAILED)
            task.future.set_exception(error)
        else:
            task.begin()
            self._counter.move(task, Phase.CANCELLED)

    def _run(self, task: Task) -> Any:
        """Run a task once, on boards of its own."""
        try:
            job = self._find_boards(task)
        except JobDestroyedError as error:
            # By somebody else before it was looked at, or because no machine can ever have
            # such boards: the second happens again, and is told then.
            raise BoardsLostError from error
        try:
            if not task.begin():
                raise NotWantedError
            self._counter.move(task, Phase.IN_USE)
            return self._call(task, job)
        except BaseException as error:
            if job.was_taken_away:
                raise BoardsLostError from error
            raise
        finally:
            if not self._reuse:
                job.destroy(DONE)
            else:
                self._warm.append(job)
                if self._workers.are_done:
                    self._give_back_warm()

    def _find_boards(self, task: Task) -> TaskJob:
        task.check_wanted()
        while (job := self._take_warm()) is not None:
            try:
                if self._reset:
                    job.reset()
                job.wait_until_ready(self._terms.power_timeout_s)
                return job
            except SpallocError:
                job.destroy(DONE)
        return Search(self._terms, task).run()

    def _take_warm(self) -> TaskJob | None:
        with self._workers.lock:
            return self._warm.pop() if self._warm else None

    def _give_back_warm(self) -> None:
        """Have workers give back the boards that no task has, or do so if there are none."""
        while (job := self._take_warm()) is not None:
            try:
                is_seen_to = self._workers.submit(functools.partial(job.destroy, DONE))
            except SpallocError:
                is_seen_to = False
            if not is_seen_to:
                job.destroy(DONE)


class BoardsLostError(Exception):
    """A job was destroyed by somebody else; the cause is what was noticed of it."""


def check_arguments(workers: object, reuse: bool, reset: bool) -> None:
    if reset and not reuse:
        raise BadValueError("reset=True is for reuse=True: else every task has new boards anyway")
    if hasattr(workers, "get_executor"):
        raise BadTypeError("workers is to be an executor: that of a Dask client is get_executor()")
    if workers not in (THREADS, GREENLETS) and not isinstance(workers, concurrent.futures.Executor):
        raise BadTypeError(
            f'workers is to be "threads", "greenlets" or an executor, not {workers!r}'
        )


def task_caller(workers: object) -> Callable[[Task, Job], Any]:
    """How a task is run on a job's boards."""
    if not isinstance(workers, concurrent.futures.Executor):
        return lambda task, job: task.fn(job, *task.args, **task.kwargs)
    elsewhere = workers
    refuse_greenlets()

    def call(task: Task, job: Job) -> Any:
        refuse_greenlets()
        ends = ChangeCounter()
        future = elsewhere.submit(task.fn, Allocation.of(job), *task.args, **task.kwargs)
        future.add_done_callback(lambda _: ends.increment())
        # Its own result() would wait with whatever locks the program has been patched with.
        ends.wait_beyond(0)
        return future.result()

    return call


def refuse_greenlets() -> None:
    if threads_are_greenlets():
        raise BadValueError(
            "this program is monkey-patched: the threads of other executors are greenlets then, "
            'which cannot be called from native ones; use workers="threads" or "greenlets"'
        )


executors: weakref.WeakSet[SpallocExecutor] = weakref.WeakSet()


def run_what_is_left() -> None:
    left = list(executors)
    for executor in left:
        executor.shutdown(wait=False)
    for executor in left:
        executor.shutdown()


# After the background hub's, which is imported already: the jobs are still kept alive meanwhile.
atexit.register(run_what_is_left)
