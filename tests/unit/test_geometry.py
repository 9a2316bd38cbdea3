"""Boards, triads and chips: the arithmetic that everybody relies on."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent import geometry
from spalloc_gevent.geometry import Board, Link

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))
CHIPS = st.tuples(st.integers(-100, 200), st.integers(-100, 200))
LINKS = st.sampled_from(list(Link))


@st.composite
def boards_on_machines(draw: st.DrawFn) -> tuple[Board, int, int]:
    width, height = draw(SIZES)
    x = draw(st.integers(0, width - 1))
    y = draw(st.integers(0, height - 1))
    return (x, y, draw(st.integers(0, 2))), width, height


def test_the_java_servers_links_begin_in_the_north_and_go_round_clockwise() -> None:
    # From the protocol's description: 0 N, 1 E, 2 SE, 3 S, 4 W, 5 NW on boards as it draws them.
    assert [int(link) for link in geometry.LINKS_CLOCKWISE] == [2, 1, 0, 5, 4, 3]


@pytest.mark.parametrize(
    ("board", "chip"),
    [((0, 0, 0), (0, 0)), ((0, 0, 1), (8, 4)), ((0, 0, 2), (4, 8)), ((3, 2, 1), (44, 28))],
)
def test_ethernet_chip_sits_at_twelve_a_triad_plus_the_boards_offset(
    board: Board, chip: tuple[int, int]
) -> None:
    assert geometry.ethernet_chip(board) == chip


def test_board_has_48_chips_within_8_by_8_and_its_ethernet_chip_is_one() -> None:
    assert len(set(geometry.BOARD_CHIPS)) == geometry.CHIPS_PER_BOARD
    assert (0, 0) in geometry.BOARD_CHIPS
    assert {max(axis) for axis in zip(*geometry.BOARD_CHIPS, strict=True)} == {7}


def test_rows_of_a_board_make_a_hexagon() -> None:
    rows = Counter(y for _, y in geometry.BOARD_CHIPS)
    assert [rows[y] for y in range(8)] == [5, 6, 7, 8, 7, 6, 5, 4]


@given(SIZES)
def test_boards_tile_the_torus_without_gap_or_overlap(size: tuple[int, int]) -> None:
    width, height = size
    every_chip = itertools.product(range(12 * width), range(12 * height))
    held = Counter(geometry.board_of_chip(chip, width, height) for chip in every_chip)
    assert set(held) == set(geometry.boards_of_triads(0, 0, width, height))
    assert set(held.values()) == {48}


@given(boards_on_machines(), st.sampled_from(geometry.BOARD_CHIPS), CHIPS)
def test_chip_of_a_board_is_found_on_it_however_often_it_wraps_around(
    place: tuple[Board, int, int], on_board: tuple[int, int], laps: tuple[int, int]
) -> None:
    board, width, height = place
    x, y = geometry.ethernet_chip(board)
    chip = (
        x + on_board[0] + laps[0] * 12 * width,
        y + on_board[1] + laps[1] * 12 * height,
    )
    assert geometry.board_of_chip(chip, width, height) == board
    assert geometry.chip_on_board(chip) == on_board


@given(CHIPS, SIZES)
def test_wrapped_chip_is_on_the_torus_and_on_the_same_board(
    chip: tuple[int, int], size: tuple[int, int]
) -> None:
    wrapped = geometry.wrapped_chip(chip, *size)
    assert 0 <= wrapped[0] < 12 * size[0]
    assert 0 <= wrapped[1] < 12 * size[1]
    assert geometry.board_of_chip(wrapped, *size) == geometry.board_of_chip(chip, *size)


@given(boards_on_machines(), LINKS)
def test_opposite_link_of_the_neighbour_leads_back(
    place: tuple[Board, int, int], link: Link
) -> None:
    board, width, height = place
    there, wrap = geometry.neighbour(board, link, width, height)
    assert geometry.neighbour(there, link.opposite, width, height) == (board, wrap)


@given(boards_on_machines(), LINKS)
def test_neighbours_touch_along_the_link(place: tuple[Board, int, int], link: Link) -> None:
    board, _, _ = place
    steps = [(1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1)]
    x, y = geometry.ethernet_chip(board)
    touching = {
        geometry.board_of_chip((x + cx + steps[link][0], y + cy + steps[link][1]), 100, 100)
        for cx, cy in geometry.BOARD_CHIPS
    }
    assert geometry.neighbour(board, link, 100, 100)[0] in touching


def test_link_numbers_are_those_of_the_hardware() -> None:
    names = ["east", "north_east", "north", "west", "south_west", "south"]
    assert [link.name for link in Link] == names
    assert [int(link) for link in Link] == [0, 1, 2, 3, 4, 5]
    assert Link.east.opposite is Link.west


@pytest.mark.parametrize(
    ("board", "link", "there"),
    [
        ((0, 0, 0), Link.north, (0, 0, 2)),
        ((0, 0, 0), Link.north_east, (0, 0, 1)),
        ((1, 1, 0), Link.east, (1, 0, 2)),
        ((0, 0, 1), Link.north, (1, 1, 0)),
        ((0, 0, 1), Link.east, (1, 0, 0)),
        ((0, 0, 2), Link.north, (0, 1, 1)),
        ((0, 0, 2), Link.east, (0, 0, 1)),
    ],
)
def test_links_inside_a_machine_lead_where_the_drawing_shows(
    board: Board, link: Link, there: Board
) -> None:
    assert geometry.neighbour(board, link, 4, 4) == (there, (False, False))


@given(boards_on_machines())
def test_links_wrap_around_only_over_the_machines_edge(place: tuple[Board, int, int]) -> None:
    board, width, height = place
    for link in Link:
        x, y, _ = geometry.next_board(board, link)
        _, wrap = geometry.neighbour(board, link, width, height)
        assert wrap == (not 0 <= x < width, not 0 <= y < height)


def test_single_board_is_8_by_8_chips() -> None:
    assert geometry.job_dimensions([(2, 1, 2)]) == (8, 8)


@pytest.mark.parametrize(
    ("wraps", "dimensions"),
    [
        ((False, False), (28, 40)),
        ((True, False), (24, 40)),
        ((False, True), (28, 36)),
        ((True, True), (24, 36)),
    ],
)
def test_triads_poke_out_by_four_chips_on_each_side_that_does_not_wrap_around(
    wraps: tuple[bool, bool], dimensions: tuple[int, int]
) -> None:
    boards = list(geometry.boards_of_triads(3, 5, 2, 3))
    assert geometry.job_dimensions(boards, wraps) == dimensions


@given(st.integers(0, 20), st.integers(0, 20), SIZES)
def test_connections_are_relative_to_the_jobs_own_origin(
    x: int, y: int, size: tuple[int, int]
) -> None:
    boards = list(geometry.boards_of_triads(x, y, *size))
    here = geometry.connections_in_job({board: board for board in boards})
    at_home = geometry.connections_in_job(
        {board: board for board in geometry.boards_of_triads(0, 0, *size)}
    )
    assert here[0, 0] == (x, y, 0)
    assert set(here) == set(at_home)


def test_lone_board_is_its_jobs_origin_wherever_it_is() -> None:
    assert geometry.connections_in_job({(3, 1, 2): "host"}) == {(0, 0): "host"}
    assert geometry.connections_in_job({}) == {}


@given(st.integers(0, 3), st.integers(0, 3), st.sampled_from(geometry.BOARD_CHIPS), st.data())
def test_job_chip_to_machine_chip_and_back(
    x: int, y: int, on_board: tuple[int, int], data: st.DataObject
) -> None:
    boards = list(geometry.boards_of_triads(x, y, 2, 2))
    board = data.draw(st.sampled_from(boards))
    offset = geometry.ethernet_chip_in_job(board, boards[0])
    job_chip = (offset[0] + on_board[0], offset[1] + on_board[1])
    chip = geometry.machine_chip(job_chip, boards[0], 5, 5)
    assert geometry.board_of_chip(chip, 5, 5) == board
    dimensions = geometry.job_dimensions(boards)
    assert geometry.chip_in_job(chip, board, boards[0], dimensions) == job_chip
    assert geometry.job_chip(chip, boards[0], 5, 5) == job_chip


@given(st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.booleans(), st.booleans()))
def test_each_chip_of_a_job_is_found_on_its_board_and_no_other_chip(
    size: tuple[int, int], wraps: tuple[bool, bool]
) -> None:
    boards = list(geometry.boards_of_triads(0, 0, *size))
    corners = list(geometry.connections_in_job(dict.fromkeys(boards, "")))
    width, height = geometry.job_dimensions(boards, wraps)
    around = itertools.product(range(-1, width + 1), range(-1, height + 1))
    found = {chip: geometry.board_with_chip(chip, corners, (width, height)) for chip in around}
    there = {chip: place for chip, place in found.items() if place is not None}
    assert len(there) == len(set(there.values())) == 48 * len(boards)
    for chip, ((x, y), on_board) in there.items():
        assert chip == ((x + on_board[0]) % width, (y + on_board[1]) % height)


def test_hexagons_stand_where_the_drawing_has_them() -> None:
    places = {board: geometry.hexagon_position(board) for board in
              geometry.boards_of_triads(0, 0, 2, 2)}  # fmt: skip
    assert places[0, 0, 0] == (0, 0)
    assert places[0, 0, 1] == (1, 1)
    assert places[0, 0, 2] == (0, 2)
    assert places[1, 0, 0] == (2, 0)
    assert places[0, 1, 0] == (-1, 3)
    assert len(set(places.values())) == len(places)


@given(boards_on_machines(), LINKS)
def test_hexagons_of_neighbours_touch(place: tuple[Board, int, int], link: Link) -> None:
    board, _, _ = place
    column, row = geometry.hexagon_position(board)
    next_column, next_row = geometry.hexagon_position(geometry.next_board(board, link))
    step = {Link.east: (1, -1), Link.north_east: (1, 1), Link.north: (0, 2)}
    towards = step.get(link) or tuple(-n for n in step[link.opposite])
    assert (next_column - column, next_row - row) == towards
