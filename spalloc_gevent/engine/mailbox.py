"""Things handed from any thread to whoever waits for the next one, a thread or a greenlet."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from spalloc_gevent.engine import native
from spalloc_gevent.engine.outcome import NotSettledError, Outcome

T = TypeVar("T")


class NothingCameError(Exception):
    """The time to wait is over, and nothing has come."""


class Mailbox(Generic[T]):
    """First in, first out; of those who wait, the one who came last is served first.

    Each thing wakes one of them only, so that hundreds may wait.
    """

    def __init__(self) -> None:
        self._mutex = native.new_mutex()
        self._things: deque[T] = deque()
        self._takers: list[Outcome[T]] = []

    @property
    def has_takers(self) -> bool:
        """True if somebody waits, whom the next thing will be given to."""
        return bool(self._takers)

    def put(self, thing: T) -> None:
        """Leave `thing` for whoever comes first."""
        with self._mutex:
            if self._takers:
                self._takers.pop().settle(thing)
            else:
                self._things.append(thing)

    def take(self, timeout_s: float | None = None) -> T:
        """The oldest thing, or the next; raises NothingCameError after `timeout_s` seconds."""
        with self._mutex:
            if self._things:
                return self._things.popleft()
            taker: Outcome[T] = Outcome()
            self._takers.append(taker)
        try:
            return taker.wait(timeout_s)
        except NotSettledError:
            return self._come_too_late(taker)
        except BaseException:
            self._give_up(taker)
            raise

    def drain(self) -> list[T]:
        """All things that nobody has taken, the oldest first."""
        with self._mutex:
            things = list(self._things)
            self._things.clear()
            return things

    def _come_too_late(self, taker: Outcome[T]) -> T:
        with self._mutex:
            if taker in self._takers:
                self._takers.remove(taker)
                raise NothingCameError
        return taker.wait()

    def _give_up(self, taker: Outcome[T]) -> None:
        with self._mutex:
            if taker in self._takers:
                self._takers.remove(taker)
            elif self._takers:
                self._takers.pop().settle(taker.wait())
            else:
                self._things.appendleft(taker.wait())
