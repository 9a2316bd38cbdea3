"""How many requests are in which phase, told to whoever follows them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.transport import native

_log = logging.getLogger(__name__)

Progress = Callable[[dict[str, int]], object]
"""Called with how many requests are in each phase, whenever one has gone on."""


class Phased(Protocol):
    """A request, or a task, that goes from phase to phase."""

    phase: Phase
    """Where it is; written by the :class:`PhaseCounter` that counts it."""


class PhaseCounter:
    """Counts requests by phase; any thread may move one."""

    def __init__(self, progress: Progress | None = None, requests: Iterable[Phased] = ()) -> None:
        self._lock = native.new_rlock()
        self._counts = Counter(request.phase for request in requests)
        self._progress = progress

    @property
    def counts(self) -> dict[str, int]:
        """How many requests are in each phase; those without any are left out."""
        with self._lock:
            return {phase.value: self._counts[phase] for phase in Phase if self._counts[phase]}

    def add(self, request: Phased) -> None:
        """Count one more, in the phase that it is in."""
        # Told under the lock, so that nobody hears of the past after the present.
        with self._lock:
            self._counts[request.phase] += 1
            self._tell()

    def move(self, request: Phased, phase: Phase) -> None:
        """A request that is counted has gone on to another phase."""
        with self._lock:
            self._counts[request.phase] -= 1
            request.phase = phase
            self._counts[phase] += 1
            self._tell()

    def _tell(self) -> None:
        if self._progress is None:
            return
        try:
            self._progress(self.counts)
        except Exception:  # noqa: BLE001 - the user's own, and told as it is
            _log.exception("the progress callback failed, and is called no more")
            self._progress = None
