"""A few lines at the bottom of what a terminal shows, redrawn in place while text scrolls above.

The lines are the main screen's: what is written above them stays in the
scroll-back, and nothing has to be put back at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from spalloc_gevent.display.terminal import size_of, write
from spalloc_gevent.display.widths import cut

_BEGIN = "\x1b[?2026h"
_END = "\x1b[?2026l"
_REST_OF_SCREEN = "\x1b[J"


class Footer:
    """The lines; the cursor stays at the end of the last one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    @property
    def columns(self) -> int:
        """The room that a line has: one column stays free, where some terminals would wrap."""
        return max(1, size_of(self._stream).columns - 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in place of those that were there; none: nothing."""
        shown = [cut(line, 0, self.columns) for line in lines]
        if shown != self._lines:
            write(self._stream, _BEGIN + self._to_the_top() + "\r\n".join(shown) + _END)
            self._lines = shown

    def write_above(self, text: str) -> None:
        """Write whole lines above them."""
        below = "\r\n".join(self._lines)
        write(self._stream, _BEGIN + self._to_the_top() + text + below + _END)

    def clear(self) -> None:
        """Take them away, as before somebody else writes to the terminal."""
        self.draw([])

    def _to_the_top(self) -> str:
        if not self._lines:
            return ""
        up = len(self._lines) - 1
        return "\r" + (f"\x1b[{up}A" if up else "") + _REST_OF_SCREEN
