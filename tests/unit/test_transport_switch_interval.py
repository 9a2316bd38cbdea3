"""A computing thread hands over the interpreter sooner while jobs are held, and only then."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from spalloc_gevent.transport.switch_interval import SHORT_S, SwitchInterval

USUAL_S = 0.005


@pytest.fixture(autouse=True)
def usual_interval() -> Iterator[None]:
    """The interpreter's own setting at the start, and whatever it was at the end."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(USUAL_S)
    yield
    sys.setswitchinterval(before_s)


def test_it_is_short_until_nobody_needs_it_any_more() -> None:
    interval = SwitchInterval()
    interval.acquire()
    interval.acquire()
    interval.release()
    assert sys.getswitchinterval() == pytest.approx(SHORT_S)
    interval.release()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)


def test_it_is_short_again_when_it_is_needed_again() -> None:
    interval = SwitchInterval()
    for _ in range(2):
        interval.acquire()
        assert sys.getswitchinterval() == pytest.approx(SHORT_S)
        interval.release()
        assert sys.getswitchinterval() == pytest.approx(USUAL_S)


def test_a_program_that_switches_sooner_still_is_left_alone() -> None:
    sys.setswitchinterval(SHORT_S / 2)
    interval = SwitchInterval()
    interval.acquire()
    assert sys.getswitchinterval() == pytest.approx(SHORT_S / 2)
    interval.release()
    assert sys.getswitchinterval() == pytest.approx(SHORT_S / 2)


def test_what_the_program_sets_meanwhile_stays() -> None:
    interval = SwitchInterval()
    interval.acquire()
    sys.setswitchinterval(0.02)
    interval.release()
    assert sys.getswitchinterval() == pytest.approx(0.02)


def test_a_forked_child_needs_nothing() -> None:
    interval = SwitchInterval()
    interval.acquire()
    interval.forked()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)
    interval.acquire()
    assert sys.getswitchinterval() == pytest.approx(SHORT_S)
    interval.release()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)
