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

from spalloc_gevent.batch.allocated import Allocation
from spalloc_gevent.batch.allocation import JOB_KEYWORDS, Check, Limits, unwanted
from spalloc_gevent.batch.phase_counter import PhaseCounter, Progress
from spalloc_gevent.batch.tasks import Task, run_chunk
from spalloc_gevent.batch.worker_pool import Plan, TaskJob, WorkerPool
from spalloc_gevent.deadline import limit_in_seconds
from spalloc_gevent.errors import BadTypeError, BadValueError, ForkedError
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
        _check_arguments(workers, reuse, reset)
        plan = Plan(
            ask=lambda: TaskJob(*what, **job_options),
            call=_caller(workers),
            limits=Limits(attempts, queue_timeout, power_timeout, settle),
            check=check,
            unwanted=unwanted(avoid),
            reuse=reuse,
            reset=reset,
            retries=at_least(retries, 0, "retries"),
        )
        threads = GreenletThread() if workers == GREENLETS else Threads()
        most = at_least(max_jobs, 1, "max_jobs")
        self._pool = WorkerPool(plan, most, PhaseCounter(progress), threads)
        _pools.add(self._pool)

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks are in each phase; those without any are left out."""
        return self._pool.phases.counts

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
        if os.getpid() != self._pool.process:
            raise ForkedError("this executor belongs to the parent process, not to this child")
        task = Task(fn, args, kwargs)
        if not self._pool.submit(task):
            raise RuntimeError("this executor has been shut down, and takes on no more tasks")
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
        run = functools.partial(run_chunk, fn=fn)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
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
        if os.getpid() != self._pool.process:
            return
        self._pool.close(cancel=cancel_futures)
        if wait:
            self._pool.join()

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
        if hasattr(self, "_pool"):
            self.shutdown(wait=False)


def _check_arguments(workers: object, reuse: bool, reset: bool) -> None:
    if reset and not reuse:
        raise BadValueError("reset=True is for reuse=True: else every task has new boards anyway")
    if hasattr(workers, "get_executor"):
        raise BadTypeError("workers is to be an executor: that of a Dask client is get_executor()")
    if workers not in (THREADS, GREENLETS) and not isinstance(workers, concurrent.futures.Executor):
        raise BadTypeError(
            f'workers is to be "threads", "greenlets" or an executor, not {workers!r}'
        )


def _caller(workers: object) -> Callable[[Task, Job], Any]:
    """How a task is run on a job's boards."""
    if not isinstance(workers, concurrent.futures.Executor):
        return lambda task, job: task.fn(job, *task.args, **task.kwargs)
    elsewhere = workers
    _check_native()

    def call(task: Task, job: Job) -> Any:
        _check_native()
        ends = ChangeCounter()
        future = elsewhere.submit(task.fn, Allocation.of(job), *task.args, **task.kwargs)
        future.add_done_callback(lambda _: ends.increment())
        # Its own result() would wait with whatever locks the program has been patched with.
        ends.wait_beyond(0)
        return future.result()

    return call


def _check_native() -> None:
    if threads_are_greenlets():
        raise BadValueError(
            "this program is monkey-patched: the threads of other executors are greenlets then, "
            'which cannot be called from native ones; use workers="threads" or "greenlets"'
        )


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _run_what_is_left() -> None:
    pools = [pool for pool in _pools if pool.process == os.getpid()]
    for pool in pools:
        pool.close(cancel=False)
    for pool in pools:
        pool.join()


# After the background hub's, which is imported already: the jobs are still kept alive meanwhile.
atexit.register(_run_what_is_left)
