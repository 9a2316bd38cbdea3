"""Workers that give each task boards of its own, one task after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.batch.allocation import GIVEN_BACK, Check, Limits, Observer, Search
from spalloc_gevent.batch.bad_boards import BadBoards
from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.batch.tally import Tally
from spalloc_gevent.batch.tasks import Task
from spalloc_gevent.engine.mailbox import Mailbox
from spalloc_gevent.engine.pausing import Alarm
from spalloc_gevent.engine.workers import GreenletThread, Threads, new_mutex, start
from spalloc_gevent.errors import JobDestroyedError, SpallocError
from spalloc_gevent.job import Job
from spalloc_gevent.states import JobState

DONE = "Given back when its task had ended."

_GONE = (JobState.destroyed, JobState.unknown)


@dataclass(frozen=True)
class Plan:
    """What a crew does for each task."""

    ask: Callable[[], LentJob]
    call: Callable[[Task, Job], Any]
    """Runs the task on a job's boards, wherever that is to be; returns or raises what it does."""
    limits: Limits
    check: Check | None
    unwanted: BadBoards
    reuse: bool
    reset: bool
    retries: int


class LentJob(Job):
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


class Crew:
    """At most so many workers, each with at most one allocation of good boards at a time."""

    def __init__(
        self, plan: Plan, most: int, tally: Tally, place: Threads | GreenletThread
    ) -> None:
        self.plan = plan
        self.tally = tally
        self.process = os.getpid()
        """Whose they are: a forked child has none of them."""
        self._most = most
        self._place = place
        self._mutex = new_mutex()
        self._tasks: Mailbox[Task | None] = Mailbox()
        self._searches: dict[_Wish, Task] = {}
        self._workers = 0
        self._at_work: set[object] = set()
        self._closed = False
        self._cancels = False
        self.has_had_jobs = False
        """True once the server has given one: it is waited for when it is away."""
        self._all_left = Alarm()

    # -- for the owner ------------------------------------------------------------

    def take_on(self, task: Task) -> bool:
        """Have `task` run when there are boards for it; False when the crew is closed.

        Raises SpallocError when the system gives no thread.
        """
        with self._mutex:
            if self._closed:
                return False
            has_worker = self._tasks.has_takers or self._workers >= self._most
            if not has_worker:
                # It waits until there is something: a failure to start it leaves nothing behind.
                self._place.start(_Worker(self).run)
                self._workers += 1
            self.tally.goes_on(None, Phase.WAITING)
            self._tasks.put(task)
            return True

    def close(self, *, cancel: bool) -> None:
        """Take on no more; `cancel` gives up what has no boards yet."""
        with self._mutex:
            was_closed, self._closed = self._closed, True
            self._cancels = self._cancels or cancel
            if not self._workers:
                self._all_left.ring()
        waiting = self._tasks.drain() if cancel else []
        for task in waiting:
            if task is not None:
                self._cancelled(task)
        with self._mutex:
            # One for each worker that is left: those drained above, or the first ever.
            goodbyes = waiting.count(None) if was_closed else self._workers
        for _ in range(goodbyes):
            self._tasks.put(None)
        if cancel:
            self._end_searches()
        self._place.end()

    def await_all(self) -> None:
        """Wait until every worker has given back what it had, after :meth:`close`.

        Raises RuntimeError in a worker, which would wait for itself.
        """
        if self._place.here() in self._at_work:
            raise RuntimeError("a task cannot wait for the end of the executor that runs it")
        self._all_left.wait()

    def _cancelled(self, task: Task) -> None:
        task.future.cancel()
        self.give_up(task)

    def _end_searches(self) -> None:
        with self._mutex:
            searches = dict(self._searches)
        for wish, task in searches.items():
            task.future.cancel()
            wish.end()

    # -- for the workers ----------------------------------------------------------

    def arrive(self) -> None:
        """A worker has begun."""
        self._at_work.add(self._place.here())

    def next_task(self) -> Task | None:
        """The next one, waited for; None when the worker may go."""
        return self._tasks.take()

    def leave(self) -> None:
        """A worker has gone."""
        self._at_work.discard(self._place.here())
        with self._mutex:
            self._workers -= 1
            if self._closed and not self._workers:
                self._all_left.ring()

    def goes_on(self, task: Task, phase: Phase) -> None:
        old, task.phase = task.phase, phase
        self.tally.goes_on(old, phase)

    def give_up(self, task: Task) -> None:
        """Nobody wants the result of a task that has not begun."""
        task.future.set_running_or_notify_cancel()
        self.goes_on(task, Phase.CANCELLED)

    def searched_for(self, task: Task) -> LentJob:
        """Good boards; raises NotWantedError when nobody wants them any more."""
        wish = _Wish(self, task)
        with self._mutex:
            if self._cancels:
                task.future.cancel()
                raise NotWantedError
            self._searches[wish] = task
        task.future.add_done_callback(wish.end_if_cancelled)
        plan = self.plan
        try:
            with Search(plan.ask, plan.limits, plan.check, plan.unwanted, wish) as search:
                job = search.run()
        except Exception as error:
            if wish.ended:
                raise NotWantedError from error
            raise
        finally:
            with self._mutex:
                del self._searches[wish]
        if wish.comes_true():
            return job
        job.destroy(GIVEN_BACK)
        raise NotWantedError


