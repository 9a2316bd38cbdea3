"""A function to be run on boards of its own, and the future of what it returns."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.deadline import Deadline
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
        set_it = super().set_result
        self._call_in_own_thread(lambda: set_it(result))

    def set_exception(self, exception: BaseException | None) -> None:
        """Have those who wait raise `exception`; for the executor only."""
        set_it = super().set_exception
        self._call_in_own_thread(lambda: set_it(exception))

    def result(self, timeout: float | None = None) -> T:
        """What the task returned.

        Args:
            timeout: how long to wait for it, in seconds; None for ever.

        Raises:
            TimeoutError: it has not ended in that time.
            CancelledError: it was cancelled.
            BaseException: what the task itself raised.
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None; arguments and errors are those of :meth:`result`."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if not self.done() and not self._ends.wait_beyond(0, Deadline(timeout).at):
            raise concurrent.futures.TimeoutError


class Task:
    """One call of a function on boards."""

    __slots__ = ("args", "fn", "future", "kwargs", "phase")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.future: TaskFuture[Any] = TaskFuture()
        self.phase = Phase.WAITING


def run_chunk(boards: Any, chunk: Iterable[tuple[Any, ...]], fn: Callable[..., T]) -> list[T]:
    """Some calls of `fn` on the same boards, one after the other."""
    return [fn(boards, *items) for items in chunk]
