"""Keys that are pressed while something is watched: they scroll, or end it."""

from __future__ import annotations

import os
import re
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

from spalloc_gevent.display.pages import Move

QUIT = "quit"

_KEYS: Mapping[bytes, Move | str] = {
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
    b"\x1b[A": Move.UP,
    b"\x1b[B": Move.DOWN,
    b"\x1b[C": Move.RIGHT,
    b"\x1b[D": Move.LEFT,
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
"""What terminals send for a key, in both of their modes; letters as in less."""

_BEGUN = re.compile(rb"\x1b(\[[0-?]*[ -/]*|O)?")
"""The beginning of what a terminal sends for any key: ECMA-48's control sequence, or SS3."""

_ESCAPE = b"\x1b"


class Keys:
    """Tells keys apart in what a terminal sends, however it is split. Pure."""

    def __init__(self) -> None:
        self._begun = b""

    def pressed(self, data: bytes) -> Iterator[Move | str]:
        """The keys that mean something here, in order."""
        for byte in data:
            last = bytes([byte])
            sent, self._begun = self._begun + last, b""
            if _BEGUN.fullmatch(sent):
                self._begun = sent
            elif last == _ESCAPE:  # What was begun has been broken off.
                self._begun = last
            elif sent in _KEYS:
                yield _KEYS[sent]
            elif len(sent) == 2 and last in _KEYS:  # After Escape by itself, or with Alt.
                yield _KEYS[last]


class Keyboard:
    """The keyboard of the terminal that `stream` is; without one there are no keys."""

    def __init__(self, stream: TextIO | None) -> None:
        self.files = _terminal_of(stream)
        """The descriptors that are readable when a key has been pressed: one, or none."""
        self._keys = Keys()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Get each key at once, and unseen, while the block runs."""
        try:
            before = [(file, termios.tcgetattr(file)) for file in self.files]
        except termios.error:  # The terminal has been closed.
            before, self.files = [], []
        try:
            for file, _ in before:
                _take_each_key(file)
            yield
        finally:
            for file, attributes in before:
                # A terminal that has been closed keeps no modes.
                with suppress(termios.error):
                    termios.tcsetattr(file, termios.TCSADRAIN, attributes)

    def read(self) -> list[Move | str]:
        """The keys that have been pressed; nothing is waited for."""
        try:
            data = os.read(self.files[0], 4096)
        except OSError:  # The terminal has been closed.
            data = b""
        if not data:
            self.files = []
        return list(self._keys.pressed(data))


def _terminal_of(stream: TextIO | None) -> list[int]:
    # A standard stream is None where the shell closed it.
    if stream is None or stream.closed or not stream.isatty():
        return []
    return [stream.fileno()]


def _take_each_key(file: int) -> None:
    attributes = termios.tcgetattr(file)
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
    termios.tcsetattr(file, termios.TCSADRAIN, attributes)
