"""Figures: their spread, what they are judged by, and how they are told and drawn."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import picture, report
from benchmarks.bench_waiting import between, percentile
from benchmarks.figures import (
    Figure,
    Goal,
    Spread,
    Verdict,
    at_most,
    one,
    outcome,
    ratio,
    ratio_at_least,
    ratio_at_most,
)
from benchmarks.orders import Worker, WorkerError
from benchmarks.turns import in_turns
from benchmarks.units import told

CREATED = Figure(
    "create 300 jobs & more, per job",
    "s",
    Spread.of([0.0013, 0.0012, 0.0016]),
    floor=one(0.001),
    existing=one(0.1),
    ratio=Spread.of([1.3, 1.2, 1.6]),
    existing_ratio=one(100.0),
    goal=ratio_at_most(1.25),
    note="each from a greenlet",
)
LOST = Figure("jobs lost", "", one(0), goal=outcome("==", 0))
TOLD = Figure("  what else there is", "KiB", one(9000))


# -- spread -----------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_bounds_of_the_middle_half() -> None:
    assert Spread.of([5, 1, 2, 4, 3]) == Spread(median=3, low=2, high=4, count=5)


def test_a_single_measurement_has_no_spread() -> None:
    assert one(7.0) == Spread(7.0, 7.0, 7.0, 1)


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def test_a_ratio_is_of_each_turn_so_that_a_slow_one_slows_both() -> None:
    assert ratio([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == Spread(0.5, 0.5, 0.5, 3)


def test_each_takes_its_turn_and_none_always_comes_after_the_same_other_one() -> None:
    order: list[str] = []

    def take_a_turn(name: str) -> int:
        order.append(name)
        return len(order)

    works = {name: partial(take_a_turn, name) for name in "abc"}
    assert in_turns(works, 3) == {"a": [1, 6, 9], "b": [2, 5, 7], "c": [3, 4, 8]}
    assert "".join(order) == "abccbabca"


# -- verdicts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (None, Verdict.NO_GOAL),
        (at_most(2.0), Verdict.REACHED),
        (at_most(1.9), Verdict.MISSED),
        (outcome("==", 2.0), Verdict.REACHED),
        (outcome("==", 1.0), Verdict.MISSED),
        (ratio_at_least(0.5), Verdict.REACHED),
        (ratio_at_least(0.51), Verdict.MISSED),
        (ratio_at_most(0.49), Verdict.MISSED),
    ],
)
def test_a_goal_is_about_the_figure_or_about_its_ratio(goal: Goal | None, verdict: Verdict) -> None:
    assert Figure("f", "", one(2.0), ratio=one(0.5), goal=goal).verdict is verdict


def test_a_quick_run_judges_outcomes_alone() -> None:
    assert CREATED.verdict is Verdict.MISSED
    assert CREATED.of_a_quick_run().verdict is Verdict.NOT_JUDGED
    assert LOST.of_a_quick_run().verdict is Verdict.REACHED
    assert TOLD.of_a_quick_run().verdict is Verdict.NO_GOAL


def test_a_goal_has_a_sign_that_can_be_checked() -> None:
    with pytest.raises(ValueError, match="a goal's sign"):
        Goal("<", 1.0)


# -- told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, "s", "1.23 ms"),
        (0.0000123, "s", "12.3 us"),
        (0.0, "s", "0 s"),
        (-0.0021, "s", "-2.10 ms"),
        (12.34, "s", "12.3 s"),
        (19_876.4, "/s", "19,876 /s"),
        (7500.4, "KiB", "7,500 KiB"),
        (150e6 / 1024, "KiB", "150 MB"),
        (1001, "", "1,001"),
        (1.254, "x", "1.25"),
        (1.0, "x", "1"),
        (4.0, "%", "4 %"),
    ],
)
def test_numbers_are_told_with_three_digits_and_a_unit(value: float, unit: str, text: str) -> None:
    assert told(value, unit) == text


def test_the_table_shows_a_figure_beside_its_floor_and_the_existing_client() -> None:
    *_, row = report.table([CREATED]).splitlines()
    assert re.split(r"\s{2,}", row.strip()) == [
        "create 300 jobs & more, per job",
        "1.30 ms (1.25 ms - 1.45 ms)",
        "1 ms",
        "1.30 (1.25 - 1.45)",
        "100 ms",
        "100",
        "<= 1.25",
        "MISSED",
    ]


def test_the_document_names_the_machine_and_every_figure(tmp_path: Path) -> None:
    left, drawn = tmp_path / "all.json", tmp_path / "all.svg"
    report.tell([CREATED, LOST], False, left, drawn)
    document = json.loads(left.read_text())
    assert (document["format"], document["quick"]) == (report.FORMAT, False)
    assert set(document["machine"]) == {"cores", "python", "system", "gevent", "spalloc_gevent"}
    assert [figure["verdict"] for figure in document["figures"]] == ["MISSED", "ok"]
    assert ElementTree.parse(drawn).getroot().tag.endswith("svg")


# -- drawn ------------------------------------------------------------------------


def dots_of(svg: str) -> dict[str, float]:
    """Where the rows' dots are, by what they say; the legend's left out."""
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    return {
        dot.findtext(f"{space}title", ""): float(dot.attrib["cx"])
        for dot in root.iter(f"{space}circle")
        if ":" in dot.findtext(f"{space}title", "")
    }


def test_the_picture_is_well_formed_and_right_of_the_goal_is_better() -> None:
    fast = Figure("calls", "/s", one(9.0), ratio=one(0.9), goal=ratio_at_least(0.45))
    dots = dots_of(picture.drawn([CREATED, LOST, TOLD, fast]))
    assert dots["ours: 0.90"] > dots["ours: 1.30"] > dots["the existing client: 100"]


def test_the_picture_leaves_out_what_has_no_goal_and_what_has_no_place_on_its_scale() -> None:
    drawn = picture.drawn([LOST, TOLD])
    assert LOST.name not in drawn
    assert TOLD.name.strip() not in drawn


def test_a_name_that_is_too_long_is_cut_but_told_in_full() -> None:
    long = Figure("what is measured " * 8, "s", one(1.0), goal=at_most(2.0))
    drawn = picture.drawn([long])
    assert f"<title>{long.name}</title>" in drawn
    assert "…</text>" in drawn


@pytest.mark.parametrize("colour", picture.COLOURS)
@pytest.mark.parametrize("ground", ["#ffffff", "#0d1117"])
def test_the_picture_can_be_read_on_light_and_on_dark(colour: str, ground: str) -> None:
    lighter, darker = sorted([luminance(colour), luminance(ground)], reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3.0


def luminance(colour: str) -> float:
    """As the Web Content Accessibility Guidelines have it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# -- waiting ----------------------------------------------------------------------


def test_a_change_is_matched_with_the_note_that_its_own_waiter_made() -> None:
    assert between([[1, 1.0], [2, 2.0], [1, 3.0]], [(2, 2.5), (1, 1.25), (1, 4.0)]) == [
        0.25,
        1.0,
        0.5,
    ]


def test_a_change_that_nobody_noticed_is_no_fast_one() -> None:
    with pytest.raises(WorkerError, match="2 changes were told of, and 1 were noticed"):
        between([[1, 1.0], [2, 2.0]], [(1, 1.5)])


def test_a_percentile_is_of_all_values() -> None:
    assert percentile(range(101), 99) == 99


# -- programs that obey -------------------------------------------------------------


def test_a_program_that_has_ended_does_nothing_more() -> None:
    with Worker(sys.executable, "echo_server") as echo:
        assert echo.hear() > 0
    with pytest.raises((WorkerError, ValueError)):
        echo.ask("rate")
