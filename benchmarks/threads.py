"""Native threads that are there already when they are wanted: their start is nobody's call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """So many of them, which begin together."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)
        self._all_there = threading.Barrier(count + 1)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._pool.shutdown()

    def each(self, work: Callable[..., T], *arguments: Any) -> tuple[float, list[T]]:
        """The seconds that it takes to do the work once in every thread, and what came of it."""
        coming = [self._pool.submit(self._begin, work, arguments) for _ in range(self.count)]
        # Each waits here for all others, so that none takes the work of two.
        self._all_there.wait()
        began = time.perf_counter()
        done = [one.result() for one in coming]
        return time.perf_counter() - began, done

    def _begin(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        self._all_there.wait()
        return work(*arguments)

    def rate(self, calls: int, some: Callable[[int], int]) -> float:
        """Calls a second, where each thread makes its share of them with `some`."""
        took_s, made = self.each(some, calls // self.count)
        return sum(made) / took_s


def in_a_thread(work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns in a native thread that has no gevent hub, as a plain script has none."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()
