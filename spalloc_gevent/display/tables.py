"""Tables and lists in columns: two blanks between columns, no blanks at the end of a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from tabulate import tabulate

from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.display.widths import width_of

_GAP = "  "

# Blanks at the end of a cell do not survive tabulate; this does, and no text
# that is fit for a terminal holds it (it is for private use).
_FILLER = "\ue000"
_TRAILING_BLANKS = re.compile(" +$", re.MULTILINE)

Row = TypeVar("Row")


class Cell(NamedTuple):
    """Printable text of one line, and what it looks like."""

    text: str = ""
    styles: tuple[Style, ...] = ()

    def painted(self, paint: Paint) -> str:
        return paint(self.text, *self.styles)


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column of a table of rows: numbers stand flush right, all else flush left."""

    name: str
    """What the column is called where one chooses or sorts by it."""
    heading: str
    cell: Callable[[Row], Cell]
    key: Callable[[Row], Any]
    """What rows sort by; None comes last."""
    is_number: bool = False


class Table(Generic[Row]):
    """A page of headings, bright and underlined, which stay in view, and a line a row.

    No text is taken for a number: an owner ``1e5`` stays ``1e5``. A part of the table has the
    column widths of the whole.
    """

    pinned = 1

    def __init__(
        self, columns: Sequence[Column[Row]], rows: Sequence[Row], paint: Paint | None = None
    ) -> None:
        """`paint`: None for no colour."""
        self._paint = paint or Paint(False)
        self._columns = columns
        self._cells = [[column.cell(row) for column in columns] for row in rows]
        self._headings = [
            _heading(column.heading, (row[place].text for row in self._cells), self._paint)
            for place, column in enumerate(columns)
        ]

    def __len__(self) -> int:
        return 1 + len(self._cells)

    def lines(self, start: int, stop: int) -> Sequence[str]:
        cells = self._cells[max(start - 1, 0) : max(stop - 1, 0)]
        body = [[cell.painted(self._paint) for cell in row] for row in cells]
        alignments = ["right" if column.is_number else "left" for column in self._columns]
        lines = _aligned([self._headings, *body], alignments).split("\n")
        return lines[0 if start < 1 else 1 : 0 if stop < 1 else None]


def _heading(text: str, below: Iterable[str], paint: Paint) -> str:
    """The heading, flush left over numbers that are flush right, as wide as its column."""
    width = max(map(width_of, below), default=0)
    painted = paint(text, Style.BRIGHT, Style.UNDERLINE)
    return painted + _FILLER * (width - len(text))


def arranged(
    rows: Sequence[Row], columns: Sequence[Column[Row]], order: Sequence[tuple[str, bool]]
) -> list[Row]:
    """The rows sorted by the columns named, the first before the others; True: backwards.

    Rows that are equal keep their order; what has no value comes last either way.
    """
    keys = {column.name: column.key for column in columns}
    listed = list(rows)
    for name, backwards in reversed(order):
        key = keys[name]
        known = [row for row in listed if key(row) is not None]
        known.sort(key=key, reverse=backwards)
        listed = known + [row for row in listed if key(row) is None]
    return listed


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
