"""Workers that give each task boards of its own, one task after the other."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.batch.allocation import GIVEN_BACK, Check, Limits, Observer, Search
from spalloc_gevent.batch.bad_boards import BadBoards
from spalloc_gevent.batch.phase_counter import PhaseCounter
from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.batch.tasks import Task
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import JobDestroyedError, SpallocError
from spalloc_gevent.job import Job
from spalloc_gevent.states import JobState
from spalloc_gevent.transport import native
from spalloc_gevent.transport.mailbox import Mailbox
from spalloc_gevent.transport.threads import GreenletThread, Threads, start_thread
from spalloc_gevent.transport.waiting import ChangeCounter

DONE = "Given back when its task had ended."

_GONE = (JobState.destroyed, JobState.unknown)


@dataclass(frozen=True)
class Plan:
    """What a pool of workers does for each task."""

    ask: Callable[[], TaskJob]
    call: Callable[[Task, Job], Any]
    """Runs the task on a job's boards, wherever that is to be; returns or raises what it does."""
    limits: Limits
    check: Check | None
    unwanted: BadBoards
    reuse: bool
    reset: bool
    retries: int


class TaskJob(Job):
    """A job that a task has the use of; it remembers whether the task has ended it itself."""

    ended_by_task = False

    def destroy(self, reason: str | None = None) -> None:
        self.ended_by_task = True
        super().destroy(reason)

    def close(self) -> None:
        self.ended_by_task = True
        super().close()

    @property
    def was_taken_away(self) -> bool:
        """True if somebody else has ended it, or the server has; False while that is not known."""
        try:
            return not self.ended_by_task and self.state in _GONE
        except SpallocError:
            return False


class NotWantedError(Exception):
    """Whoever wanted boards does not want them any more."""


class WorkerPool:
    """At most so many workers, each with at most one allocation of good boards at a time."""

    def __init__(
        self, plan: Plan, most: int, phases: PhaseCounter, threads: Threads | GreenletThread
    ) -> None:
        self.plan = plan
        self.phases = phases
        self.process = os.getpid()
        """Whose they are: a forked child has none of them."""
        self._most = most
        self._threads = threads
        self._lock = native.new_rlock()
        self._tasks: Mailbox[Task | None] = Mailbox()
        """What is to be done; None sends one worker home."""
        self._requests: set[BoardRequest] = set()
        self._workers: set[_Worker] = set()
        self._workers_here: set[object] = set()
        """The threads or greenlets of the workers."""
        self._closed = False
        self._cancels = False
        self.has_had_jobs = False
        """True once the server has given one: it is waited for when it is away."""
        self._ends = ChangeCounter()
        """Counts one when the last worker has gone after :meth:`close`."""

    # -- for the owner ------------------------------------------------------------

    def submit(self, task: Task) -> bool:
        """Have `task` run when there are boards for it.

        Returns:
            False if the pool is closed.

        Raises:
            SpallocError: the system gives no thread.
        """
        with self._lock:
            if self._closed:
                return False
            if not self._tasks.has_takers and len(self._workers) < self._most:
                # Before it has a task: a failure to start it leaves nothing behind.
                self._start_worker()
            self.phases.add(task)
            self._tasks.put(task)
            return True

    def _start_worker(self) -> None:
        worker = _Worker(self)
        try:
            self._workers.add(worker)
            self._threads.start(worker.run)
        except BaseException:
            # Interrupted, its thread may run even so: it will see that it is none of ours.
            self._workers.discard(worker)
            raise

    def close(self, *, cancel: bool) -> None:
        """Take no more tasks.

        Args:
            cancel: True: give up those that have no boards yet.
        """
        with self._lock:
            was_closed, self._closed = self._closed, True
            self._cancels = self._cancels or cancel
            if not self._workers:
                self._ends.increment()
        waiting = self._tasks.drain() if cancel else []
        for task in waiting:
            if task is not None:
                task.future.cancel()
                self.give_up(task)
        with self._lock:
            # One for each worker that is left: those drained above, or the first ever.
            goodbyes = waiting.count(None) if was_closed else len(self._workers)
        for _ in range(goodbyes):
            self._tasks.put(None)
        if cancel:
            self._cancel_requests()
        self._threads.close()

    def join(self) -> None:
        """Wait until every worker has given back what it had, after :meth:`close`.

        Raises:
            RuntimeError: a worker of the pool would wait for itself.
        """
        with self._lock:
            is_worker = self._threads.current() in self._workers_here
        if is_worker:
            raise RuntimeError("a task cannot wait for the end of the executor that runs it")
        self._ends.wait_beyond(0)

    def _cancel_requests(self) -> None:
        with self._lock:
            requests = list(self._requests)
        for request in requests:
            request.task.future.cancel()
            request.cancel()

    # -- for the workers ----------------------------------------------------------

    def arrive(self, worker: _Worker) -> bool:
        """A worker has begun; False if it is none of this pool's."""
        with self._lock:
            if worker in self._workers:
                self._workers_here.add(self._threads.current())
            return worker in self._workers

    def next_task(self) -> Task | None:
        """The next one, waited for; None when the worker may go."""
        return self._tasks.take()

    def leave(self, worker: _Worker) -> None:
        """A worker has gone."""
        with self._lock:
            self._workers_here.discard(self._threads.current())
            self._workers.discard(worker)
            if self._closed and not self._workers:
                self._ends.increment()

    def give_up(self, task: Task) -> None:
        """Nobody wants the result of a task that has not begun."""
        task.future.set_running_or_notify_cancel()
        self.phases.move(task, Phase.CANCELLED)

    def find_boards(self, task: Task) -> TaskJob:
        """Good boards for a task.

        Raises:
            NotWantedError: nobody wants them any more.
        """
        request = BoardRequest(self, task)
        with self._lock:
            if self._cancels:
                task.future.cancel()
                raise NotWantedError
            self._requests.add(request)
        task.future.add_done_callback(request.cancel_with)
        plan = self.plan
        try:
            with Search(plan.ask, plan.limits, plan.check, plan.unwanted, request) as search:
                job = search.run()
        except Exception as error:
            if request.cancelled:
                raise NotWantedError from error
            raise
        finally:
            with self._lock:
                self._requests.remove(request)
        if request.fulfil():
            return job
        job.destroy(GIVEN_BACK)
        raise NotWantedError


