"""Pictures that are wider than where they are shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.boards import PITCH, BoardGroup, board_picture
from spalloc_gevent.display.sheet import Sheet
from spalloc_gevent.display.strips import render_in_strips
from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.geometry import Board, boards_of_triads

PLAIN = Paint(False)
HEADING = re.compile(r"\(part (\d+) of (\d+), from the left\)")
HEXAGON_COLUMNS = PITCH + 1


def of_boards(boards: set[Board], columns: int | None, paint: Paint = PLAIN) -> str:
    groups = [BoardGroup([board], f"{board[0]}{board[1]}{board[2]}") for board in boards]
    return render_in_strips(board_picture(groups), columns, paint, pitch=PITCH)


def drawn(text: str) -> list[str]:
    """The lines that are no headings."""
    return [line for line in text.split("\n") if not HEADING.fullmatch(line)]


def whole_hexagons(text: str) -> set[str]:
    """The labels of the boards that are drawn with all of their edges, in some strip."""
    found = set()
    for strip in HEADING.sub("\f", text).split("\f"):
        lines = [line.ljust(200) for line in strip.split("\n")]
        for above, upper, lower in zip(lines, lines[1:], lines[2:], strict=False):
            for edge in re.finditer(r"(?=/(\d\d\d)\\)", upper):
                left = edge.start()
                is_closed = lower[left : left + 5] == "\\___/"
                if is_closed and above[left + 1 : left + 4] == "___":
                    found.add(edge[1])
    return found


def test_a_picture_that_fits_is_one_strip_without_a_heading() -> None:
    picture = of_boards(set(boards_of_triads(0, 0, 2, 1)), None)
    assert max(map(len, picture.split("\n"))) == 17
    assert of_boards(set(boards_of_triads(0, 0, 2, 1)), 17) == picture
    assert not HEADING.search(picture)


def test_a_picture_that_does_not_fit_is_cut_where_hexagons_begin_and_every_part_is_named() -> None:
    assert of_boards({(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)}, 12) == "\n".join(
        [
            "(part 1 of 2, from the left)",
            "     ___",
            " ___/001\\",
            "/000\\___/",
            "\\___/   \\",
            "",
            "(part 2 of 2, from the left)",
            "     ___",
            "\\___/101\\",
            "/100\\___/",
            "\\___/",
        ]
    )


def test_headings_are_dim() -> None:
    shown = of_boards(set(boards_of_triads(0, 0, 2, 1)), 10, Paint(True))
    assert shown.startswith("\x1b[2m(part 1 of 2, from the left)\x1b[0m\n")


def test_parts_are_about_equally_wide() -> None:
    shown = of_boards(set(boards_of_triads(0, 0, 10, 1)), 76)
    strips = [strip.split("\n") for strip in HEADING.sub("\f", shown).split("\f") if strip]
    assert [max(map(len, strip)) for strip in strips] == [41, 41]


def test_a_part_has_no_lines_for_what_is_only_in_others() -> None:
    shown = of_boards({(0, 0, 0), (4, 3, 0)}, 9)
    assert drawn(shown).count("") <= 3


def test_nothing_is_no_text() -> None:
    assert render_in_strips(Sheet(), 80, PLAIN) == ""


@pytest.mark.parametrize("columns", [1, 2, 4, 5])
def test_where_not_even_a_hexagon_has_room_each_column_of_them_is_a_part(columns: int) -> None:
    boards = set(boards_of_triads(0, 0, 2, 1))
    shown = of_boards(boards, columns)
    assert [(*found.groups(),) for found in HEADING.finditer(shown)] == [
        (str(part), "4") for part in range(1, 5)
    ]
    assert len(whole_hexagons(shown)) == len(boards)
    assert max(map(len, drawn(shown))) == HEXAGON_COLUMNS


def test_a_picture_of_no_hexagons_is_cut_anywhere() -> None:
    sheet = Sheet()
    sheet.write(0, 0, "abcdefghij")
    assert drawn(render_in_strips(sheet, 4, PLAIN)) == ["abcd", "", "defg", "", "ghij"]
    assert render_in_strips(sheet, None, PLAIN) == "abcdefghij"


def test_one_character_is_one_part() -> None:
    sheet = Sheet()
    sheet.write(0, 7, "a", (Style.RED,))
    for columns in (None, 1, 80):
        assert render_in_strips(sheet, columns, PLAIN) == "a"


some_boards = st.sets(
    st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=40
)


@given(some_boards, st.integers(1, 120))
def test_no_line_is_too_long_and_every_hexagon_is_whole_somewhere(
    boards: set[Board], columns: int
) -> None:
    shown = of_boards(boards, columns)
    assert max(map(len, drawn(shown))) <= max(columns, HEXAGON_COLUMNS)
    assert whole_hexagons(shown) == {f"{x}{y}{z}" for x, y, z in boards}
    parts = [(int(part), int(parts)) for part, parts in HEADING.findall(shown)]
    assert parts == [(part, len(parts)) for part in range(1, len(parts) + 1)]
    assert len(parts) != 1


@given(some_boards)
def test_a_picture_with_all_the_room_it_takes_is_never_cut(boards: set[Board]) -> None:
    shown = of_boards(boards, None)
    assert not HEADING.search(shown)
    assert of_boards(boards, max(map(len, shown.split("\n")))) == shown
