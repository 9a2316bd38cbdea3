"""The commands that run, and when each has to be ended; all in the main thread."""

from __future__ import annotations

import time

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.scripts.batch_trial import Ending, Run
from spalloc_gevent.scripts.batch_watch import OPEN_AFTER_S, Seen
from spalloc_gevent.scripts.child import KILL_AFTER_S


class Running:
    """What runs at present, cases and checks."""

    def __init__(self, timeout_s: float | None) -> None:
        """timeout_s: how long each may take; None for ever."""
        self._timeout_s = timeout_s
        self._limits: dict[Run, Deadline] = {}
        self._kills: dict[Run, Deadline] = {}

    def __bool__(self) -> bool:
        return bool(self._limits)

    def cases(self) -> list[Run]:
        """Those of cases, the oldest first."""
        return [run for run in self._limits if run.case is not None]

    def add(self, run: Run) -> None:
        self._limits[run] = Deadline(self._timeout_s)

    def remove(self, run: Run) -> None:
        """It has ended."""
        del self._limits[run]
        self._kills.pop(run, None)
        run.process.forget()

    def end(self, run: Run, why: Ending) -> None:
        """Have it end; it is killed when it refuses."""
        if run.ending is None:
            run.ending = why
            self._kills[run] = Deadline(KILL_AFTER_S)
            run.process.end()

    def end_all(self, why: Ending) -> None:
        for run in self._limits:
            self.end(run, why)

    def send_all(self, signum: int) -> int:
        """Pass a signal on; how many commands have got it."""
        for run in self._limits:
            run.process.send(signum)
        return len(self._limits)

    def kill_all(self) -> None:
        for run in self._limits:
            run.process.kill()

    def end_checks(self) -> None:
        for run in self._limits:
            if run.case is None:
                self.end(run, Ending.SIGNAL)

    def end_lost(self, seen: Seen) -> None:
        """End what runs on boards of jobs that the server, asked since, has no more."""
        asked_s, job_ids = seen
        for run in self._limits:
            if run.began_s < asked_s and run.job_id not in job_ids:
                self.end(run, Ending.LOST)

    def end_late(self) -> None:
        """End what has run too long, and kill what has refused to end."""
        for run, limit in self._limits.items():
            if limit.passed:
                self.end(run, Ending.TIMEOUT)
        for run in [run for run, limit in self._kills.items() if limit.passed]:
            del self._kills[run]
            run.process.kill()

    @property
    def is_any_old(self) -> bool:
        """Whether something runs long enough to be worth a look at its job."""
        first = next(iter(self._limits), None)
        return first is not None and time.monotonic() - first.began_s >= OPEN_AFTER_S

    def next_limit_s(self) -> float | None:
        """Seconds until :meth:`end_late` has something to do; None for never."""
        # All may run equally long, so that the first comes first.
        limits = [next((limit for run, limit in self._limits.items() if not run.ending), None)]
        left = [limit.left() for limit in (*limits, *self._kills.values()) if limit is not None]
        return min((left_s for left_s in left if left_s is not None), default=None)
