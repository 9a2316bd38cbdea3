"""When the guardian steps in for a silent program, and for which jobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spalloc_gevent.guardian.charges import (
    AGAIN_SHARE,
    ALIVE_LINE,
    RETRY_S,
    RETRY_SHARE,
    SILENT_SHARE,
    Charge,
    Charges,
    Key,
    drop_line,
    hold_line,
)

from spalloc_gevent.wire.identity import Identity

JOB = Charge(Key("host", 22244, 7), 10.0, Identity("me", 123.5))
OTHER = Charge(Key("host", 22244, 8), 2.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def charges_of(*held: Charge) -> tuple[Charges, Clock]:
    clock = Clock()
    charges = Charges(clock)
    for charge in held:
        charges.hear(hold_line(charge))
    return charges, clock


def test_nothing_is_due_while_the_program_is_heard_of() -> None:
    charges, clock = charges_of(JOB)
    for _ in range(100):
        clock.now += 10.0 * SILENT_SHARE * 0.9
        assert charges.due() == []
        charges.hear(ALIVE_LINE)
    assert not charges.is_silent


def test_a_job_is_due_once_the_program_has_been_silent_for_a_share_of_its_interval() -> None:
    charges, clock = charges_of(JOB)
    assert charges.next_in() == 10.0 * SILENT_SHARE
    clock.now += 10.0 * SILENT_SHARE
    assert charges.due() == [JOB]
    assert charges.next_in() == 0.0


def test_the_job_with_the_shortest_interval_comes_first() -> None:
    charges, clock = charges_of(JOB, OTHER)
    assert charges.next_in() == 2.0 * SILENT_SHARE
    clock.now += 10.0
    assert charges.due() == [OTHER, JOB]


def test_a_job_that_was_kept_is_due_again_before_half_of_its_interval() -> None:
    charges, clock = charges_of(JOB)
    clock.now += 5.0
    charges.kept(JOB)
    assert charges.is_silent
    assert charges.due() == []
    assert charges.next_in() == pytest.approx(10.0 * AGAIN_SHARE)
    clock.now += 10.0 * AGAIN_SHARE
    assert charges.due() == [JOB]


def test_one_that_could_not_be_kept_is_tried_again_soon_but_not_at_once() -> None:
    for charge, retry_s in ((JOB, 10.0 * RETRY_SHARE), (Charge(Key("h", 1, 1), 1000.0), RETRY_S)):
        charges, clock = charges_of(charge)
        clock.now += 1000.0
        charges.tried(charge)
        assert charges.due() == []
        assert charges.next_in() == pytest.approx(retry_s)


def test_a_word_of_the_program_ends_the_stand_in() -> None:
    charges, clock = charges_of(JOB)
    clock.now += 5.0
    charges.kept(JOB)
    charges.hear(ALIVE_LINE)
    assert not charges.is_silent
    assert charges.next_in() == 10.0 * SILENT_SHARE


def test_a_job_that_is_dropped_is_never_due() -> None:
    charges, clock = charges_of(JOB, OTHER)
    charges.hear(drop_line(JOB.key))
    charges.hear(drop_line(Key("host", 22244, 999)))
    clock.now += 1000.0
    assert charges.due() == [OTHER]
    assert len(charges) == 1


def test_what_is_said_of_a_job_later_takes_the_place_of_what_was_said_before() -> None:
    known = OTHER._replace(identity=Identity("me", 55.25))
    charges, clock = charges_of(OTHER, known)
    clock.now += 1.0
    assert charges.due() == [known]


def test_nothing_to_guard_is_nothing_to_wait_for() -> None:
    assert charges_of()[0].next_in() is None


@given(
    st.floats(0.5, 1000.0),
    st.lists(st.floats(0.0, 50.0), max_size=60),
)
def test_however_time_passes_a_silent_program_s_job_is_kept_within_its_interval(
    interval_s: float, steps: list[float]
) -> None:
    job = Charge(Key("h", 1, 1), interval_s)
    charges, clock = charges_of(job)
    # At worst the program's own last keepalive went out half an interval before its last word.
    kept_at = clock.now - interval_s / 2
    for step in steps:
        clock.now += min(step, charges.next_in() or 0.0)
        for charge in charges.due():
            assert clock.now - kept_at < interval_s
            charges.kept(charge)
            kept_at = clock.now
