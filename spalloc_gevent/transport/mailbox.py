"""Things handed from any thread to whoever waits for the next one, a thread or a greenlet."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from spalloc_gevent.transport import native
from spalloc_gevent.transport.waiting import Waiter

T = TypeVar("T")


class Mailbox(Generic[T]):
    """First in, first out; of those who wait, the one who came last is served first.

    Each thing wakes one of them only, so that hundreds may wait. It stays here until
    somebody takes it: whoever is woken and interrupted leaves it to the next.
    """

    def __init__(self) -> None:
        self._lock = native.new_rlock()
        self._things: deque[T] = deque()
        self._takers: list[Waiter] = []

    @property
    def has_takers(self) -> bool:
        """True if somebody waits for whom there is nothing yet."""
        return bool(self._takers)

    def put(self, thing: T) -> None:
        """Leave `thing` for whoever comes first."""
        with self._lock:
            self._things.append(thing)
            self._wake_one()

    def take(self) -> T:
        """The oldest thing, waited for."""
        while True:
            taker = Waiter()
            try:
                with self._lock:
                    if self._things:
                        return self._things.popleft()
                    self._takers.append(taker)
                taker.wait()
            except BaseException:
                with self._lock:
                    self._leave(taker)
                    # What it was woken for is another's now.
                    self._wake_one()
                raise
            with self._lock:
                self._leave(taker)

    def drain(self) -> list[T]:
        """All things that nobody has taken, the oldest first."""
        with self._lock:
            things = list(self._things)
            self._things.clear()
            return things

    def _wake_one(self) -> None:
        # Struck off when it has been woken: one whose waking is interrupted is woken next time.
        if self._takers and self._things:
            self._takers[-1].wake()
            self._takers.pop()

    def _leave(self, taker: Waiter) -> None:
        if taker in self._takers:
            self._takers.remove(taker)
