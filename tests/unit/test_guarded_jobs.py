"""When the guardian steps in for a silent program, and for which jobs."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.guardian.guarded_jobs import (
    AGAIN_SHARE,
    SILENT_SHARE,
    DestroyedJob,
    GuardedJob,
    GuardedJobs,
    alive_line,
    destroyed_line,
    drop_line,
    hold_line,
)
from spalloc_gevent.transport.destroy_checks import LAST_LOOK_AFTER_S
from spalloc_gevent.wire.identity import Identity

JOB = GuardedJob(0, "host", 22244, 7, 10.0, Identity("me", 123.5))
OTHER = GuardedJob(1, "host", 22244, 8, 2.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def jobs_of(*held: GuardedJob) -> tuple[GuardedJobs, Clock]:
    clock = Clock()
    jobs = GuardedJobs(clock)
    for job in held:
        jobs.handle_line(hold_line(job, clock.now))
    return jobs, clock


def test_nothing_is_due_while_the_program_is_heard_of() -> None:
    jobs, clock = jobs_of(JOB)
    for _ in range(100):
        clock.now += 10.0 * SILENT_SHARE * 0.9
        assert jobs.due() == []
        jobs.handle_line(alive_line(clock.now))
    assert not jobs.is_silent


def test_a_job_is_due_once_the_program_has_been_silent_for_a_share_of_its_interval() -> None:
    jobs, clock = jobs_of(JOB)
    assert jobs.next_at() == clock.now + 10.0 * SILENT_SHARE
    clock.now += 10.0 * SILENT_SHARE
    assert jobs.due() == [JOB]
    assert jobs.next_at() == clock.now


def test_a_guardian_that_reads_late_counts_from_when_the_line_was_written() -> None:
    jobs, clock = jobs_of()
    written_at = clock.now
    clock.now += 10.0 * SILENT_SHARE
    jobs.handle_line(hold_line(JOB, written_at))
    assert jobs.due() == [JOB]


def test_the_job_with_the_shortest_interval_comes_first() -> None:
    jobs, clock = jobs_of(JOB, OTHER)
    assert jobs.next_at() == clock.now + 2.0 * SILENT_SHARE
    clock.now += 10.0
    assert jobs.due() == [OTHER, JOB]


def test_a_job_that_was_kept_is_due_again_before_half_of_its_interval() -> None:
    jobs, clock = jobs_of(JOB)
    clock.now += 5.0
    jobs.mark_sent(JOB)
    assert jobs.is_silent
    assert jobs.due() == []
    assert jobs.next_at() == pytest.approx(clock.now + 10.0 * AGAIN_SHARE)
    clock.now += 10.0 * AGAIN_SHARE
    assert jobs.due() == [JOB]


def test_one_that_could_not_be_kept_is_tried_again_when_its_server_may_be_tried() -> None:
    jobs, clock = jobs_of(JOB)
    clock.now += 5.0
    jobs.mark_failed(JOB, clock.now + 2.0)
    assert jobs.due() == []
    assert jobs.next_at() == clock.now + 2.0
    clock.now += 2.0
    assert jobs.due() == [JOB]


def test_a_line_of_the_program_ends_its_silence() -> None:
    jobs, clock = jobs_of(JOB)
    clock.now += 5.0
    jobs.mark_sent(JOB)
    jobs.handle_line(alive_line(clock.now))
    assert not jobs.is_silent
    assert jobs.next_at() == clock.now + 10.0 * SILENT_SHARE


def test_a_job_that_is_dropped_is_never_due() -> None:
    jobs, clock = jobs_of(JOB, OTHER)
    jobs.handle_line(drop_line(JOB.number, clock.now))
    jobs.handle_line(drop_line(999, clock.now))
    clock.now += 1000.0
    assert jobs.due() == [OTHER]
    assert list(jobs) == [OTHER]


def test_the_shortest_interval_is_that_of_the_jobs_that_are_held_now() -> None:
    jobs, clock = jobs_of(JOB, OTHER)
    assert jobs.shortest_s == 2.0
    jobs.handle_line(hold_line(OTHER._replace(keepalive_s=20.0), clock.now))
    assert jobs.shortest_s == 10.0
    jobs.drop(JOB.number)
    assert jobs.shortest_s == 20.0


def test_what_is_told_of_a_job_later_takes_the_place_of_what_was_told_before() -> None:
    known = OTHER._replace(identity=Identity("me", 55.25))
    jobs, clock = jobs_of(OTHER, known)
    clock.now += 1.0
    assert jobs.due() == [known]


def test_what_was_destroyed_is_remembered_as_long_as_it_may_live_again() -> None:
    jobs, clock = jobs_of()
    first = DestroyedJob("host", 22244, 7, "not needed", clock.now)
    jobs.handle_line(destroyed_line(first, clock.now))
    clock.now += LAST_LOOK_AFTER_S
    second = first._replace(job_id=8, reason=None, destroyed_at=clock.now)
    jobs.handle_line(destroyed_line(second, clock.now))
    assert list(jobs.destroyed) == [first, second]
    clock.now += 1.0
    third = first._replace(job_id=9, destroyed_at=clock.now)
    jobs.handle_line(destroyed_line(third, clock.now))
    assert list(jobs.destroyed) == [second, third]


def test_two_holders_of_one_job_are_told_apart() -> None:
    jobs, clock = jobs_of(JOB, JOB._replace(number=5))
    jobs.drop(5)
    clock.now += 10.0
    assert jobs.due() == [JOB]


def test_nothing_to_guard_is_nothing_to_wait_for() -> None:
    jobs, _ = jobs_of()
    assert jobs.next_at() == math.inf
    assert jobs.due() == []


@pytest.mark.parametrize("keepalive_s", [sys.maxsize, 1e300, math.inf])
def test_a_keepalive_for_ever_hides_no_other(keepalive_s: float) -> None:
    jobs, clock = jobs_of(JOB._replace(keepalive_s=keepalive_s), OTHER)
    clock.now += 2.0 * SILENT_SHARE
    assert jobs.due() == [OTHER]


@given(
    st.floats(0.5, 1000.0),
    st.lists(st.floats(0.0, 50.0), max_size=60),
)
def test_however_time_passes_a_silent_program_s_job_is_kept_within_its_interval(
    interval_s: float, steps: list[float]
) -> None:
    job = GuardedJob(1, "h", 1, 1, interval_s)
    jobs, clock = jobs_of(job)
    # At worst the program's own last keepalive went out half an interval before its last line.
    kept_at = clock.now - interval_s / 2
    for step in steps:
        clock.now = max(clock.now, min(clock.now + step, jobs.next_at()))
        for due in jobs.due():
            assert clock.now - kept_at < interval_s
            jobs.mark_sent(due)
            kept_at = clock.now
