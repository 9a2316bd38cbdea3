"""What is written to a terminal that is redrawn in place: the whole screen, or its last lines."""

from __future__ import annotations

import io
import os
import pty

import pyte
import pytest

from spalloc_gevent.display.screen import Footer, Screen
from spalloc_gevent.display.terminal import USUAL_SIZE

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Glass(io.StringIO):
    """A stream that is shown on a screen of 80 x 6; it keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._screen = pyte.Screen(80, 6)
        self._stream = pyte.Stream(self._screen)
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        self._stream.feed(text)
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]


@pytest.fixture
def glass() -> Glass:
    return Glass()


# -- the whole screen ----------------------------------------------------------------------


def test_the_alternate_screen_is_taken_and_given_back_and_can_be_taken_again(glass: Glass) -> None:
    screen = Screen(glass)
    for _ in range(2):
        with screen.open():
            assert glass.writes[-1] == ENTER
        assert glass.writes[-1] == LEAVE


def test_the_screen_is_given_back_when_the_block_raises(glass: Glass) -> None:
    with pytest.raises(KeyboardInterrupt), Screen(glass).open():
        raise KeyboardInterrupt
    assert glass.writes == [ENTER, LEAVE]


def test_a_terminal_that_is_closed_meanwhile_gets_nothing_back_and_hides_no_error() -> None:
    hand, file = pty.openpty()

    def be_closed_and_fail() -> None:
        os.close(hand)
        raise ValueError("mine")

    # What could not be written is dropped: closing the stream does not fail either.
    with (
        open(file, "w", encoding="utf-8") as terminal,
        pytest.raises(ValueError, match="mine"),
        Screen(terminal).open(),
    ):
        be_closed_and_fail()


def test_a_picture_is_one_write_over_the_one_before_and_nothing_is_cleared_first(
    glass: Glass,
) -> None:
    screen = Screen(glass)
    screen.draw(["a long line", "another"], "status")
    screen.draw(["short"], "status")
    bottom = f"{REST_OF_SCREEN}\x1b[{USUAL_SIZE.lines};1Hstatus{REST_OF_LINE}{END}"
    assert glass.writes[1:] == [f"{BEGIN}{HOME}short{REST_OF_LINE}\r\n{bottom}"]


def test_lines_that_have_no_room_above_the_status_are_left_out(glass: Glass) -> None:
    Screen(glass).draw([f"line {number}" for number in range(1, 30)], "status")
    assert "line 23\x1b" in glass.getvalue()
    assert "line 24" not in glass.getvalue()


def test_a_line_as_wide_as_the_window_keeps_its_last_character(glass: Glass) -> None:
    full = "x" * USUAL_SIZE.columns
    # The cursor waits on the last character there: what is erased from it on is that.
    Screen(glass).draw([full, f"\x1b[31m{full}\x1b[0m", full[1:]], "status")
    assert f"{full}\r\n\x1b[31m{full}\x1b[0m\r\n{full[1:]}{REST_OF_LINE}" in glass.getvalue()


# -- the last lines ------------------------------------------------------------------------


def test_lines_take_the_place_of_those_before(glass: Glass) -> None:
    footer = Footer(glass)
    footer.draw(["one", "two"])
    footer.draw(["three", "x"])
    footer.draw(["y"])
    assert glass.lines == ["y", "", "", "", "", ""]


def test_text_stands_above_and_scrolls(glass: Glass) -> None:
    footer = Footer(glass)
    footer.draw(["counts", "doing"])
    for number in range(5):
        footer.write_above(f"news {number}\r\n")
    assert glass.lines == ["news 1", "news 2", "news 3", "news 4", "counts", "doing"]
    footer.clear()
    footer.write_above("the end\r\n")
    assert glass.lines == ["news 1", "news 2", "news 3", "news 4", "the end", ""]


def test_nothing_is_written_where_nothing_has_changed(glass: Glass) -> None:
    footer = Footer(glass)
    footer.clear()
    footer.draw(["same"])
    footer.draw(["same"])
    assert len(glass.writes) == 1


def test_no_line_is_as_wide_as_the_terminal(glass: Glass) -> None:
    Footer(glass).draw(["\x1b[31m" + "x" * 200 + "\x1b[0m", "y" * 200])
    assert glass.lines[:3] == ["x" * 79, "y" * 79, ""]
