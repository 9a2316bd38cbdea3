"""Boards drawn as hexagons."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.boards import BoardGroup, board_picture
from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.geometry import BoardLink, Link, Torus, boards_of_triads


def draw_boards(
    groups: Iterable[BoardGroup],
    dead_links: Iterable[BoardLink] = (),
    paint: Paint | None = None,
    *,
    torus: Torus | None = None,
) -> str:
    """The whole picture; empty where nothing is drawn."""
    sheet = board_picture(groups, dead_links, torus=torus)
    bounds = sheet.bounds
    return "" if bounds is None else "\n".join(sheet.lines(bounds, paint or Paint(False)))


def picture(text: str) -> str:
    """The lines of `text` without the indentation that they share with the last one."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(line[8:] for line in lines)


def plain(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def test_machine_of_the_protocol_description_is_drawn_exactly_so() -> None:
    everything = BoardGroup(set(boards_of_triads(0, 0, 2, 2)) - {(1, 0, 2)})
    job = BoardGroup(list(boards_of_triads(0, 0)), "A")
    assert draw_boards([everything, job], [(1, 1, 0, Link.north)]) == picture(r"""
         ___     ___
        / . \___/ . \___
        \___/ . \XXX/ . \
        / . \___/ . \___/
        \___/ A \___/    ___
            \___/ A \___/ . \
            / A \___/ . \___/
            \___/   \___/
        """)


def test_single_board_is_one_hexagon() -> None:
    for board in ((0, 0, 0), (3, 4, 1), (1, 0, 2)):
        assert draw_boards([BoardGroup([board])]) == picture(r"""
         ___
        / . \
        \___/
        """)


def test_triad_has_its_boards_0_and_2_in_one_column_and_1_to_the_right() -> None:
    groups = [BoardGroup([(0, 0, z)], str(z)) for z in range(3)]
    assert draw_boards(groups) == picture(r"""
         ___
        / 2 \___
        \___/ 1 \
        / 0 \___/
        \___/
        """)


def test_rows_of_triads_count_upwards_and_lean_to_the_left() -> None:
    groups = [BoardGroup(boards_of_triads_of_row(y), str(y)) for y in range(2)]
    assert draw_boards(groups) == picture(r"""
         ___
        / 1 \___
        \___/ 1 \
        / 1 \___/
        \___/ 0 \___
            \___/ 0 \
            / 0 \___/
            \___/
        """)


def boards_of_triads_of_row(y: int) -> list[tuple[int, int, int]]:
    return list(boards_of_triads(0, y))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (Link.north, " XXX\n/ . \\\n\\___/"),
        (Link.north_east, " ___\n/ . X\n\\___/"),
        (Link.east, " ___\n/ . \\\n\\___X"),
        (Link.south, " ___\n/ . \\\n\\XXX/"),
        (Link.south_west, " ___\n/ . \\\nX___/"),
        (Link.west, " ___\nX . \\\n\\___/"),
    ],
)
def test_each_dead_link_is_marked_on_its_own_edge(link: Link, expected: str) -> None:
    assert draw_boards([BoardGroup([(0, 0, 0)])], [(0, 0, 0, link)]) == expected


def test_dead_link_is_marked_from_whichever_end_it_is_told() -> None:
    group = BoardGroup([(0, 0, 0), (0, 0, 2)])
    from_below = draw_boards([group], [(0, 0, 0, Link.north)])
    assert from_below == draw_boards([group], [(0, 0, 2, Link.south)])
    assert from_below == " ___\n/ . \\\n\\XXX/\n/ . \\\n\\___/"


def test_dead_link_of_a_board_that_is_not_drawn_is_not_drawn() -> None:
    group = BoardGroup([(0, 0, 0)])
    assert draw_boards([group], [(5, 5, 0, Link.north)]) == draw_boards([group])


def test_nothing_to_draw_is_no_text() -> None:
    assert draw_boards([]) == ""
    assert draw_boards([BoardGroup([])], [(0, 0, 0, 0)]) == ""


def test_gap_of_a_whole_line_stays_a_line() -> None:
    far_apart = BoardGroup([(0, 0, 0), (1, 2, 0)])
    lines = draw_boards([far_apart]).splitlines()
    assert len(lines) == 9
    assert lines[3:6] == ["", "", ""]


def test_labels_are_centred_on_three_characters() -> None:
    for label, shown in (("A", "/ A \\"), ("AB", "/ AB\\"), ("ABC", "/ABC\\")):
        assert shown in draw_boards([BoardGroup([(0, 0, 0)], label)])


def test_inner_and_outer_edges_have_styles_of_their_own() -> None:
    group = BoardGroup([(0, 0, 0), (0, 0, 2)], "A", (Style.GREEN,), (Style.GREEN,), (Style.BRIGHT,))
    lines = draw_boards([group], paint=Paint(True)).splitlines()
    assert lines[0] == " \x1b[1m___\x1b[0m"
    assert lines[1] == "\x1b[1m/\x1b[0m\x1b[32m A \x1b[0m\x1b[1m\\\x1b[0m"
    assert lines[2] == "\x1b[1m\\\x1b[0m\x1b[32m___\x1b[0m\x1b[1m/\x1b[0m"


def test_later_groups_are_drawn_over_earlier_ones() -> None:
    below = BoardGroup([(0, 0, 0)], "x", outer_styles=(Style.DIM,))
    above = BoardGroup([(0, 0, 0)], "A", outer_styles=(Style.BRIGHT,))
    assert draw_boards([below, above]) == draw_boards([above])
    assert draw_boards([below, above], paint=Paint(True)) == draw_boards([above], paint=Paint(True))


def test_dead_links_are_red() -> None:
    shown = draw_boards([BoardGroup([(0, 0, 0)])], [(0, 0, 0, Link.south)], Paint(True))
    assert "\x1b[31mXXX\x1b[0m" in shown


boards = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2))
links = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2), st.integers(0, 5))


@given(st.sets(boards), st.lists(links))
def test_every_board_is_drawn_once_and_colour_changes_no_character(
    some: set[tuple[int, int, int]], dead: list[tuple[int, int, int, int]]
) -> None:
    group = BoardGroup(some, "*", (Style.GREEN,), (Style.DIM,), (Style.BRIGHT,))
    shown = draw_boards([group], dead)
    assert shown.count("*") == len(some)
    assert plain(draw_boards([group], dead, Paint(True))) == shown
    assert all(line == line.rstrip() for line in shown.splitlines())
