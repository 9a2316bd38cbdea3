"""What a window shows of a page: scrolled, clipped, and a status line at the bottom. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from spalloc_gevent.display.pages import Page
from spalloc_gevent.display.terminal import Size
from spalloc_gevent.display.widths import cut, width_of

_SIDEWAYS = 8
"""Columns that one key scrolls by; a multiple of the pitch of hexagons."""


class Move(enum.Enum):
    """What a key does to the scroll."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    LEFT = "left"
    RIGHT = "right"
    HOME = "home"
    END = "end"


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
    scrolling = len(page) - pinned
    top = _within(scroll.top, scrolling - room)
    shown = [*page.lines(0, pinned), *page.lines(pinned + top, pinned + top + room)]
    widest = max(map(width_of, shown), default=0)
    left = _within(scroll.left, widest - size.columns)
    parts = [
        _part("line", top, room, scrolling),
        _part("column", left, size.columns, widest),
    ]
    return Frame(
        [cut(line, left, size.columns) for line in shown],
        Scroll(top, left),
        ", ".join(filter(None, parts)),
    )


def _within(offset: int, most: int) -> int:
    return max(0, min(offset, most))


def _part(what: str, offset: int, room: int, whole: int) -> str:
    if whole <= room or not room:
        return ""
    return f"{what}s {offset + 1}-{min(offset + room, whole)} of {whole}"


def moved(scroll: Scroll, move: Move, size: Size) -> Scroll:
    """The scrolling after a key; :func:`frame` brings it back where it leaves the page."""
    page = max(size.lines - 2, 1)
    down, right = {
        Move.UP: (-1, 0),
        Move.DOWN: (1, 0),
        Move.PAGE_UP: (-page, 0),
        Move.PAGE_DOWN: (page, 0),
        Move.LEFT: (0, -_SIDEWAYS),
        Move.RIGHT: (0, _SIDEWAYS),
        Move.HOME: (-scroll.top, -scroll.left),
        Move.END: (_FAR, 0),
    }[move]
    return Scroll(max(0, scroll.top + down), max(0, scroll.left + right))


_FAR = 1_000_000_000
