"""The colours of pictures: who can tell them apart, and which job has which."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.palette import DARK, JOB_COLOURS, LIGHT, Page, colours_of_jobs
from spalloc_gevent.geometry import Board, boards_of_triads

TELLABLE = 10.0
"""A difference in CIE Lab that nobody overlooks in areas of this size."""
LEAST_CONTRAST = 4.5

Matrix = Sequence[tuple[float, float, float]]

# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
SIGHTS: dict[str, Matrix] = {
    "full": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "protanopia": [
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ],
    "deuteranopia": [
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ],
    "tritanopia": [
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ],
}


def linear(colour: str) -> list[float]:
    shares = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]


def seen_as(colour: str, sight: Matrix) -> tuple[float, float, float]:
    """The colour in CIE Lab, as somebody sees it."""
    parts = linear(colour)
    red, green, blue = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, parts, strict=True)))) for row in sight
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    a, b, c = (
        part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z)
    )
    return 116 * b - 16, 500 * (a - b), 200 * (b - c)


def contrast(one: str, other: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    dark, light = sorted(
        sum(a * b for a, b in zip(weights, linear(colour), strict=True)) for colour in (one, other)
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("page", [LIGHT, DARK], ids=["light", "dark"])
def test_fills_can_be_told_apart_by_everybody(page: Page, sight: str) -> None:
    fills = [*(colour.fill for colour in JOB_COLOURS), page.free, page.other]
    for one, other in itertools.combinations(fills, 2):
        apart = math.dist(seen_as(one, SIGHTS[sight]), seen_as(other, SIGHTS[sight]))
        assert apart >= TELLABLE, f"{one} and {other}: {apart:.1f}"


def test_letters_can_be_read_on_every_colour() -> None:
    for colour in JOB_COLOURS:
        assert contrast(colour.fill, colour.text) >= LEAST_CONTRAST, colour


def test_few_jobs_have_a_colour_each() -> None:
    boards: dict[int, list[Board]] = {
        7 * number: [(5 * number, 0, 0)] for number in range(len(JOB_COLOURS))
    }
    assert len(set(colours_of_jobs(boards).values())) == len(JOB_COLOURS)


def test_a_lone_job_keeps_its_colour() -> None:
    assert colours_of_jobs({12: [(0, 0, 0)]}) == colours_of_jobs({12: [(3, 1, 2)]})


@given(st.permutations(list(boards_of_triads(0, 0, 5, 5))))
def test_single_boards_that_touch_differ_whoever_comes_first(order: list[Board]) -> None:
    from spalloc_gevent.geometry import Link, next_board

    numbers = {board: number for number, board in enumerate(order)}
    chosen = colours_of_jobs({number: [board] for board, number in numbers.items()})
    for board, number in numbers.items():
        for link in Link:
            other = numbers.get(next_board(board, link))
            assert other is None or chosen[other] != chosen[number]
