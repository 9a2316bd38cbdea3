"""What is to be done at which time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

from spalloc_gevent.deadline import Clock

SPARE_TIMERS = 1000
"""How many cancelled ones are kept, at least, before they are cleared out."""


class Timer:
    """Something to be done; `action` is None once it was done or cancelled."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action


class Timers:
    """Things to do later, by a clock; those for the same moment in the order of asking."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, action: Callable[[], object]) -> Timer:
        """Have something done at a moment of the clock."""
        timer = Timer(action)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Have it not done, if that is not too late."""
        if timer is None or timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        if self._cancelled > SPARE_TIMERS + len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due(self) -> float:
        """The moment of the next one; infinite when there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def run_due(self) -> bool:
        """Do what is due, but not yet what that makes due; False when there was nothing."""
        now = self.clock()
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for timer in due:
            action, timer.action = timer.action, None
            if action is not None:
                action()
        return bool(due)
