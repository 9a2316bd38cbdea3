"""A plane of styled characters, written in any order and read out in windows."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.sheet import Sheet, Window
from spalloc_gevent.display.terminal import Paint, Style

PLAIN = Paint(False)
COLOURED = Paint(True)


def everything(sheet: Sheet, paint: Paint = PLAIN) -> list[str]:
    assert sheet.bounds is not None
    return sheet.lines(sheet.bounds, paint)


def test_lines_are_read_from_the_top_down() -> None:
    sheet = Sheet()
    sheet.write(0, 0, "bottom")
    sheet.write(2, 0, "top")
    assert everything(sheet) == ["top", "", "bottom"]


def test_what_is_written_later_is_over_what_was_there() -> None:
    sheet = Sheet()
    sheet.write(0, 0, "abcde", (Style.GREEN,))
    sheet.write(0, 1, "XYZ")
    assert everything(sheet) == ["aXYZe"]
    assert everything(sheet, COLOURED) == ["\x1b[32ma\x1b[0mXYZ\x1b[32me\x1b[0m"]


def test_neighbours_of_one_style_are_painted_together() -> None:
    sheet = Sheet()
    sheet.write(0, 0, "a", (Style.RED,))
    sheet.write(0, 1, "b", (Style.RED,))
    sheet.write(0, 2, "c", (Style.BLUE,))
    assert everything(sheet, COLOURED) == ["\x1b[31mab\x1b[0m\x1b[34mc\x1b[0m"]


def test_places_may_be_negative() -> None:
    sheet = Sheet()
    sheet.write(-2, -3, "ab")
    sheet.write(1, 4, "c")
    assert sheet.bounds == Window(left=-3, right=4, bottom=-2, top=1)
    assert everything(sheet) == ["       c", "", "", "ab"]


def test_a_sheet_on_which_nothing_was_written_has_no_bounds() -> None:
    assert Sheet().bounds is None
    assert Sheet().bounds_within(-5, 5) is None


def test_a_window_shows_what_is_in_it_and_blanks_around() -> None:
    sheet = Sheet()
    sheet.write(0, 0, "abcdef")
    assert sheet.lines(Window(2, 3, 0, 0), PLAIN) == ["cd"]
    assert sheet.lines(Window(-2, 1, -1, 1), PLAIN) == ["", "  ab", ""]


def test_a_window_counts_both_of_its_ends() -> None:
    window = Window(left=-2, right=3, bottom=0, top=0)
    assert (window.columns, window.lines) == (6, 1)


def test_a_part_is_as_high_as_what_is_written_there() -> None:
    sheet = Sheet()
    sheet.write(5, 0, "left")
    sheet.write(1, 8, "right")
    assert sheet.bounds_within(0, 3) == Window(0, 3, 5, 5)
    assert sheet.bounds_within(3, 8) == Window(3, 8, 1, 5)
    assert sheet.bounds_within(4, 7) is None


def test_blanks_at_the_end_of_a_line_are_left_out_whatever_their_style() -> None:
    sheet = Sheet()
    sheet.write(0, 0, " a  ", (Style.UNDERLINE,))
    assert everything(sheet) == [" a"]
    assert everything(sheet, COLOURED) == ["\x1b[4m a\x1b[0m"]


writings = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(-9, 9), st.text("ab ", min_size=1, max_size=5)),
    max_size=8,
)
windows = st.tuples(st.integers(-15, 15), st.integers(0, 30), st.integers(-5, 5)).map(
    lambda at: Window(at[0], at[0] + at[1], at[2], at[2] + 3)
)


@given(writings, windows)
def test_a_window_is_a_piece_cut_out_of_the_plane(
    written: list[tuple[int, int, str]], window: Window
) -> None:
    sheet, plane = Sheet(), {}
    for line, character, text in written:
        sheet.write(line, character, text, (Style.GREEN,) if "a" in text else ())
        plane.update({(line, character + place): letter for place, letter in enumerate(text)})
    expected = [
        "".join(plane.get((line, place), " ") for place in range(window.left, window.right + 1))
        for line in range(window.top, window.bottom - 1, -1)
    ]
    assert sheet.lines(window, PLAIN) == [line.rstrip() for line in expected]
    coloured = sheet.lines(window, COLOURED)
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == sheet.lines(window, PLAIN)
