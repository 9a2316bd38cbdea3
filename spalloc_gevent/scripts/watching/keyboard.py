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
    key: meaning
    for meaning, keys in (
        (QUIT, (b"q", b"Q")),
        (Move.UP, (b"k", b"\x1b[A", b"\x1bOA")),
        (Move.DOWN, (b"j", b"\x1b[B", b"\x1bOB")),
        (Move.RIGHT, (b"l", b"\x1b[C", b"\x1bOC")),
        (Move.LEFT, (b"h", b"\x1b[D", b"\x1bOD")),
        (Move.PAGE_UP, (b"b", b"\x1b[5~")),
        (Move.PAGE_DOWN, (b" ", b"\x1b[6~")),
        (Move.HOME, (b"g", b"\x1b[H", b"\x1b[1~", b"\x1bOH")),
        (Move.END, (b"G", b"\x1b[F", b"\x1b[4~", b"\x1bOF")),
    )
    for key in keys
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
        self.files: list[int] = []
        """The descriptors that are readable when a key has been pressed: one, or none."""
        # A standard stream is None where the shell closed it.
        if stream is not None and not stream.closed and stream.isatty():
            self.files.append(stream.fileno())
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
                attributes = termios.tcgetattr(file)
                attributes[3] &= ~(termios.ICANON | termios.ECHO)
                attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(file, termios.TCSADRAIN, attributes)
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
