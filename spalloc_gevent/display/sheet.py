"""A plane of styled characters: written anywhere, in any order, and read out in windows.

Lines count upwards, characters to the right; both may be negative.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping
from typing import NamedTuple

from spalloc_gevent.display.terminal import Paint, Style

Styles = tuple[Style, ...]
Ink = tuple[str, Styles]
"""One character and its styles."""

_BLANK: Ink = (" ", ())


class Window(NamedTuple):
    """A part of the plane; both ends belong to it."""

    left: int
    right: int
    bottom: int
    top: int

    @property
    def columns(self) -> int:
        return self.right - self.left + 1

    @property
    def lines(self) -> int:
        return self.top - self.bottom + 1


class Sheet:
    """The plane; where nothing has been written it is blank."""

    def __init__(self) -> None:
        self._inks: dict[int, dict[int, Ink]] = {}

    def write(self, line: int, character: int, text: str, styles: Styles = ()) -> None:
        """Put `text` there, over what was there before."""
        row = self._inks.setdefault(line, {})
        for place, letter in enumerate(text, character):
            row[place] = (letter, styles)

    @property
    def bounds(self) -> Window | None:
        """The smallest window with everything in it; None while nothing has been written."""
        if not self._inks:
            return None
        return Window(
            left=min(map(min, self._inks.values())),
            right=max(map(max, self._inks.values())),
            bottom=min(self._inks),
            top=max(self._inks),
        )

    def bounds_within(self, left: int, right: int) -> Window | None:
        """The window from `left` to `right` as high as what is written there; None for nothing."""
        lines = [
            line for line, row in self._inks.items() if any(left <= place <= right for place in row)
        ]
        return Window(left, right, min(lines), max(lines)) if lines else None

    def lines(self, window: Window, paint: Paint) -> list[str]:
        """What is in the window, from the top down, without blanks at the ends of lines."""
        return [
            _painted(self._inks.get(line, {}), window, paint)
            for line in range(window.top, window.bottom - 1, -1)
        ]


def _painted(row: Mapping[int, Ink], window: Window, paint: Paint) -> str:
    last = max((place for place in row if _is_seen(row[place], place, window)), default=None)
    if last is None:
        return ""
    inks = (row.get(place, _BLANK) for place in range(window.left, last + 1))
    runs = itertools.groupby(inks, key=operator.itemgetter(1))
    return "".join(paint("".join(map(_LETTER, run)), *styles) for styles, run in runs)


_LETTER = operator.itemgetter(0)


def _is_seen(ink: Ink, place: int, window: Window) -> bool:
    return window.left <= place <= window.right and ink[0] != " "
