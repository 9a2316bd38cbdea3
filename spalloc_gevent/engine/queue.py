"""The order in which waiting calls go out: first come first served, but late keepalives first."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator

from spalloc_gevent.engine.call import Call


class _Place:
    """A call's place in both orders; empty once the call has left by one of them."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call: Call | None = call


class CallQueue:
    """Calls that wait for a connection."""

    def __init__(self) -> None:
        self._oldest_first: deque[_Place] = deque()
        self._most_urgent_first: list[tuple[float, int, _Place]] = []
        self._numbers = itertools.count()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def has_urgent(self) -> bool:
        """True while a call waits that has a time from which it goes before others."""
        waiting = self._most_urgent_first
        while waiting and waiting[0][2].call is None:
            heapq.heappop(waiting)
        return bool(waiting)

    def append(self, call: Call) -> None:
        """Add a call at the end."""
        self._oldest_first.append(self._place(call))

    def append_left(self, call: Call) -> None:
        """Put back a call that had its turn and lost its connection."""
        self._oldest_first.appendleft(self._place(call))

    def _place(self, call: Call) -> _Place:
        place = _Place(call)
        self._length += 1
        if call.urgent_at is not None:
            entry = (call.urgent_at, next(self._numbers), place)
            heapq.heappush(self._most_urgent_first, entry)
        return place

    def take(self, now: float) -> Call | None:
        """The next call that is still wanted; None when there is none."""
        while self._length:
            call = self._leave(self._next_place(now))
            if call is not None and call.wanted:
                return call
        return None

    def _next_place(self, now: float) -> _Place:
        if self._most_urgent_first and self._most_urgent_first[0][0] <= now:
            return heapq.heappop(self._most_urgent_first)[2]
        return self._oldest_first.popleft()

    def _leave(self, place: _Place) -> Call | None:
        call, place.call = place.call, None
        if call is not None:
            self._length -= 1
        if not self._length:
            self._oldest_first.clear()
            self._most_urgent_first.clear()
        return call

    def drain(self) -> Iterator[Call]:
        """Take out every call that is still wanted, the oldest first."""
        while (call := self.take(float("-inf"))) is not None:
            yield call
