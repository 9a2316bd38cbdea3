"""What is written to a terminal whose whole screen is taken."""

from __future__ import annotations

import io
import os
import pty

import pytest

from spalloc_gevent.display.screen import Screen
from spalloc_gevent.display.terminal import USUAL_SIZE

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
HOME, REST_OF_LINE = "\x1b[H", "\x1b[K"


class Terminal(io.StringIO):
    """Remembers each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def test_the_alternate_screen_is_taken_and_given_back() -> None:
    terminal = Terminal()
    with Screen(terminal).open():
        assert terminal.getvalue() == ENTER + HIDE_CURSOR
    assert terminal.writes == [ENTER + HIDE_CURSOR, SHOW_CURSOR + LEAVE]


def test_the_screen_is_given_back_when_the_block_raises() -> None:
    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt), Screen(terminal).open():
        raise KeyboardInterrupt
    assert terminal.writes[-1] == SHOW_CURSOR + LEAVE


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


def test_a_screen_can_be_taken_again() -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    for _ in range(2):
        with screen.open():
            screen.draw(["a"], "status")
    assert terminal.getvalue().count(ENTER) == terminal.getvalue().count(LEAVE) == 2


def test_a_picture_is_one_write_that_begins_and_ends_as_a_whole() -> None:
    terminal = Terminal()
    Screen(terminal).draw(["one", "two"], "status")
    [picture] = terminal.writes
    assert picture.startswith(BEGIN + HOME + "one")
    assert picture.endswith("status" + REST_OF_LINE + END)


def test_a_picture_goes_over_the_one_before_and_nothing_is_cleared_first() -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    screen.draw(["a long line", "another"], "status")
    screen.draw(["short"], "status")
    for clear_screen in ("\x1b[2J", "\x1b[1J", "\x1b[3J", "\x1bc", "\x1b[2K"):
        assert clear_screen not in terminal.getvalue()
    body = terminal.writes[1].removeprefix(BEGIN + HOME)
    assert body.startswith(f"short{REST_OF_LINE}\r\n\x1b[J")


def test_the_status_stands_in_the_last_line() -> None:
    terminal = Terminal()
    Screen(terminal).draw(["one"], "status")
    assert f"\x1b[{USUAL_SIZE.lines};1Hstatus{REST_OF_LINE}" in terminal.getvalue()


def test_lines_that_have_no_room_above_the_status_are_left_out() -> None:
    terminal = Terminal()
    Screen(terminal).draw([f"line {number}" for number in range(1, 30)], "status")
    assert "line 23\x1b" in terminal.getvalue()
    assert "line 24" not in terminal.getvalue()


def test_a_line_as_wide_as_the_window_keeps_its_last_character() -> None:
    terminal = Terminal()
    full = "x" * USUAL_SIZE.columns
    # The cursor waits on the last character there: what is erased from it on is that.
    Screen(terminal).draw([full, f"\x1b[31m{full}\x1b[0m", full[1:]], "status")
    assert f"{full}\r\n" in terminal.getvalue()
    assert f"{full}\x1b[0m\r\n" in terminal.getvalue()
    assert f"{full[1:]}{REST_OF_LINE}\r\n" in terminal.getvalue()


def test_characters_that_the_terminal_cannot_show_are_spelled_out() -> None:
    class Ascii(Terminal):
        encoding = "ascii"

    terminal = Ascii()
    Screen(terminal).draw(["Gerät"], "")
    assert "Ger\\xe4t" in terminal.getvalue()
