"""When a keepalive is due, on a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.job.schedule import (
    EARLIEST_SHARE,
    LATEST_SHARE,
    LONGEST_PATIENCE_S,
    LONGEST_RETRY_S,
    LONGEST_STEP_S,
    RETRY_SHARE,
    STEP_SHARE,
    KeepaliveSchedule,
)

intervals = st.floats(0.01, 1e6)
moments = st.floats(0.0, 1e6)
spreads = st.floats(0.0, 1.0)


class SteppedClock:
    """Time that passes only when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def schedule_at(clock: SteppedClock, interval_s: float, spread: float) -> KeepaliveSchedule:
    return KeepaliveSchedule(interval_s, clock, lambda: spread)


def longest_step_s(interval_s: float) -> float:
    return min(LONGEST_STEP_S, interval_s * STEP_SHARE)


@pytest.mark.parametrize(("spread", "share"), [(0.0, EARLIEST_SHARE), (1.0, LATEST_SHARE)])
def test_a_keepalive_is_due_before_half_of_its_interval(spread: float, share: float) -> None:
    schedule = schedule_at(SteppedClock(), 60.0, spread)
    assert schedule.due_at == pytest.approx(1000.0 + 60.0 * share)
    assert schedule.due_at <= 1030.0


@given(intervals, moments, spreads)
def test_it_is_due_in_the_last_step_before_its_share_of_the_interval(
    interval_s: float, now: float, spread: float
) -> None:
    due_at = schedule_at(SteppedClock(now), interval_s, spread).due_at
    latest = now + interval_s * (EARLIEST_SHARE + (LATEST_SHARE - EARLIEST_SHARE) * spread)
    assert latest - longest_step_s(interval_s) - 1e-6 <= due_at <= latest + 1e-6


def test_keepalives_of_many_jobs_are_due_at_common_points_in_time() -> None:
    clock = SteppedClock()
    spread = [number / 1000 for number in range(1000)]
    due = {schedule_at(clock, 60.0, share).due_at for share in spread}
    # Six seconds of spread, in quarters.
    assert len(due) <= 6 / LONGEST_STEP_S + 1
    assert all(moment % LONGEST_STEP_S == 0 for moment in due)


def test_a_job_that_was_just_heard_of_is_never_due_at_once() -> None:
    clock = SteppedClock()
    assert schedule_at(clock, 0.01, 0.0).due_at > clock.now


def test_an_answered_command_counts_from_when_it_was_sent() -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, 60.0, 1.0)
    clock.now += 10.0
    schedule.heard(clock.now - 4.0)
    assert schedule.due_at == pytest.approx(clock.now + 26.0)


def test_an_answer_to_an_older_command_takes_nothing_back() -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, 60.0, 1.0)
    clock.now += 10.0
    schedule.heard(clock.now)
    schedule.heard(clock.now - 9.0)
    assert schedule.due_at == pytest.approx(clock.now + 30.0)


def test_each_keepalive_is_spread_anew() -> None:
    clock, spread = SteppedClock(), iter([0.0, 1.0])
    schedule = KeepaliveSchedule(60.0, clock, lambda: next(spread))
    assert schedule.due_at == pytest.approx(clock.now + 24.0)
    schedule.heard(clock.now)
    assert schedule.due_at == pytest.approx(clock.now + 30.0)


def test_a_keepalive_that_is_overdue_is_due_at_once_and_says_how_late_it_is() -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, 10.0, 0.0)
    clock.now += 60.0
    assert schedule.due_at <= clock.now
    assert schedule.late_by == pytest.approx(50.0)


def test_a_job_that_is_heard_of_in_time_is_not_late() -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, 10.0, 0.0)
    clock.now += 9.0
    assert schedule.late_by == pytest.approx(-1.0)


def test_a_keepalive_that_failed_is_due_again_soon_and_not_at_once() -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, 10.0, 1.0)
    clock.now += 5.0
    assert schedule.due_at <= clock.now
    schedule.failed()
    assert schedule.due_at == pytest.approx(clock.now + min(LONGEST_RETRY_S, 10.0 * RETRY_SHARE))


def test_a_failure_before_the_keepalive_was_due_brings_it_no_earlier() -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, 60.0, 1.0)
    schedule.failed()
    assert schedule.due_at == pytest.approx(clock.now + 30.0)


@given(intervals)
def test_a_keepalive_that_fails_is_tried_every_second_at_least(interval_s: float) -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, interval_s, 1.0)
    clock.now += interval_s
    schedule.failed()
    assert schedule.due_at - clock.now < min(1.0, 0.1 * interval_s)


@given(intervals)
def test_there_is_time_for_three_connections_before_the_interval_is_over(
    interval_s: float,
) -> None:
    clock = SteppedClock()
    schedule = schedule_at(clock, interval_s, 1.0)
    assert schedule.due_at - clock.now + 3 * schedule.patience_s < interval_s
    assert schedule.patience_s <= LONGEST_PATIENCE_S
