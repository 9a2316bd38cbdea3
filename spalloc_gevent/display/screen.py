"""What is redrawn in place on a terminal: its whole screen, or a few lines at its bottom.

The sequences are xterm's, which every terminal in use understands: the
alternate screen (1049), the cursor (25), and the bracket around a picture (2026)
that has a terminal show it at once; those that do not know the last ignore it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from spalloc_gevent.display.terminal import (
    Size,
    columns_before_wrap,
    discard_unwritable,
    size_of,
    write,
)
from spalloc_gevent.display.widths import cut, width_of

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_BEGIN = "\x1b[?2026h"
_END = "\x1b[?2026l"
_HOME = "\x1b[H"
_REST_OF_LINE = "\x1b[K"
_REST_OF_SCREEN = "\x1b[J"


class Screen:
    """The alternate screen of the terminal `stream`; what was there before comes back after."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def open(self) -> Iterator[None]:
        """Take the screen while the block runs; OSError if the terminal is closed meanwhile."""
        write(self._stream, _ENTER)
        try:
            yield
        except BaseException:
            try:
                write(self._stream, _LEAVE)
            except OSError:  # It has nothing to get back, and what went wrong is told already.
                discard_unwritable(self._stream)
            raise
        write(self._stream, _LEAVE)

    @property
    def size(self) -> Size:
        return size_of(self._stream)

    def draw(self, lines: Sequence[str], status: str) -> None:
        """Show `lines` from the top and `status` in the last line, in place of all before.

        Nothing is cleared first, lest it flicker; nothing may be wider or higher than the window.
        """
        size = self.size
        body = ""
        for line in lines[: size.lines - 1]:
            # After a character in the last column the cursor still stands on it: it would go.
            rest = "" if width_of(line) >= size.columns else _REST_OF_LINE
            body += f"{line}{rest}\r\n"
        bottom = f"{_REST_OF_SCREEN}\x1b[{size.lines};1H{status}{_REST_OF_LINE}"
        write(self._stream, f"{_BEGIN}{_HOME}{body}{bottom}{_END}")


class Footer:
    """A few lines at the bottom of what a terminal shows, while text scrolls above.

    They are the main screen's: what is written above them stays in the scroll-back, and nothing
    has to be put back at the end. The cursor stays at the end of the last one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    @property
    def columns(self) -> int:
        """The room that a line has."""
        return columns_before_wrap(self._stream)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in place of those that were there; none: nothing."""
        shown = [cut(line, 0, self.columns) for line in lines]
        if shown != self._lines:
            self._replace("", shown)

    def write_above(self, text: str) -> None:
        """Write whole lines above them."""
        self._replace(text, self._lines)

    def clear(self) -> None:
        """Take them away, as before somebody else writes to the terminal."""
        self.draw([])

    def _replace(self, above: str, lines: list[str]) -> None:
        up = len(self._lines) - 1
        to_the_top = ("\r" + (f"\x1b[{up}A" if up else "") + _REST_OF_SCREEN) if up >= 0 else ""
        write(self._stream, _BEGIN + to_the_top + above + "\r\n".join(lines) + _END)
        self._lines = lines
