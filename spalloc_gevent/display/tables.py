"""Tables, lists in columns and definitions; no line ends in a blank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.display.widths import width_of

GAP = 2
"""Blanks between columns."""

Row = TypeVar("Row")


class Cell(NamedTuple):
    """Printable text of one line, and what it looks like; blanks around it are not shown."""

    text: str = ""
    styles: tuple[Style, ...] = ()

    def painted(self, paint: Paint) -> str:
        return paint(self.text.strip(" "), *self.styles)


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
        paint = paint or Paint(False)
        self._body = [[column.cell(row).painted(paint) for column in columns] for row in rows]
        self._alignments = ["right" if column.is_number else "left" for column in columns]
        self._headings = []
        for place, column in enumerate(columns):
            # Flush left over numbers that are flush right, so it is as wide as its column.
            width = max((width_of(row[place]) for row in self._body), default=0)
            heading = paint(column.heading, Style.BRIGHT, Style.UNDERLINE)
            self._headings.append(heading + " " * (width - len(column.heading)))

    @property
    def width(self) -> int:
        """How many characters its widest line may take."""
        return sum(map(width_of, self._headings)) + GAP * (len(self._headings) - 1)

    def __len__(self) -> int:
        return 1 + len(self._body)

    def lines(self, start: int, stop: int) -> Sequence[str]:
        body = self._body[max(start - 1, 0) : max(stop - 1, 0)]
        # With the headings, which are as wide as their columns.
        lines = _aligned([self._headings, *body], self._alignments)
        return lines[min(start, 1) : None if stop else 0]


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
    painted = [cell.painted(paint or Paint(False)) for cell in cells]
    widest = max(map(width_of, painted), default=0)
    per_line = max(1, (width + GAP) // (widest + GAP))
    lines = [painted[start : start + per_line] for start in range(0, len(painted), per_line)]
    return "\n".join(_aligned(lines, ["left"] * min(per_line, len(painted))))


def render_definitions(pairs: Iterable[tuple[str, object]]) -> str:
    """Keys flush right at their colons, and values; those of several lines stay in their column."""
    listed = [(key, str(value)) for key, value in pairs]
    width = max((len(key) for key, _ in listed), default=0)
    indented = "\n" + " " * (width + len(": "))
    text = "\n".join(f"{key:>{width}}: " + value.replace("\n", indented) for key, value in listed)
    return "\n".join(map(str.rstrip, text.split("\n")))


def _aligned(rows: Sequence[Sequence[str]], alignments: Sequence[str]) -> list[str]:
    if len(rows) < 2:  # One row needs no library, which is slow to import.
        return [(" " * GAP).join(row).rstrip(" ") for row in rows]
    from tabulate import tabulate

    text = tabulate(
        rows,
        tablefmt="plain",
        colalign=alignments,
        disable_numparse=True,
        preserve_whitespace=True,
    )
    return [line.rstrip(" ") for line in text.split("\n")]
