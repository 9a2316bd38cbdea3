"""A terminal's alternate screen, redrawn in place: each picture whole, in one write.

The sequences are xterm's, which every terminal in use understands: the
alternate screen (1049), the cursor (25), and the bracket around a picture (2026)
that has a terminal show it at once; those that do not know the last ignore it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from spalloc_gevent.display.terminal import Size, discard_unwritable, size_of, write
from spalloc_gevent.display.widths import width_of

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_BEGIN = "\x1b[?2026h\x1b[H"
_END = "\x1b[?2026l"
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
        body = "".join(f"{_over(line, size)}\r\n" for line in lines[: size.lines - 1])
        bottom = f"{_REST_OF_SCREEN}\x1b[{size.lines};1H{status}{_REST_OF_LINE}"
        write(self._stream, f"{_BEGIN}{body}{bottom}{_END}")


def _over(line: str, size: Size) -> str:
    # After a character in the last column the cursor still stands on it: it would be erased.
    return line if width_of(line) >= size.columns else line + _REST_OF_LINE
