"""A computing thread hands over the interpreter sooner while jobs are held, and only then."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from spalloc_gevent.engine.switching import PROMPT_S, Switching

USUAL_S = 0.005


@pytest.fixture(autouse=True)
def usual_interval() -> Iterator[None]:
    """The interpreter's own setting at the start, and whatever it was at the end."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(USUAL_S)
    yield
    sys.setswitchinterval(before_s)


def test_it_is_prompt_until_nobody_needs_it_any_more() -> None:
    switching = Switching()
    switching.hasten()
    switching.hasten()
    switching.relax()
    assert sys.getswitchinterval() == pytest.approx(PROMPT_S)
    switching.relax()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)


def test_it_is_prompt_again_when_it_is_needed_again() -> None:
    switching = Switching()
    for _ in range(2):
        switching.hasten()
        assert sys.getswitchinterval() == pytest.approx(PROMPT_S)
        switching.relax()
        assert sys.getswitchinterval() == pytest.approx(USUAL_S)


def test_a_program_that_switches_sooner_still_is_left_alone() -> None:
    sys.setswitchinterval(PROMPT_S / 2)
    switching = Switching()
    switching.hasten()
    assert sys.getswitchinterval() == pytest.approx(PROMPT_S / 2)
    switching.relax()
    assert sys.getswitchinterval() == pytest.approx(PROMPT_S / 2)


def test_what_the_program_sets_meanwhile_stays() -> None:
    switching = Switching()
    switching.hasten()
    sys.setswitchinterval(0.02)
    switching.relax()
    assert sys.getswitchinterval() == pytest.approx(0.02)


def test_a_forked_child_needs_nothing() -> None:
    switching = Switching()
    switching.hasten()
    switching.forked()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)
    switching.hasten()
    assert sys.getswitchinterval() == pytest.approx(PROMPT_S)
    switching.relax()
    assert sys.getswitchinterval() == pytest.approx(USUAL_S)
