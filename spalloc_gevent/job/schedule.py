"""When a keepalive is due; pure but for its clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from spalloc_gevent.deadline import Clock

EARLIEST_SHARE = 0.4
LATEST_SHARE = 0.5
"""A keepalive is due after this share of its interval: spread, and with time for another try."""

STEP_SHARE = 0.02
LONGEST_STEP_S = 0.25
"""Keepalives go out at common points in time, so far apart: thousands of jobs that each woke the
hub by itself would take several times the CPU time."""

PATIENCE_SHARE = 0.125
"""The share of the interval after which an unanswered keepalive tries another connection."""
LONGEST_PATIENCE_S = 5.0

RETRY_SHARE = 0.08
LONGEST_RETRY_S = 0.8
"""A keepalive that failed is tried again after this share of the interval, or this time."""


class KeepaliveSchedule:
    """When the next keepalive of one job is due."""

    __slots__ = ("_clock", "_heard_at", "_not_before", "_share", "_spread", "_step_s", "interval_s")

    def __init__(
        self,
        interval_s: float,
        clock: Clock = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Begin with a job that the server has just heard of.

        Args:
            interval_s: seconds of silence after which the server destroys the job.
            clock: tells the time in seconds.
            spread: from 0 to 1, anew for each keepalive.
        """
        self.interval_s = interval_s
        self._clock = clock
        self._spread = spread
        self._heard_at = clock()
        self._not_before = self._heard_at
        self._share = self._next_share()
        self._step_s = min(LONGEST_STEP_S, interval_s * STEP_SHARE)

    def _next_share(self) -> float:
        return EARLIEST_SHARE + (LATEST_SHARE - EARLIEST_SHARE) * self._spread()

    def heard(self, sent_at: float) -> None:
        """A command that names the job, sent at `sent_at`, was answered: it counts as one."""
        self._heard_at = max(self._heard_at, sent_at)
        self._share = self._next_share()

    def failed(self) -> None:
        """A keepalive was not taken: the next is due soon, but not at once."""
        retry_s = min(LONGEST_RETRY_S, self.interval_s * RETRY_SHARE)
        self._not_before = self._clock() + retry_s

    @property
    def due_at(self) -> float:
        """When the next keepalive is due, on the clock."""
        due_at = self._heard_at + self.interval_s * self._share
        return max(due_at - due_at % self._step_s, self._not_before)

    @property
    def late_by(self) -> float:
        """Seconds since the server may have destroyed the job for silence; negative before."""
        return self._clock() - self._heard_at - self.interval_s

    @property
    def patience_s(self) -> float:
        """How long a reply may take before another connection is tried."""
        return min(LONGEST_PATIENCE_S, self.interval_s * PATIENCE_SHARE)
