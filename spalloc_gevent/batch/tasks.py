"""A function to be run on boards of its own, and the future of what it returns."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from spalloc_gevent.batch.phases import PhaseCounter
from spalloc_gevent.batch.request import GIVEN_BACK, BoardRequest
from spalloc_gevent.batch.workers import Workers
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.job import Job
from spalloc_gevent.job.life import GONE
from spalloc_gevent.transport.threads import caller_in_this_thread
from spalloc_gevent.transport.waiting import ChangeCounter

T = TypeVar("T")


class TaskFuture(concurrent.futures.Future[T]):
    """A future of the standard library, whose waits let a greenlet's hub run.

    It counts as running from when its boards are ready: until then it can be cancelled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ends = ChangeCounter()
        self._call_in_own_thread = caller_in_this_thread()
        self.add_done_callback(lambda _: self._wake_waiters())

    def _wake_waiters(self) -> None:
        self._ends.increment()
        if self.cancelled():
            # Nothing will be set, and whatever waits to set it need not be kept.
            self._call_in_own_thread(lambda: None)

    def set_result(self, result: T) -> None:
        """Give those who wait the result; for the executor only."""
        self._call_in_own_thread(functools.partial(super().set_result, result))

    def set_exception(self, exception: BaseException | None) -> None:
        """Have those who wait raise `exception`; for the executor only."""
        self._call_in_own_thread(functools.partial(super().set_exception, exception))

    def result(self, timeout: float | None = None) -> T:
        """As the standard library's; a greenlet that waits lets its hub run."""
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As :meth:`result`."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if not self.done() and not self._ends.wait_beyond(0, Deadline(timeout).at):
            raise concurrent.futures.TimeoutError


class Task(BoardRequest):
    """One call of a function on boards."""

    def __init__(
        self,
        workers: Workers,
        counter: PhaseCounter,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(counter)
        self._workers = workers
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.future: TaskFuture[Any] = TaskFuture()
        self._is_running: bool | None = None
        self.future.add_done_callback(self._ended)

    def _ended(self, future: concurrent.futures.Future[Any]) -> None:
        if future.cancelled():
            self.give_up()

    def begin(self) -> bool:
        """Have its future count as running from the first time on; False if it was cancelled."""
        if self._is_running is None:
            self._is_running = self.future.set_running_or_notify_cancel()
        return self._is_running

    def give_up(self) -> None:
        """Ask for no more boards for it."""
        job = self.cancel()
        if job is not None:
            # In a thread, for the server may take its time.
            self._workers.do_aside(functools.partial(job.destroy, GIVEN_BACK))


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
            return not self.ended_by_task and self.state in GONE
        except SpallocError:
            return False
