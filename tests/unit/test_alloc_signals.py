"""What a signal means while ``spalloc`` waits, runs a command, or tidies up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from spalloc_gevent.scripts.signals import Interrupted, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as signals:
        yield signals


@pytest.mark.parametrize(
    ("signum", "code", "reason"),
    [
        (signal.SIGINT, 4, "Keyboard interrupt."),
        (signal.SIGTERM, 143, "Ended by SIGTERM."),
        (signal.SIGHUP, 129, "Ended by SIGHUP."),
    ],
)
def test_a_signal_interrupts_a_wait(
    signals: Signals, signum: signal.Signals, code: int, reason: str
) -> None:
    with pytest.raises(Interrupted) as caught:
        signal.raise_signal(signum)
    assert (caught.value.exit_code, caught.value.reason) == (code, reason)


def test_after_an_interrupt_one_more_signal_is_tolerated_and_the_next_is_not(
    signals: Signals,
) -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)


def test_signals_that_are_noted_can_be_taken_once_in_order(signals: Signals) -> None:
    signals.note()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert signals.pending
    assert signals.take() == [signal.SIGTERM, signal.SIGINT]
    assert (signals.take(), signals.pending) == ([], False)
    assert signals.latest == signal.SIGINT


def test_a_signal_that_was_noted_interrupts_as_soon_as_it_may(signals: Signals) -> None:
    signals.note()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        signals.interrupt()
    assert caught.value.signum == signal.SIGTERM


def test_a_signal_ends_a_wait_for_input(signals: Signals) -> None:
    signals.note()
    signal.raise_signal(signal.SIGTERM)
    assert signals.wait(3600.0) == []
    assert signals.wait(0.0) == []


def test_input_ends_a_wait_and_is_told(signals: Signals) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    assert signals.wait(3600.0, [reader]) == [reader]
    os.close(reader)
    os.close(writer)


def test_a_look_is_broken_off_by_a_signal_which_stays_noted(signals: Signals) -> None:
    signals.note()

    def look() -> str:
        signal.raise_signal(signal.SIGTERM)
        return "never seen"

    assert signals.unless_signalled(look) is None
    assert signals.take() == [signal.SIGTERM]
    assert signals.unless_signalled(lambda: "seen") == "seen"


def test_the_end_of_a_child_breaks_off_a_look_and_is_no_signal_to_pass_on(
    signals: Signals,
) -> None:
    signals.note()
    assert signals.unless_signalled(lambda: signal.raise_signal(signal.SIGCHLD)) is None
    assert not signals.pending


def test_handlers_are_put_back_and_descriptors_closed_at_the_end() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGCONT)
    before = [signal.getsignal(number) for number in numbers]
    descriptors = os.listdir("/proc/self/fd")
    with Signals():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
    assert os.listdir("/proc/self/fd") == descriptors


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_more_signals_can_be_treated_so_and_are_put_back() -> None:
    more = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
    before = [signal.getsignal(number) for number in more]
    with Signals(more) as signals:
        signals.note()
        for number in more:
            signal.raise_signal(number)
        assert signals.take() == list(more)
        assert signals.wait(3600.0) == []
    assert [signal.getsignal(number) for number in more] == before


def test_news_that_nobody_asked_for_is_not_noted(signals: Signals) -> None:
    signals.note()
    signal.raise_signal(signal.SIGCONT)
    assert signals.wait(3600.0) == []
    assert signals.take() == []


@pytest.mark.parametrize("step", range(12))
def test_a_signal_between_any_two_steps_of_taking_is_not_lost(signals: Signals, step: int) -> None:
    signals.note()
    signal.raise_signal(signal.SIGINT)
    steps = 0

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:
        nonlocal steps
        if frame.f_code is not Signals.take.__code__:
            return None
        frame.f_trace_opcodes = True
        if steps == 4 * step:
            signal.raise_signal(signal.SIGTERM)
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        taken = signals.take()
    finally:
        sys.settrace(before)
    was_raised = steps > 4 * step
    assert [*taken, *signals.take()] == [signal.SIGINT, signal.SIGTERM][: 1 + was_raised]
