"""What users of the existing client import from its ``term`` module: text for terminals.

Not there is ``render_boards``: maps are drawn by ``spalloc-machine``.
"""

from __future__ import annotations

import enum
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from spalloc_gevent.display import tables

_STYLES = "reset bright dim _3 underscore blink _6 reverse hidden"
_COLOURS = "black red green yellow blue magenta cyan white"

ANSIDisplayAttributes = enum.IntEnum(  # type: ignore[misc]
    "ANSIDisplayAttributes",
    {
        name: number
        for first, prefix, names in ((0, "", _STYLES), (30, "", _COLOURS), (40, "bg_", _COLOURS))
        for number, name in enumerate((prefix + name for name in names.split()), first)
        if not name.startswith("_")
    },
)
"""What text may look like, numbered as in ECMA-48's SGR sequence."""

_Value = str | int
_Cell = _Value | tuple[Callable[[_Value], str], _Value]


class Terminal:
    """Control sequences for a stream, empty where it is no terminal.

    An attribute named by styles, such as ``bg_red_bright``, is a function that puts them around
    a text; without one it returns what turns them on.
    """

    def __init__(self, stream: TextIO | None = None, force: bool | None = None) -> None:
        """`stream`: None for standard output; `force`: whether to style, None to look at it."""
        self.stream = sys.stdout if stream is None else stream
        self.enabled = self.stream.isatty() if force is None else force
        self._has_saved_place = False

    def __call__(self, string: str) -> str:
        """`string`, or nothing where there are no control sequences."""
        return string if self.enabled else ""

    def clear_screen(self) -> str:
        return self("\x1b[2J\x1b[H")

    def update(self, string: str = "", start_again: bool = False) -> str:
        """`string` in the place of the last one that was updated; True: in a new place."""
        again = self._has_saved_place and not start_again
        self._has_saved_place = True
        return self("\x1b8\x1b[K" if again else "\x1b7") + str(string)

    def set_attrs(self, attrs: Sequence[int] = ()) -> str:
        return self(f"\x1b[{';'.join(str(int(attr)) for attr in attrs)}m") if attrs else ""

    def wrap(self, string: object = None, pre: str = "", post: str = "") -> str:
        """`string` between the two; `pre` alone for None."""
        return pre if string is None else f"{pre}{string}{post}"

    def __getattr__(self, name: str) -> Callable[..., str]:
        styles, words = [], name.split("_")
        while words:
            style = f"bg_{words.pop(1)}" if words[0] == "bg" and words[1:] else words[0]
            if style not in ANSIDisplayAttributes.__members__:
                raise AttributeError(f"there is no style {name!r}")
            styles.append(ANSIDisplayAttributes[style])
            del words[0]
        return functools.partial(self.wrap, pre=self.set_attrs(styles), post=self("\x1b[0m"))


def render_table(table: Iterable[Iterable[_Cell]], column_sep: str = "  ") -> str:
    """Rows of cells in aligned columns: text flush left, whole numbers flush right.

    A cell may be a pair of a function and such a value: what the function makes of it is shown,
    and takes as much room as the value.
    """
    rows = [[cell if isinstance(cell, tuple) else (str, cell) for cell in row] for row in table]
    widths: dict[int, int] = {}
    for row in rows:
        for column, (_, value) in enumerate(row):
            widths[column] = max(widths.get(column, 0), len(str(value)))
    return "\n".join(
        column_sep.join(_padded(*cell, widths[column]) for column, cell in enumerate(row)).rstrip()
        for row in rows
    )


def _padded(shown: Callable[[_Value], str], value: _Value, width: int) -> str:
    padding = " " * (width - len(str(value)))
    return shown(value) + padding if isinstance(value, str) else padding + shown(value)


def render_definitions(definitions: Mapping[str, object]) -> str:
    """Keys and values, one pair a line, the keys flush right at their colons."""
    return tables.render_definitions(definitions.items())


def render_cells(cells: Sequence[tuple[int, str]], width: int = 80, col_spacing: int = 2) -> str:
    """Texts, each with the room that it takes, in columns on lines of at most `width`."""
    column = max((length for length, _ in cells), default=0) + col_spacing
    per_line = max(1, (width + col_spacing) // column) if column else 1
    lines = [cells[start : start + per_line] for start in range(0, len(cells), per_line)]
    return "\n".join(
        "".join(text + " " * (column - length) for length, text in line).rstrip() for line in lines
    )