class BoardRequest(Observer):
    """The search for a task's boards, which any thread may cancel."""

    def __init__(self, pool: WorkerPool, task: Task) -> None:
        self._pool = pool
        self.task = task
        self._lock = native.new_rlock()
        self._cancels = ChangeCounter()
        self._job: Job | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancels.count > 0

    def reached(self, phase: Phase, job: Job) -> None:
        self._pool.has_had_jobs = True
        with self._lock:
            self._job = job
        if self.cancelled:
            raise NotWantedError
        self._pool.phases.move(self.task, phase)

    def pause(self, seconds: float) -> None:
        if self._cancels.wait_beyond(0, Deadline(seconds).at):
            raise NotWantedError

    @property
    def waits_for_server(self) -> bool:
        return self._pool.has_had_jobs

    def fulfil(self) -> bool:
        """The boards are found, and cannot be taken away from here on; False if it is cancelled."""
        with self._lock:
            self._job = None
            return not self.cancelled

    def cancel_with(self, future: concurrent.futures.Future[Any]) -> None:
        """Cancel the search if the task's future has been cancelled."""
        if future.cancelled():
            self.cancel()

    def cancel(self) -> None:
        """Wake whoever waits for the boards; in a thread, for the server may take its time."""
        with self._lock:
            self._cancels.increment()
            job = self._job
        if job is not None:
            start_thread(lambda: job.destroy(GIVEN_BACK))


class _Worker:
    """Sees to one task after the other; what it holds in between is a job to be used again."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._plan = pool.plan
        self._job: TaskJob | None = None

    def run(self) -> None:
        """Until the pool has no more tasks for it."""
        if not self._pool.arrive(self):
            return
        try:
            while (task := self._pool.next_task()) is not None:
                self._handle(task)
        finally:
            self._give_back()
            self._pool.leave(self)

    def _handle(self, task: Task) -> None:
        if task.future.cancelled():
            self._pool.give_up(task)
            return
        lost: BaseException | None = None
        for _ in range(self._plan.retries + 1):
            try:
                self._job = self._boards_for(task)
            except NotWantedError:
                self._settle(task, lost)
                return
            except JobDestroyedError as error:
                # By somebody else before it was looked at, or because no machine can ever have
                # such boards: the second happens again, and is told then.
                lost = error
                continue
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                self._settle(task, error)
                return
            if not task.future.running() and not task.future.set_running_or_notify_cancel():
                self._end_use()
                self._pool.phases.move(task, Phase.CANCELLED)
                return
            lost = self._run(task, self._job)
            if lost is None:
                return
        self._settle(task, lost)

    def _boards_for(self, task: Task) -> TaskJob:
        if self._job is not None and self._is_fit(self._job):
            return self._job
        self._give_back()
        return self._pool.find_boards(task)

    def _is_fit(self, job: Job) -> bool:
        """Whether boards that another task has had can be used again."""
        try:
            if self._plan.reset:
                job.reset()
            job.wait_until_ready(self._plan.limits.power_timeout_s)
        except SpallocError:
            return False
        return True

    def _run(self, task: Task, job: TaskJob) -> BaseException | None:
        """Settle the task; or what it raised, when the job was destroyed under it."""
        self._pool.phases.move(task, Phase.IN_USE)
        try:
            result = self._plan.call(task, job)
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            if job.was_taken_away:
                return error
            self._end_use()
            self._settle(task, error)
        else:
            self._end_use()
            self._pool.phases.move(task, Phase.DONE)
            task.future.set_result(result)
        return None

    def _settle(self, task: Task, error: BaseException | None) -> None:
        """It has failed for good; without an error, it was cancelled."""
        if error is None:
            self._pool.give_up(task)
        elif task.future.running() or task.future.set_running_or_notify_cancel():
            self._pool.phases.move(task, Phase.FAILED)
            task.future.set_exception(error)
        else:
            self._pool.phases.move(task, Phase.CANCELLED)

    def _end_use(self) -> None:
        if not self._plan.reuse:
            self._give_back()

    def _give_back(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.destroy(DONE)
