"""Boards drawn as hexagons in a terminal; whole machines are in test_golden_drawings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.boards import BoardGroup, render_boards
from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.geometry import Board, BoardLink, Link, boards_of_triads

PLAIN, COLOURED = Paint(False), Paint(True)
HEADING = re.compile(r"\(part (\d+) of (\d+), from the left\)")
HEXAGON_COLUMNS = 5

boards = st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 2))
some_boards = st.sets(boards, min_size=1, max_size=40)
links = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2), st.integers(0, 5))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], ""),
        ([BoardGroup([(3, 4, 1)])], " ___\n/ . \\\n\\___/"),
        ([BoardGroup([(0, 0, z)], str(z)) for z in range(3)],
         " ___\n/ 2 \\___\n\\___/ 1 \\\n/ 0 \\___/\n\\___/"),
        # Rows of triads lean to the left; a gap of whole lines stays.
        ([BoardGroup([(0, y, 0)], str(y)) for y in (0, 2)],
         " ___\n/ 2 \\\n\\___/\n\n\n\n         ___\n        / 0 \\\n        \\___/"),
        ([BoardGroup([(0, 0, 0)], "x"), BoardGroup([(0, 0, 0)], "ABCD")], " ___\n/ABC\\\n\\___/"),
        ([BoardGroup([(0, 0, 0)], "AB")], " ___\n/ AB\\\n\\___/"),
    ],
)  # fmt: skip
def test_boards_are_hexagons_with_labels_of_three_characters(
    groups: list[BoardGroup], expected: str
) -> None:
    assert render_boards(groups, paint=PLAIN) == expected


def test_inner_and_outer_edges_labels_and_dead_links_have_styles_of_their_own() -> None:
    dim = BoardGroup([(0, 0, 0)], outer_styles=(Style.DIM,))
    group = BoardGroup([(0, 0, 0), (0, 0, 2)], "A", (Style.GREEN,), (Style.BLUE,), (Style.BRIGHT,))
    lines = render_boards([dim, group], [(0, 0, 0, Link.south)], paint=COLOURED).split("\n")
    assert lines == [
        " \x1b[1m___\x1b[0m",
        "\x1b[1m/\x1b[0m\x1b[32m A \x1b[0m\x1b[1m\\\x1b[0m",
        "\x1b[1m\\\x1b[0m\x1b[34m___\x1b[0m\x1b[1m/\x1b[0m",
        "\x1b[1m/\x1b[0m\x1b[32m A \x1b[0m\x1b[1m\\\x1b[0m",
        "\x1b[1m\\\x1b[0m\x1b[31mXXX\x1b[0m\x1b[1m/\x1b[0m",
    ]


@given(some_boards, st.lists(links))
def test_every_board_is_drawn_once_and_colour_changes_no_character(
    some: set[Board], dead: list[BoardLink]
) -> None:
    group = BoardGroup(some, "*", (Style.GREEN,), (Style.DIM,), (Style.BRIGHT,))
    shown = render_boards([group], dead, paint=PLAIN)
    assert shown.count("*") == len(some)
    coloured = render_boards([group], dead, paint=COLOURED)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == shown
    assert all(line == line.rstrip() for line in shown.splitlines())


# -- pictures that are wider than where they are shown ---------------------------------------


def in_parts(boards: set[Board], columns: int | None, paint: Paint = PLAIN) -> str:
    groups = [BoardGroup([board], "{}{}{}".format(*board)) for board in boards]
    return render_boards(groups, columns=columns, paint=paint)


def drawn(text: str) -> list[str]:
    """The lines that are no headings."""
    return [line for line in text.split("\n") if not HEADING.fullmatch(line)]


def whole_hexagons(text: str) -> set[str]:
    """The labels of the boards that are drawn with all of their edges, in some part."""
    found = set()
    for part in HEADING.sub("\f", text).split("\f"):
        lines = [line.ljust(200) for line in part.split("\n")]
        for above, upper, lower in zip(lines, lines[1:], lines[2:], strict=False):
            for edge in re.finditer(r"(?=/(\d\d\d)\\)", upper):
                left = edge.start()
                is_closed = lower[left : left + 5] == "\\___/"
                if is_closed and above[left + 1 : left + 4] == "___":
                    found.add(edge[1])
    return found


def test_a_picture_that_does_not_fit_is_cut_where_hexagons_begin_and_every_part_is_named() -> None:
    shown = in_parts({(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)}, 12, COLOURED)
    assert shown == "\n".join(
        [
            "\x1b[2m(part 1 of 2, from the left)\x1b[0m",
            "     ___",
            " ___/001\\",
            "/000\\___/",
            "\\___/   \\",
            "",
            "\x1b[2m(part 2 of 2, from the left)\x1b[0m",
            "     ___",
            "\\___/101\\",
            "/100\\___/",
            "\\___/",
        ]
    )


def test_parts_are_about_equally_wide_and_no_higher_than_what_is_in_them() -> None:
    shown = in_parts(set(boards_of_triads(0, 0, 10, 1)), 76)
    parts = [part.split("\n") for part in HEADING.sub("\f", shown).split("\f") if part]
    assert [max(map(len, part)) for part in parts] == [41, 41]
    assert drawn(in_parts({(0, 0, 0), (4, 3, 0)}, 9)).count("") <= 3


@pytest.mark.parametrize("columns", [-3, 1, 2, 4, 5])
def test_where_not_even_a_hexagon_has_room_each_column_of_them_is_a_part(columns: int) -> None:
    triads = set(boards_of_triads(0, 0, 2, 1))
    shown = in_parts(triads, columns)
    assert [found[1] for found in HEADING.finditer(shown)] == ["1", "2", "3", "4"]
    assert len(whole_hexagons(shown)) == len(triads)
    assert max(map(len, drawn(shown))) == HEXAGON_COLUMNS


@given(some_boards, st.integers(1, 120))
def test_no_line_is_too_long_and_every_hexagon_is_whole_somewhere(
    boards: set[Board], columns: int
) -> None:
    shown = in_parts(boards, columns)
    assert max(map(len, drawn(shown))) <= max(columns, HEXAGON_COLUMNS)
    assert whole_hexagons(shown) == {f"{x}{y}{z}" for x, y, z in boards}
    parts = [(int(part), int(parts)) for part, parts in HEADING.findall(shown)]
    assert parts == [(part, len(parts)) for part in range(1, len(parts) + 1)]
    assert len(parts) != 1
    whole = in_parts(boards, None)
    assert not HEADING.search(whole)
    assert in_parts(boards, max(map(len, whole.split("\n")))) == whole
