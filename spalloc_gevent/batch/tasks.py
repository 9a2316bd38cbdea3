"""A function to be run on boards of its own, and the future of what it returns."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.engine.homing import way_home
from spalloc_gevent.engine.pausing import Alarm

T = TypeVar("T")


class TaskFuture(concurrent.futures.Future[T]):
    """A future of the standard library, whose waits let a greenlet's hub run.

    It counts as running from when its boards are ready: until then it can be cancelled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._over = Alarm()
        self._bring_home = way_home()
        self.add_done_callback(lambda _: self._end_waits())

    def _end_waits(self) -> None:
        self._over.ring()
        self._bring_home(lambda: None)

    def set_result(self, result: T) -> None:
        """Give those who wait the result; for the executor only."""
        settle = super().set_result
        self._bring_home(lambda: settle(result))

    def set_exception(self, exception: BaseException | None) -> None:
        """Have those who wait raise `exception`; for the executor only."""
        settle = super().set_exception
        self._bring_home(lambda: settle(exception))

    def result(self, timeout: float | None = None) -> T:
        """What the task returned; raises what it raised, as the standard library's does."""
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None."""
        self._await(timeout)
        return super().exception(0)

    def _await(self, timeout: float | None) -> None:
        if not self.done() and not self._over.wait(timeout):
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
