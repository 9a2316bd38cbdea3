"""What a window shows of a page that is longer or wider than it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.frames import Move, Scroll, frame, moved
from spalloc_gevent.display.pages import Page, Text
from spalloc_gevent.display.tables import Cell, Column, Table
from spalloc_gevent.display.terminal import Size
from spalloc_gevent.display.widths import width_of

TOP = Scroll()


def numbered(count: int) -> Text:
    return Text("\n".join(f"line {number}" for number in range(1, count + 1)))


def table(count: int) -> Table[int]:
    columns = [Column("id", "ID", lambda row: Cell(f"{row}"), lambda row: row)]
    return Table(columns, range(1, count + 1))


class Nothing:
    """A page without a line."""

    pinned = 0

    def __len__(self) -> int:
        return 0

    def lines(self, start: int, stop: int) -> list[str]:
        return []


# -- what is in view ---------------------------------------------------------------------


def test_a_page_that_fits_is_shown_as_it_is_with_no_word_about_a_part() -> None:
    shown = frame(numbered(3), Size(10, 4), TOP)
    assert (shown.lines, shown.scroll, shown.part) == (["line 1", "line 2", "line 3"], TOP, "")


def test_the_last_line_of_the_window_is_left_for_the_status() -> None:
    shown = frame(numbered(4), Size(10, 4), TOP)
    assert shown.lines == ["line 1", "line 2", "line 3"]
    assert shown.part == "lines 1-3 of 4"


def test_headings_stay_in_view_and_are_not_counted_with_what_scrolls() -> None:
    shown = frame(table(9), Size(10, 5), Scroll(top=4))
    assert shown.lines == ["ID", "5", "6", "7"]
    assert shown.part == "lines 5-7 of 9"


def test_a_page_scrolls_to_its_end_and_no_further() -> None:
    for page, lines in (
        (numbered(9), ["line 7", "line 8", "line 9"]),
        (table(9), ["ID", "8", "9"]),
    ):
        shown = frame(page, Size(10, 4), Scroll(top=1000))
        assert shown.lines == lines
        assert frame(page, Size(10, 4), shown.scroll) == shown


def test_nothing_is_above_the_first_line_nor_left_of_the_first_column() -> None:
    assert frame(numbered(9), Size(4, 4), Scroll(-5, -5)) == frame(numbered(9), Size(4, 4), TOP)


def test_a_page_scrolls_to_the_right_until_its_widest_line_has_been_seen() -> None:
    page = Text("abcdefgh\nabc")
    assert frame(page, Size(5, 24), TOP).lines == ["abcde", "abc"]
    assert frame(page, Size(5, 24), TOP).part == "columns 1-5 of 8"
    shown = frame(page, Size(5, 24), Scroll(left=1000))
    assert (shown.lines, shown.scroll) == (["defgh", ""], Scroll(left=3))
    assert shown.part == "columns 4-8 of 8"


def test_both_directions_are_told_when_both_are_clipped() -> None:
    shown = frame(numbered(9), Size(4, 4), Scroll(2, 1))
    assert shown.lines == ["ine ", "ine ", "ine "]
    assert shown.part == "lines 3-5 of 9, columns 2-5 of 6"


def test_headings_move_sideways_with_what_is_below_them() -> None:
    columns = [
        Column(name, name.upper(), lambda row: Cell(row * 4), lambda row: row) for name in "ab"
    ]
    shown = frame(Table(columns, ["x"]), Size(6, 24), Scroll(left=4))
    assert shown.lines == ["  B", "  xxxx"]


def test_a_scrolled_page_that_becomes_short_comes_back_into_view() -> None:
    shown = frame(numbered(2), Size(10, 4), Scroll(7, 5))
    assert (shown.lines, shown.scroll) == (["line 1", "line 2"], TOP)


def test_a_window_of_two_lines_shows_one_and_leaves_out_headings() -> None:
    assert frame(numbered(5), Size(10, 2), Scroll(2)).lines == ["line 3"]
    assert frame(table(5), Size(10, 2), TOP).lines == ["ID"]
    assert frame(table(5), Size(10, 2), Scroll(3)).lines == ["3"]


def test_a_window_of_three_lines_has_room_for_a_heading_and_a_row() -> None:
    assert frame(table(5), Size(10, 3), Scroll(3)).lines == ["ID", "4"]


@pytest.mark.parametrize("lines", [0, 1])
def test_a_window_without_room_for_a_page_shows_none(lines: int) -> None:
    for page in (numbered(5), table(5), Nothing()):
        for scroll in (TOP, Scroll(3), Scroll(1000, 1000)):
            shown = frame(page, Size(10, lines), scroll)
            assert (shown.lines, shown.part) == ([], "")


def test_an_empty_page_is_an_empty_frame() -> None:
    shown = frame(Nothing(), Size(10, 5), Scroll(3, 3))
    assert (shown.lines, shown.scroll, shown.part) == ([], TOP, "")


def test_a_table_without_rows_is_its_headings_in_any_window() -> None:
    for lines in (2, 3, 24):
        shown = frame(table(0), Size(10, lines), Scroll(3, 3))
        assert (shown.lines, shown.scroll, shown.part) == (["ID"], TOP, "")


# -- what keys do ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("move", "after"),
    [
        (Move.UP, Scroll(19, 16)),
        (Move.DOWN, Scroll(21, 16)),
        (Move.PAGE_UP, Scroll(12, 16)),
        (Move.PAGE_DOWN, Scroll(28, 16)),
        (Move.LEFT, Scroll(20, 8)),
        (Move.RIGHT, Scroll(20, 24)),
        (Move.HOME, Scroll(0, 0)),
    ],
)
def test_a_key_moves_the_scroll(move: Move, after: Scroll) -> None:
    assert moved(Scroll(20, 16), move, Size(80, 10)) == after


def test_every_key_does_something() -> None:
    places = [moved(Scroll(20, 16), move, Size(80, 10)) for move in Move]
    assert len({*places, Scroll(20, 16)}) == len(Move) + 1


@pytest.mark.parametrize("move", list(Move))
def test_no_key_leaves_the_page_at_its_beginning(move: Move) -> None:
    after = moved(TOP, move, Size(80, 10))
    assert after.top >= 0
    assert after.left >= 0


def test_end_shows_the_last_lines_and_keeps_the_columns() -> None:
    page = Text("\n".join(f"{number} is a long line" for number in range(30)))
    size = Size(8, 5)
    shown = frame(page, size, moved(Scroll(3, 2), Move.END, size))
    assert shown.part == "lines 27-30 of 30, columns 3-10 of 17"


def test_up_after_end_moves_at_once() -> None:
    page, size = numbered(30), Size(80, 5)
    at_end = frame(page, size, moved(TOP, Move.END, size)).scroll
    assert frame(page, size, moved(at_end, Move.UP, size)).lines[0] == "line 26"


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 24])
def test_a_page_down_skips_no_line(lines: int) -> None:
    size = Size(80, lines)
    for page in (numbered(100), table(100)):
        first = frame(page, size, TOP)
        second = frame(page, size, moved(first.scroll, Move.PAGE_DOWN, size))
        room = len(first.lines) - min(page.pinned, len(first.lines) - 1)
        assert second.scroll.top <= max(room, 1)


# -- whatever is shown -------------------------------------------------------------------


def pages() -> st.SearchStrategy[Page]:
    lines = st.lists(st.text("ab 日\u0301\x1b", max_size=30).map(styled), max_size=12)
    texts = lines.map(lambda lines: Text("\n".join(lines)))
    return st.one_of(texts, st.integers(0, 12).map(table), st.just(Nothing()))


def styled(text: str) -> str:
    return text.replace("\x1b", "\x1b[31m")


sizes = st.builds(Size, st.integers(1, 35), st.integers(1, 15))
scrolls = st.builds(Scroll, st.integers(0, 20), st.integers(0, 40))


@given(pages(), sizes, scrolls)
def test_no_frame_is_larger_than_its_window(page: Page, size: Size, scroll: Scroll) -> None:
    shown = frame(page, size, scroll)
    assert len(shown.lines) <= size.lines - 1
    assert all(width_of(line) <= size.columns for line in shown.lines)


@given(pages(), sizes, scrolls, st.lists(st.sampled_from(Move), max_size=5))
def test_wherever_keys_lead_the_window_is_as_full_as_it_can_be(
    page: Page, size: Size, scroll: Scroll, moves: list[Move]
) -> None:
    for move in moves:
        scroll = frame(page, size, moved(scroll, move, size)).scroll
    shown = frame(page, size, scroll)
    assert len(shown.lines) == min(len(page), size.lines - 1)
    is_cut_off = len(shown.lines) < len(page) and bool(shown.lines)
    assert ("line" in shown.part) == is_cut_off
