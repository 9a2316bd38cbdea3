"""Doing nothing for a while: a plain thread sleeps, a greenlet lets its hub run."""

from __future__ import annotations

from contextlib import suppress

from spalloc_gevent.engine import native
from spalloc_gevent.engine.outcome import NotSettledError, Outcome


def pause(seconds: float) -> None:
    """Wait; can be interrupted as every wait of this package can."""
    Alarm().wait(seconds)


class Alarm:
    """Something that any number of threads and greenlets wait for until it is rung, once."""

    def __init__(self) -> None:
        self._mutex = native.new_mutex()
        self._waiting: list[Outcome[None]] = []
        self._rung = False

    @property
    def rung(self) -> bool:
        return self._rung

    def ring(self) -> None:
        """Wake all who wait, and let nobody wait from now on."""
        with self._mutex:
            self._rung = True
            waiting, self._waiting = self._waiting, []
        for outcome in waiting:
            outcome.settle(None)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is rung, at most `seconds` (None: for ever); True if it has been."""
        outcome: Outcome[None] = Outcome()
        with self._mutex:
            if self._rung:
                return True
            self._waiting.append(outcome)
        try:
            with suppress(NotSettledError):
                outcome.wait(seconds)
        finally:
            with self._mutex:
                if outcome in self._waiting:
                    self._waiting.remove(outcome)
        return self._rung
