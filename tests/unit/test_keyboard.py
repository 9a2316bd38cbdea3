"""Keys that are pressed while something is watched."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.pages import Move
from spalloc_gevent.scripts.watching.keyboard import QUIT, Keyboard, Keys

UP, DOWN, RIGHT, LEFT = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"
SEQUENCES = {
    UP: Move.UP,
    DOWN: Move.DOWN,
    RIGHT: Move.RIGHT,
    LEFT: Move.LEFT,
    b"\x1b[5~": Move.PAGE_UP,
    b"\x1b[6~": Move.PAGE_DOWN,
    b"\x1b[H": Move.HOME,
    b"\x1b[F": Move.END,
    b"\x1b[1~": Move.HOME,
    b"\x1b[4~": Move.END,
    b"\x1bOA": Move.UP,
    b"\x1bOB": Move.DOWN,
    b"\x1bOC": Move.RIGHT,
    b"\x1bOD": Move.LEFT,
    b"\x1bOH": Move.HOME,
    b"\x1bOF": Move.END,
}
LETTERS = {
    b"q": QUIT,
    b"Q": QUIT,
    b"k": Move.UP,
    b"j": Move.DOWN,
    b"h": Move.LEFT,
    b"l": Move.RIGHT,
    b"b": Move.PAGE_UP,
    b" ": Move.PAGE_DOWN,
    b"g": Move.HOME,
    b"G": Move.END,
}
UNKNOWN = [
    b"x",
    b"\r",
    b"\x01",
    "ä".encode(),
    b"\x1b[3~",  # delete
    b"\x1b[15~",  # F5
    b"\x1bOQ",  # F2
    b"\x1b[1;2Q",  # shift and F2
    b"\x1b[1;5C",  # control and right
    b"\x1b[200~",  # the beginning of pasted text
    b"\x1b[I",  # the window has the focus
]


def pressed(*pieces: bytes) -> list[Move | str]:
    keys = Keys()
    return [key for piece in pieces for key in keys.pressed(piece)]


@pytest.mark.parametrize(("sent", "key"), [*SEQUENCES.items(), *LETTERS.items()])
def test_each_key_is_known_by_what_terminals_send_for_it(sent: bytes, key: Move | str) -> None:
    assert pressed(sent) == [key]


@pytest.mark.parametrize(("sent", "key"), list(SEQUENCES.items()))
def test_a_sequence_may_be_split_anywhere(sent: bytes, key: Move | str) -> None:
    for at in range(len(sent) + 1):
        assert pressed(sent[:at], sent[at:]) == [key]
    assert pressed(*(bytes([byte]) for byte in sent)) == [key]


@pytest.mark.parametrize("sent", UNKNOWN)
def test_a_key_that_means_nothing_is_passed_over_whole(sent: bytes) -> None:
    for at in range(len(sent) + 1):
        assert pressed(sent[:at], sent[at:]) == []
    assert pressed(sent + b"q") == [QUIT]
    assert pressed(sent + UP) == [Move.UP]


def test_escape_by_itself_hides_no_key_after_it() -> None:
    assert pressed(b"\x1b", b"q") == [QUIT]
    assert pressed(b"\x1b" + DOWN) == [Move.DOWN]
    assert pressed(b"\x1b\x1bq") == [QUIT]


def test_a_sequence_that_is_broken_off_hides_no_key_after_it() -> None:
    assert pressed(b"\x1b[5" + UP) == [Move.UP]
    assert pressed(b"\x1bO" + UP) == [Move.UP]


def test_keys_come_in_the_order_in_which_they_were_pressed() -> None:
    assert pressed(b"j" + UP + b"xk", RIGHT[:2], RIGHT[2:] + b"q") == [
        Move.DOWN,
        Move.UP,
        Move.UP,
        Move.RIGHT,
        QUIT,
    ]


known = {**SEQUENCES, **LETTERS}


@given(st.lists(st.sampled_from([*known, *UNKNOWN]), max_size=8), st.data())
def test_however_it_is_split_the_same_keys_are_seen(sent: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    ends = [*cuts, len(whole)]
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], ends, strict=True)]
    assert pressed(*pieces) == [known[key] for key in sent if key in known]


@given(st.binary(max_size=30))
def test_after_whatever_bytes_two_presses_of_q_quit(garbage: bytes) -> None:
    assert QUIT in pressed(garbage + b"qq")


# -- the terminal ------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """The end of a pseudo-terminal at which keys are pressed, and its other one as a stream."""
    hand, file = pty.openpty()
    with open(hand, "rb", buffering=0), open(file, encoding="utf-8") as stream:
        yield hand, stream


def test_keys_are_read_at_once_and_unseen_while_it_is_open(terminal: tuple[int, TextIO]) -> None:
    hand, stream = terminal
    keyboard = Keyboard(stream)
    assert keyboard.files == [stream.fileno()]
    before = termios.tcgetattr(stream)
    with keyboard.open():
        assert not termios.tcgetattr(stream)[3] & (termios.ICANON | termios.ECHO)
        os.write(hand, UP + b"q")
        assert keyboard.read() == [Move.UP, QUIT]
    assert termios.tcgetattr(stream) == before


def test_the_terminal_is_as_before_when_the_block_raises(terminal: tuple[int, TextIO]) -> None:
    _, stream = terminal
    before = termios.tcgetattr(stream)
    with pytest.raises(KeyboardInterrupt), Keyboard(stream).open():
        raise KeyboardInterrupt
    assert termios.tcgetattr(stream) == before


def test_a_terminal_that_is_closed_has_no_keys_any_more() -> None:
    hand, file = pty.openpty()
    with open(file, encoding="utf-8") as stream:
        keyboard = Keyboard(stream)
        with keyboard.open():
            os.close(hand)
            assert keyboard.read() == []
            assert keyboard.files == []


def test_without_a_terminal_there_is_no_keyboard() -> None:
    closed = io.StringIO()
    closed.close()
    reader, writer = os.pipe()
    with open(writer, "w"), open(reader) as pipe:
        for stream in (None, io.StringIO(), closed, pipe):
            keyboard = Keyboard(stream)
            assert keyboard.files == []
            with keyboard.open():
                assert keyboard.files == []
