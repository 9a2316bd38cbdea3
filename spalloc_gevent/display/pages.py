"""What a command shows: lines, and the part of them that a window has room for."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spalloc_gevent.display.terminal import Size
from spalloc_gevent.display.widths import cut, width_of


class Page(Protocol):
    """Lines without line ends; the first `pinned` of them stay in view when the rest scrolls."""

    @property
    def pinned(self) -> int: ...

    def __len__(self) -> int:
        """How many lines there are, those that are pinned included."""

    def lines(self, start: int, stop: int) -> Sequence[str]:
        """The lines from number `start` up to, not including, `stop`."""


class Text:
    """A page that is there as a whole, from one or several blocks of lines.

    Empty blocks are left out; a blank line stands between the others.
    """

    pinned = 0

    def __init__(self, *blocks: str) -> None:
        self._lines = "\n\n".join(filter(None, blocks)).split("\n")

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self, start: int, stop: int) -> Sequence[str]:
        return self._lines[start:stop]


def text_of(page: Page) -> str:
    """All lines of a page, without a last line end."""
    return "\n".join(page.lines(0, len(page)))


class Move(enum.Enum):
    """What a key does to the scroll: so many lines, windows and columns further."""

    UP = (-1, 0, 0)
    DOWN = (1, 0, 0)
    PAGE_UP = (0, -1, 0)
    PAGE_DOWN = (0, 1, 0)
    # Eight columns are a multiple of the pitch of hexagons.
    LEFT = (0, 0, -8)
    RIGHT = (0, 0, 8)
    HOME = (-sys.maxsize, 0, -sys.maxsize)
    END = (sys.maxsize, 0, 0)


@dataclass(frozen=True)
class Scroll:
    """Which part of a page is in the window: how far it has moved down, and to the right."""

    top: int = 0
    left: int = 0


@dataclass(frozen=True)
class Frame:
    """One picture of a window: its lines, none longer than the window is wide."""

    lines: Sequence[str]
    scroll: Scroll
    """As asked, or as near to it as there is something to see."""
    part: str = ""
    """Which part of the page this is; empty when it is all of it."""


def frame(page: Page, size: Size, scroll: Scroll) -> Frame:
    """The page as a window shows it whose last line is left for the status."""
    pinned = min(page.pinned, len(page), max(size.lines - 2, 0))
    room = max(size.lines - 1 - pinned, 0)
    top, part_of_lines = _in_view("line", scroll.top, room, len(page) - pinned)
    shown = [*page.lines(0, pinned), *page.lines(pinned + top, pinned + top + room)]
    widest = max(map(width_of, shown), default=0)
    left, part_of_columns = _in_view("column", scroll.left, size.columns, widest)
    return Frame(
        [cut(line, left, size.columns) for line in shown],
        Scroll(top, left),
        ", ".join(filter(None, [part_of_lines, part_of_columns])),
    )


def _in_view(what: str, offset: int, room: int, whole: int) -> tuple[int, str]:
    """The offset as far as there is something to see, and which part that is, in words."""
    offset = max(0, min(offset, whole - room))
    if whole <= room or not room:
        return offset, ""
    return offset, f"{what}s {offset + 1}-{min(offset + room, whole)} of {whole}"


def moved(scroll: Scroll, move: Move, size: Size) -> Scroll:
    """The scrolling after a key; :func:`frame` brings it back where it leaves the page."""
    lines, windows, columns = move.value
    down = lines + windows * max(size.lines - 2, 1)
    return Scroll(max(0, scroll.top + down), max(0, scroll.left + columns))
