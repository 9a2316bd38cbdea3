"""Lines that commands show, and what a window shows of a page that is longer or wider than it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.pages import Move, Page, Scroll, Text, frame, moved, text_of
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


# -- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "text"),
    [((), ""), (("", ""), ""), (("a\nb", "c"), "a\nb\n\nc"), (("", "a", "", "b", ""), "a\n\nb")],
)
def test_blocks_are_set_apart_by_a_blank_line_and_empty_ones_leave_no_gap(
    blocks: tuple[str, ...], text: str
) -> None:
    assert text_of(Text(*blocks)) == text


@given(st.text("ab\n", max_size=12), st.integers(0, 14), st.integers(0, 14))
def test_a_part_of_a_text_is_the_same_lines_of_the_whole(text: str, start: int, stop: int) -> None:
    page = Text(text)
    assert text_of(page) == text
    assert list(page.lines(start, stop)) == text.split("\n")[start:stop]


# -- what is in view ---------------------------------------------------------------------

WIDE = Text("abcdefgh\nabc")
TWO_COLUMNS = Table(
    [Column(name, name.upper(), lambda row: Cell(row * 4), lambda row: row) for name in "ab"], ["x"]
)
FAR = Scroll(1000, 1000)


@pytest.mark.parametrize(
    ("page", "size", "scroll", "lines", "seen", "part"),
    [
        (numbered(2), (10, 3), TOP, ["line 1", "line 2"], TOP, ""),
        (numbered(2), (10, 4), Scroll(7, 5), ["line 1", "line 2"], TOP, ""),
        # The last line is left for the status.
        (numbered(3), (10, 3), TOP, ["line 1", "line 2"], TOP, "lines 1-2 of 3"),
        (numbered(9), (10, 3), FAR, ["line 8", "line 9"], Scroll(7), "lines 8-9 of 9"),
        (numbered(9), (10, 3), Scroll(-5, -5), ["line 1", "line 2"], TOP, "lines 1-2 of 9"),
        (numbered(9), (4, 3), Scroll(2, 1), ["ine "] * 2, Scroll(2, 1),
         "lines 3-4 of 9, columns 2-5 of 6"),
        (WIDE, (5, 24), TOP, ["abcde", "abc"], TOP, "columns 1-5 of 8"),
        (WIDE, (5, 24), FAR, ["defgh", ""], Scroll(0, 3), "columns 4-8 of 8"),
        # Headings stay in view, are not counted, and move sideways with what is below them.
        (table(9), (10, 5), Scroll(4), ["ID", "5", "6", "7"], Scroll(4), "lines 5-7 of 9"),
        (table(9), (10, 4), FAR, ["ID", "8", "9"], Scroll(7), "lines 8-9 of 9"),
        (table(0), (10, 2), Scroll(3, 3), ["ID"], TOP, ""),
        (TWO_COLUMNS, (6, 24), Scroll(0, 4), ["  B", "  xxxx"], Scroll(0, 4), "columns 5-10 of 10"),
        # In a window of two lines there is no room for them.
        (table(5), (10, 2), TOP, ["ID"], TOP, "lines 1-1 of 6"),
        (table(5), (10, 2), Scroll(3), ["3"], Scroll(3), "lines 4-4 of 6"),
        (table(5), (10, 3), Scroll(3), ["ID", "4"], Scroll(3), "lines 4-4 of 5"),
        (Nothing(), (10, 5), Scroll(3, 3), [], TOP, ""),
    ],
)  # fmt: skip
def test_a_window_shows_as_much_of_a_page_as_there_is_room_for(
    page: Page, size: tuple[int, int], scroll: Scroll, lines: list[str], seen: Scroll, part: str
) -> None:
    shown = frame(page, Size(*size), scroll)
    assert (shown.lines, shown.scroll, shown.part) == (lines, seen, part)


@pytest.mark.parametrize("lines", [0, 1])
@pytest.mark.parametrize("page", [numbered(5), table(5), Nothing()])
@pytest.mark.parametrize("scroll", [TOP, Scroll(3), FAR])
def test_a_window_without_room_for_a_page_shows_none(
    lines: int, page: Page, scroll: Scroll
) -> None:
    shown = frame(page, Size(10, lines), scroll)
    assert (shown.lines, shown.part) == ([], "")


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
def test_a_key_moves_the_scroll_and_not_off_the_beginning(move: Move, after: Scroll) -> None:
    assert moved(Scroll(20, 16), move, Size(80, 10)) == after
    at_first = moved(TOP, move, Size(80, 10))
    assert min(at_first.top, at_first.left) >= 0


def test_end_shows_the_last_lines_keeps_the_columns_and_up_leaves_it_at_once() -> None:
    page, size = Text("\n".join(f"{number} is a long line" for number in range(30))), Size(8, 5)
    at_end = frame(page, size, moved(Scroll(3, 2), Move.END, size))
    assert at_end.part == "lines 27-30 of 30, columns 3-10 of 17"
    above = frame(page, size, moved(at_end.scroll, Move.UP, size))
    assert above.part == "lines 26-29 of 30, columns 3-10 of 17"


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 24])
@pytest.mark.parametrize("page", [numbered(100), table(100)])
def test_a_page_down_skips_no_line(lines: int, page: Page) -> None:
    size = Size(80, lines)
    first = frame(page, size, TOP)
    second = frame(page, size, moved(first.scroll, Move.PAGE_DOWN, size))
    room = len(first.lines) - min(page.pinned, len(first.lines) - 1)
    assert second.scroll.top <= max(room, 1)


# -- whatever is shown -------------------------------------------------------------------


def pages() -> st.SearchStrategy[Page]:
    styled = st.text("ab 日\u0301\x1b", max_size=30).map(lambda it: it.replace("\x1b", "\x1b[31m"))
    texts = st.lists(styled, max_size=12).map(lambda lines: Text("\n".join(lines)))
    return st.one_of(texts, st.integers(0, 12).map(table), st.just(Nothing()))


sizes = st.builds(Size, st.integers(1, 35), st.integers(1, 15))
scrolls = st.builds(Scroll, st.integers(0, 20), st.integers(0, 40))


@given(pages(), sizes, scrolls, st.lists(st.sampled_from(Move), max_size=5))
def test_wherever_keys_lead_the_window_is_as_full_as_it_can_be_and_no_fuller(
    page: Page, size: Size, scroll: Scroll, moves: list[Move]
) -> None:
    for move in moves:
        scroll = frame(page, size, moved(scroll, move, size)).scroll
    shown = frame(page, size, scroll)
    assert len(shown.lines) == min(len(page), size.lines - 1)
    assert all(width_of(line) <= size.columns for line in shown.lines)
    is_cut_off = len(shown.lines) < len(page) and bool(shown.lines)
    assert ("line" in shown.part) == is_cut_off