class NotWantedError(Exception):
    """Whoever wanted boards does not want them any more."""


class _Wish(Observer):
    """The search for a task's boards, which any thread may end."""

    def __init__(self, crew: Crew, task: Task) -> None:
        self._crew = crew
        self._task = task
        self._ended = Alarm()
        self._mutex = new_mutex()
        self._job: Job | None = None

    @property
    def ended(self) -> bool:
        return self._ended.rung

    def reached(self, phase: Phase, job: Job) -> None:
        self._crew.has_had_jobs = True
        with self._mutex:
            self._job = job
        if self.ended:
            raise NotWantedError
        self._crew.goes_on(self._task, phase)

    def pause(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            raise NotWantedError

    @property
    def waits_for_server(self) -> bool:
        return self._crew.has_had_jobs

    def comes_true(self) -> bool:
        """The boards are found: nobody may take them away from here on; False if one has."""
        with self._mutex:
            self._job = None
            return not self.ended

    def end_if_cancelled(self, future: Any) -> None:
        if future.cancelled():
            self.end()

    def end(self) -> None:
        """Wake whoever waits for the boards; in a thread, for the server may take its time."""
        with self._mutex:
            self._ended.ring()
            job = self._job
        if job is not None:
            start(lambda: job.destroy(GIVEN_BACK))


class _Worker:
    """Sees to one task after the other; what it holds in between is a job to be used again."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._plan = crew.plan
        self._job: LentJob | None = None

    def run(self) -> None:
        """Until the crew has no more tasks for it."""
        self._crew.arrive()
        try:
            while (task := self._crew.next_task()) is not None:
                self._see_to(task)
        finally:
            self._give_back()
            self._crew.leave()

    def _see_to(self, task: Task) -> None:
        if task.future.cancelled():
            self._crew.give_up(task)
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
                self._crew.goes_on(task, Phase.CANCELLED)
                return
            lost = self._run(task, self._job)
            if lost is None:
                return
        self._settle(task, lost)

    def _boards_for(self, task: Task) -> LentJob:
        if self._job is not None and self._is_fit(self._job):
            return self._job
        self._give_back()
        return self._crew.searched_for(task)

    def _is_fit(self, job: Job) -> bool:
        """Whether boards that another task has had can be used again."""
        try:
            if self._plan.reset:
                job.reset()
            job.wait_until_ready(self._plan.limits.power_timeout_s)
        except SpallocError:
            return False
        return True

    def _run(self, task: Task, job: LentJob) -> BaseException | None:
        """Settle the task; or what it raised, when the job was destroyed under it."""
        self._crew.goes_on(task, Phase.IN_USE)
        try:
            result = self._plan.call(task, job)
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            if job.was_taken_away:
                return error
            self._end_use()
            self._settle(task, error)
        else:
            self._end_use()
            self._crew.goes_on(task, Phase.DONE)
            task.future.set_result(result)
        return None

    def _settle(self, task: Task, error: BaseException | None) -> None:
        """It has failed for good; without an error, it was cancelled."""
        if error is None:
            self._crew.give_up(task)
        elif task.future.running() or task.future.set_running_or_notify_cancel():
            self._crew.goes_on(task, Phase.FAILED)
            task.future.set_exception(error)
        else:
            self._crew.goes_on(task, Phase.CANCELLED)

    def _end_use(self) -> None:
        if not self._plan.reuse:
            self._give_back()

    def _give_back(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.destroy(DONE)
