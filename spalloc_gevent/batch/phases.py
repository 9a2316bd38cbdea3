"""How far requests for boards have come, and how many have come how far."""

from __future__ import annotations

import enum
import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from spalloc_gevent.transport import native

_log = logging.getLogger(__name__)

Progress = Callable[[dict[str, int]], object]
"""Called with how many requests are in each phase, whenever one has gone on."""


class Phase(enum.Enum):
    """Where a request is; the values are the names under which they are counted."""

    WAITING = "waiting"
    """Not asked for yet: as many as may be are open."""
    QUEUED = "queued"
    """Asked for, and without boards."""
    POWER = "power"
    """Its boards are powered on, and looked at."""
    BAD = "bad"
    """Its boards were of no use; others are asked for."""
    READY = "ready"
    """Nobody has taken it yet."""
    IN_USE = "in use"
    """Handed out, or a task runs on it."""
    DONE = "done"
    """Given back."""
    FAILED = "failed"
    """There were no good boards, or what ran on them raised an exception."""
    CANCELLED = "cancelled"
    """Given up before it had boards."""


class Phased(Protocol):
    """A request, or a task, that goes from phase to phase."""

    phase: Phase | None
    """Where it is, None while it is not counted; written by the :class:`PhaseCounter`."""


class PhaseCounter:
    """Counts requests by phase; any thread may move one."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._lock = native.new_rlock()
        self._counts: Counter[Phase | None] = Counter()
        self.progress = progress
        """Whom to tell; None for nobody."""

    @property
    def counts(self) -> dict[str, int]:
        """How many requests are in each phase; those without any are left out."""
        with self._lock:
            return {phase.value: self._counts[phase] for phase in Phase if self._counts[phase]}

    def move(self, request: Phased, phase: Phase) -> None:
        """A request has gone on to another phase, or is counted from now on."""
        # The callback is called under the lock: nobody hears of the past after the present.
        with self._lock:
            self._counts[request.phase] -= 1
            request.phase = phase
            self._counts[phase] += 1
            if self.progress is None:
                return
            try:
                self.progress(self.counts)
            except Exception:  # noqa: BLE001 - the user's own, and told as it is
                _log.exception("the progress callback failed, and is called no more")
                self.progress = None
