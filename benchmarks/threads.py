"""Native threads that are there already when they are wanted: their start is nobody's call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """So many of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)
        all_there = threading.Barrier(count)
        list(self._pool.map(lambda _: all_there.wait(), range(count)))

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._pool.shutdown()

    def each(self, work: Callable[[int], T], argument: int) -> list[T]:
        """What `work` returned in every thread."""
        return list(self._pool.map(work, [argument] * self.count))

    def share(self, calls: int, some: Callable[[int], int]) -> int:
        """Have each make its share of the calls; how many were made."""
        return sum(self.each(some, calls // self.count))


def in_a_thread(work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns in a native thread that has no gevent hub, as a plain script has none."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()
