"""Deadlines: one budget for nested waits, on a clock that the test winds."""

from __future__ import annotations

import sys
import threading
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.deadline import LONGEST_WAIT_S, Deadline, waitable


class WoundClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_seconds_left_shrink_with_the_clock_and_stop_at_zero() -> None:
    clock = WoundClock()
    deadline = Deadline(10.0, clock)
    left = []
    for _ in range(4):
        left.append(deadline.left())
        clock.now += 4.0
    assert left == [10.0, 6.0, 2.0, 0.0]


def test_a_deadline_passes_at_its_moment_and_not_before() -> None:
    clock = WoundClock()
    deadline = Deadline(10.0, clock)
    passed = {}
    for clock.now in (1000.0, 1009.9, 1010.0, 1e9):
        passed[clock.now] = deadline.passed
    assert passed == {1000.0: False, 1009.9: False, 1010.0: True, 1e9: True}


def test_without_a_limit_it_never_passes() -> None:
    clock = WoundClock()
    deadline = Deadline(None, clock)
    clock.now = 1e12
    assert deadline.left() is None
    assert not deadline.passed


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 0])
def test_no_time_or_less_has_passed_at_once(timeout_s: float) -> None:
    deadline = Deadline(timeout_s, WoundClock())
    assert deadline.passed
    assert deadline.left() == 0.0


@pytest.mark.parametrize(
    ("timeout_s", "other_s", "shorter"),
    [
        (None, None, None),
        (None, 3.0, 3.0),
        (10.0, None, 10.0),
        (10.0, 3.0, 3.0),
        (2.0, 3.0, 2.0),
        (-5.0, 3.0, 0.0),
    ],
)
def test_the_shorter_of_two_limits_counts_and_none_is_no_limit(
    timeout_s: float | None, other_s: float | None, shorter: float | None
) -> None:
    assert Deadline(timeout_s, WoundClock()).left_or(other_s) == shorter


# Whole seconds, so that their sums are exact.
SECONDS = st.integers(0, 1000).map(float)


@given(SECONDS, st.lists(SECONDS, max_size=10))
def test_nested_waits_never_take_more_than_the_whole(timeout_s: float, waits: list[float]) -> None:
    clock = WoundClock(0.0)
    deadline = Deadline(timeout_s, clock)
    for wait_s in waits:
        clock.now += deadline.left_or(wait_s) or 0.0
    assert clock.now <= timeout_s
    assert deadline.passed == (clock.now == timeout_s)


def test_the_clock_is_the_monotonic_one_unless_another_is_given() -> None:
    before = time.monotonic()
    left = Deadline(100.0).left()
    assert left is not None
    assert 100.0 - (time.monotonic() - before) <= left <= 100.0


@pytest.mark.parametrize("timeout_s", [2_600_000.0, 1e10, 1e300, float(2**63)])
def test_a_far_off_moment_is_waited_for_in_waits_that_every_system_takes(timeout_s: float) -> None:
    clock = WoundClock(0.0)
    deadline = Deadline(timeout_s, clock)
    assert deadline.left() == deadline.left_or(timeout_s) == LONGEST_WAIT_S
    assert Deadline(None, clock).left_or(timeout_s) == LONGEST_WAIT_S
    clock.now += LONGEST_WAIT_S
    assert not deadline.passed


def test_the_longest_wait_is_one_for_poll_and_for_locks_and_sockets() -> None:
    assert LONGEST_WAIT_S * 1000 < 2**31
    assert LONGEST_WAIT_S < threading.TIMEOUT_MAX


@pytest.mark.parametrize(
    ("timeout_s", "wait_s"), [(None, None), (-1.0, -1.0), (3.0, 3.0), (1e10, LONGEST_WAIT_S)]
)
def test_a_wait_is_limited_by_what_systems_take(
    timeout_s: float | None, wait_s: float | None
) -> None:
    assert waitable(timeout_s) == wait_s


@pytest.mark.parametrize("seconds", [Decimal("2.5"), Fraction(5, 2), 2.5])
def test_any_kind_of_number_is_a_timeout(seconds: Any) -> None:
    deadline = Deadline(seconds, lambda: 10.0)
    assert (deadline.at, deadline.left(), type(deadline.timeout_s)) == (12.5, 2.5, float)


def test_text_is_no_timeout() -> None:
    timeout: Any = "2.5"
    with pytest.raises(TypeError):
        Deadline(timeout)


def test_a_timeout_far_off_is_waited_for_in_parts() -> None:
    assert Deadline(sys.maxsize).left() == LONGEST_WAIT_S
