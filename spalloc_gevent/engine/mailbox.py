"""Things handed from any thread to whoever waits for the next one, a thread or a greenlet."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.engine import native
from spalloc_gevent.engine.outcome import NotSettledError, Outcome

T = TypeVar("T")


class NothingCameError(Exception):
    """The time to wait is over, and nothing has come."""


class Mailbox(Generic[T]):
    """First in, first out."""

    def __init__(self) -> None:
        self._mutex = native.new_mutex()
        self._things: deque[T] = deque()
        self._waiting: list[Outcome[None]] = []

    def put(self, thing: T) -> None:
        """Leave `thing` for whoever comes first."""
        with self._mutex:
            self._things.append(thing)
            waiting, self._waiting = self._waiting, []
        for outcome in waiting:
            outcome.settle(None)

    def take(self, timeout_s: float | None = None) -> T:
        """The oldest thing, or the next; raises NothingCameError after `timeout_s` seconds."""
        deadline = Deadline(timeout_s)
        while True:
            outcome: Outcome[None] = Outcome()
            with self._mutex:
                if self._things:
                    return self._things.popleft()
                self._waiting.append(outcome)
            try:
                outcome.wait(deadline.left())
            except NotSettledError:
                raise NothingCameError from None
            finally:
                with self._mutex:
                    if outcome in self._waiting:
                        self._waiting.remove(outcome)
