"""Lines that commands show, whole or in parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.pages import Text, text_of


def test_a_text_is_its_lines() -> None:
    page = Text("a\nb\nc")
    assert len(page) == 3
    assert list(page.lines(1, 3)) == ["b", "c"]
    assert text_of(page) == "a\nb\nc"


def test_blocks_are_set_apart_by_a_blank_line() -> None:
    assert text_of(Text("a\nb", "c")) == "a\nb\n\nc"


def test_empty_blocks_leave_no_gap() -> None:
    assert text_of(Text("", "a", "", "b", "")) == "a\n\nb"


def test_a_text_of_nothing_is_empty() -> None:
    assert text_of(Text()) == text_of(Text("", "")) == ""


def test_nothing_of_a_text_is_pinned() -> None:
    assert Text("a\nb").pinned == 0


@given(st.text("ab\n", max_size=12), st.integers(0, 14), st.integers(0, 14))
def test_a_part_of_a_text_is_the_same_lines_of_the_whole(text: str, start: int, stop: int) -> None:
    page = Text(text)
    assert text_of(page) == text
    assert list(page.lines(start, stop)) == text.split("\n")[start:stop]
