"""How many requests are in which phase, told to whoever follows them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.engine.workers import new_mutex

_log = logging.getLogger(__name__)

Progress = Callable[[dict[str, int]], object]
"""Called with how many requests are in each phase, whenever one has gone on."""


class Tally:
    """Counts of requests by phase; any thread may have one go on."""

    def __init__(self, waiting: int = 0, progress: Progress | None = None) -> None:
        self._mutex = new_mutex()
        self._counts = Counter({Phase.WAITING: waiting})
        self._progress = progress

    @property
    def counts(self) -> dict[str, int]:
        """How many requests are in each phase; those without any are left out."""
        with self._mutex:
            return {phase.value: self._counts[phase] for phase in Phase if self._counts[phase]}

    def goes_on(self, old: Phase | None, new: Phase) -> None:
        """A request that was in phase `old`, or is new, is in `new` now."""
        # Told under the lock, so that nobody hears of the past after the present.
        with self._mutex:
            if old is not None:
                self._counts[old] -= 1
            self._counts[new] += 1
            if self._progress is not None:
                self._tell(self._progress)

    def _tell(self, progress: Progress) -> None:
        try:
            progress(self.counts)
        except Exception:  # noqa: BLE001 - the user's own, and told as it is
            _log.exception("the progress callback failed, and is called no more")
            self._progress = None
