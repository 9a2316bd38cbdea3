"""Tables and lists in columns: two blanks between columns, no blanks at the end of a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from spalloc_gevent.display.terminal import Paint, Style

_GAP = "  "

# Blanks at the end of a cell do not survive tabulate; this does, and no text
# that is fit for a terminal holds it (it is for private use).
_FILLER = "\ue000"
_TRAILING_BLANKS = re.compile(" +$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """Printable text of one line, and what it looks like."""

    text: str = ""
    styles: tuple[Style, ...] = ()

    def painted(self, paint: Paint) -> str:
        return paint(self.text, *self.styles)


@dataclass(frozen=True)
class Column:
    """A heading; the numbers below it stand flush right, all else flush left."""

    heading: str
    is_number: bool = False


def render_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], paint: Paint | None = None
) -> str:
    """The table as lines without a last line end, its headings bright and underlined.

    paint: None for no colour. No text is taken for a number: an owner ``1e5`` stays ``1e5``.
    """
    paint = paint or Paint(False)
    headings = [
        _heading(column, [row[place].text for row in rows], paint)
        for place, column in enumerate(columns)
    ]
    body = [[cell.painted(paint) for cell in row] for row in rows]
    return _aligned([headings, *body], ["right" if c.is_number else "left" for c in columns])


def _heading(column: Column, texts: Sequence[str], paint: Paint) -> str:
    """The heading, flush left over numbers that are flush right."""
    width = max(map(len, texts), default=0)
    painted = paint(column.heading, Style.BRIGHT, Style.UNDERLINE)
    return painted + _FILLER * (width - len(column.heading))


def render_cells(cells: Sequence[Cell], paint: Paint | None = None, *, width: int = 80) -> str:
    """The cells one after another in aligned columns, on lines of at most `width` characters."""
    paint = paint or Paint(False)
    widest = max((len(cell.text) for cell in cells), default=0)
    per_line = max(1, (width + len(_GAP)) // (widest + len(_GAP)))
    painted = [cell.painted(paint) for cell in cells]
    lines = [painted[start : start + per_line] for start in range(0, len(painted), per_line)]
    return _aligned(lines, ["left"] * min(per_line, len(painted)))


def _aligned(rows: Sequence[Sequence[str]], alignments: Sequence[str]) -> str:
    if not rows:
        return ""
    text = tabulate(rows, tablefmt="plain", colalign=alignments, disable_numparse=True)
    return _TRAILING_BLANKS.sub("", text.replace(_FILLER, " "))
