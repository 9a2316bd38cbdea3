"""What is shown of a campaign while it runs."""

from __future__ import annotations

import re

import pytest

from spalloc_gevent.display.terminal import Paint
from spalloc_gevent.display.widths import width_of
from spalloc_gevent.scripts.batch.progress import CaseProgress, rate_told, span_told
from spalloc_gevent.scripts.batch.records import Verdict

PLAIN = Paint(False)


def progress_of(passed: int, failed: int, total: int, *, every_s: float = 1.0) -> CaseProgress:
    """A case ended every so many seconds, from 0 on."""
    progress = CaseProgress(total, 0.0)
    verdicts = [Verdict.PASSED] * passed + [Verdict.FAILED] * failed
    for number, verdict in enumerate(verdicts, 1):
        progress.ended(verdict, number * every_s)
    return progress


def test_there_is_no_rate_while_nothing_has_ended() -> None:
    progress = CaseProgress(3, 0.0)
    assert (progress.rate(9.0), progress.left_s(9.0)) == (None, None)
    counts, doing = progress.lines(9.0, 80, PLAIN, {"waiting": 2, "queued": 1}, [])
    assert re.fullmatch(r"\[\.+\]  0/3  9\.0 s", counts)
    assert doing == "0 running, 1 queued, 2 to come"


def test_the_rate_is_that_of_late() -> None:
    progress = CaseProgress(1000, 0.0, window=10)
    for number in range(1, 11):
        progress.ended(Verdict.PASSED, 100.0 * number)
    for number in range(1, 11):
        progress.ended(Verdict.PASSED, 1000.0 + number)
    assert progress.rate(1010.0) == pytest.approx(1.0)
    assert progress.left_s(1010.0) == pytest.approx(980.0)
    assert progress.rate(1019.0) == pytest.approx(0.5)


def test_cancelled_cases_are_counted_and_no_measure_of_speed() -> None:
    progress = CaseProgress(4, 0.0)
    for _ in range(3):
        progress.ended(Verdict.CANCELLED, 1.0)
    assert (progress.done, progress.rate(1.0)) == (3, None)


def test_counts_rate_and_time_left_stand_behind_a_bar() -> None:
    progress = progress_of(30, 20, 100)
    counts, doing = progress.lines(
        50.0, 80, PLAIN, {"in use": 3, "power": 2, "waiting": 45}, [("c7", 61.0), ("x\x1b", 1.0)]
    )
    assert counts == "[" + "#" * 15 + "." * 15 + "]  50/100  30 passed  20 failed  1.0/s  50 s left"
    assert doing == "3 running, 2 powering on, 45 to come; longest: c7 61 s, x\\x1b 1.0 s"


@pytest.mark.parametrize("columns", range(1, 90))
def test_the_bar_takes_what_room_there_is_and_pushes_nothing_out(columns: int) -> None:
    counts, _ = progress_of(1, 1, 4).lines(2.0, columns, Paint(True), {}, [])
    told = "2/4  1 passed  1 failed  1.0/s  2.0 s left"
    assert width_of(counts) <= max(columns, len(told))
    assert re.sub("\x1b\\[[0-9;]*m", "", counts).endswith(told)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0.0 s"),
        (0.0031, "3 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (99.6, "1:40 min"),
        (3599.4, "59:59 min"),
        (3600.0, "1:00 h"),
        (86_400.0 * 2, "48:00 h"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert span_told(seconds) == told


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (1234.5, "1,234/s"),
        (12.3, "12/s"),
        (1.23, "1.2/s"),
        (0.5, "30/min"),
        (0.02, "1.2/min"),
        (0.01, "36/h"),
        (0.0001, "0.4/h"),
    ],
)
def test_rates_are_told_by_the_second_minute_or_hour(rate: float, told: str) -> None:
    assert rate_told(rate) == told
