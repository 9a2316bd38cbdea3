"""Time as a monotonic deadline, made once and passed down.

Nested waits share one budget, and a clock that is set does no harm.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from spalloc_gevent.errors import BadTypeError, BadValueError

Clock = Callable[[], float]

LONGEST_WAIT_S = 2_000_000.0
"""The longest single wait: poll() counts milliseconds in 31 bits, which is 24 days."""


def waitable(timeout_s: float | None) -> float | None:
    """`timeout_s` as every wait takes it: at most LONGEST_WAIT_S seconds, or None for no limit.

    Whoever has waited so long looks whether the time is up, and waits again.
    """
    return None if timeout_s is None else min(timeout_s, LONGEST_WAIT_S)


def limit_in_seconds(limit: object, name: str = "timeout") -> float | None:
    """A limit as a plain number of seconds, whatever kind of number it was given as.

    Args:
        limit: a number, with those of other libraries; infinity, or None, for no limit.
        name: what a message calls it.

    Raises:
        TypeError, ValueError: it is no number.
    """
    if limit is None or (type(limit) is float and limit == limit):
        return limit
    if isinstance(limit, bool | str | bytes) or not hasattr(limit, "__float__"):
        raise BadTypeError(f"{name} must be a number of seconds or None, not {limit!r}")
    try:
        seconds = float(limit)
    except OverflowError:
        return math.inf
    if math.isnan(seconds):
        raise BadValueError(f"{name} must be a number of seconds or None, not {limit!r}")
    return seconds


class Deadline:
    """The moment after which nobody wants to wait any more; None means never."""

    __slots__ = ("_clock", "at", "timeout_s")

    def __init__(self, timeout_s: float | None, clock: Clock = time.monotonic) -> None:
        """`timeout_s` seconds from now on `clock`; None for no limit."""
        self._clock = clock
        # A Decimal, Fraction or a number of numpy's does not go with the clock's floats.
        self.timeout_s = timeout_s = limit_in_seconds(timeout_s)
        """How far off it was when it was made."""
        self.at = math.inf if timeout_s is None else clock() + timeout_s
        """The moment, in seconds on the clock; infinite when there is no limit."""

    def left(self) -> float | None:
        """Seconds to wait, as :func:`waitable` limits them, never negative; None for no limit."""
        return None if self.at == math.inf else waitable(max(0.0, self.at - self._clock()))

    def left_or(self, other_s: float | None) -> float | None:
        """The shorter of the seconds left and `other_s`; None when neither limits."""
        left = self.left()
        if left is None or other_s is None:
            return waitable(other_s) if left is None else left
        return min(left, other_s)

    @property
    def passed(self) -> bool:
        """True once no time is left; never without a limit."""
        return self._clock() >= self.at
