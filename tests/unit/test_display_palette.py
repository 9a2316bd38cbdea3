"""What stands for jobs in pictures: their letters, their colours and who can tell them apart."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.palette import (
    DARK,
    JOB_COLOURS,
    LIGHT,
    colours_of_jobs,
    letter_order,
    lettered,
)
from spalloc_gevent.geometry import Board, Link, boards_of_triads, next_board
from tests.pictures.colours import LEAST_CONTRAST, SIGHTS, contrast, seen_as

TELLABLE = 10.0
"""A difference in CIE Lab that nobody overlooks in areas of this size."""


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("page", [LIGHT, DARK], ids=["light", "dark"])
def test_fills_can_be_told_apart_by_everybody(page: dict[str, str], sight: str) -> None:
    fills = [*(fill for fill, _ in JOB_COLOURS), page["free"], page["other"]]
    for one, other in itertools.combinations(fills, 2):
        apart = math.dist(seen_as(one, SIGHTS[sight]), seen_as(other, SIGHTS[sight]))
        assert apart >= TELLABLE, f"{one} and {other}: {apart:.1f}"


def test_letters_can_be_read_on_every_colour() -> None:
    for fill, text in JOB_COLOURS:
        assert contrast(fill, text) >= LEAST_CONTRAST, fill


def test_few_jobs_have_a_colour_each() -> None:
    boards: dict[int, list[Board]] = {
        7 * number: [(5 * number, 0, 0)] for number in range(len(JOB_COLOURS))
    }
    assert len(set(colours_of_jobs(boards).values())) == len(JOB_COLOURS)


def test_a_lone_job_keeps_its_colour() -> None:
    assert colours_of_jobs({12: [(0, 0, 0)]}) == colours_of_jobs({12: [(3, 1, 2)]})


@given(st.permutations(list(boards_of_triads(0, 0, 5, 5))))
def test_single_boards_that_touch_differ_whoever_comes_first(order: list[Board]) -> None:
    numbers = {board: number for number, board in enumerate(order)}
    chosen = colours_of_jobs({number: [board] for board, number in numbers.items()})
    for board, number in numbers.items():
        for link in Link:
            other = numbers.get(next_board(board, link))
            assert other is None or chosen[other] != chosen[number]


def test_letters_go_on_as_the_columns_of_a_spreadsheet() -> None:
    letters = list(lettered(range(26 + 26 * 26 + 1)).values())
    shown = letters[:2] + letters[25:29] + letters[-2:]
    assert shown == ["A", "B", "Z", "AA", "AB", "AC", "ZZ", "AAA"]


def test_what_stays_keeps_its_letters_and_what_comes_gets_those_that_are_free() -> None:
    first = lettered([11, 12, 13])
    assert first == {11: "A", 12: "B", 13: "C"}
    second = lettered([11, 13, 14, 15], first)
    assert list(second.items()) == [(11, "A"), (14, "B"), (13, "C"), (15, "D")]


@given(st.lists(st.frozensets(st.integers(0, 60)), max_size=6))
def test_letters_are_never_shared_and_never_change_while_something_stays(
    sights: list[frozenset[int]],
) -> None:
    known: dict[int, str] = {}
    for things in sights:
        given_now = lettered(things, known)
        assert set(given_now) == things
        assert len(set(given_now.values())) == len(things)
        assert all(given_now[thing] == known[thing] for thing in things & set(known))
        assert list(given_now.values()) == sorted(given_now.values(), key=letter_order)
        known = given_now
