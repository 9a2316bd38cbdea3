r"""Boards drawn as hexagons on a terminal, seen from above; rows count upwards.

::

     ___
    / A \___      each board is two lines high below its top edge,
    \___/ B \     and shares its edges with its neighbours
        \___/
"""

from __future__ import annotations

import itertools
import math
import operator
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from spalloc_gevent.display.hexagons import EDGES, PITCH, STEPS
from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.geometry import Board, BoardLink, Link, Torus, ends_of_link, hexagon_position

FREE_LABEL = " . "
_LABEL_WIDTH = 3

Styles = tuple[Style, ...]


@dataclass(frozen=True)
class BoardGroup:
    """Boards that belong together, such as those of a job.

    label: at most three characters, written on each board. The outer edges are
    those to boards of no or another group.
    """

    boards: Collection[Board]
    label: str = FREE_LABEL
    label_styles: Styles = ()
    inner_styles: Styles = ()
    outer_styles: Styles = ()


def render_boards(
    groups: Iterable[BoardGroup],
    dead_links: Iterable[BoardLink] = (),
    *,
    torus: Torus | None = None,
    columns: int | None = None,
    paint: Paint,
) -> str:
    """The picture, as lines without a last line end.

    Later groups are drawn over earlier ones. The edges of drawn boards that stand for a dead link
    become a red X; where a link wraps around the `torus` that is one edge at either end.

    columns: the room for a line; what is wider is cut into parts, about equally wide, each under
    a heading. None, or fewer than a hexagon needs: as many as it takes.
    """
    plane, drawn = Plane(), set[Board]()
    for group in groups:
        plane.draw_group(group)
        drawn.update(group.boards)
    for dead_link in dead_links:
        for board, link in ends_of_link(dead_link, torus):
            if board in drawn:
                plane.draw_edge(hexagon_position(board), link, (Style.RED,), is_dead=True)
    parts = [lines for cut in plane.cuts(columns) if (lines := list(plane.lines(*cut, paint)))]
    if len(parts) == 1:
        return "\n".join(parts[0])
    for number, lines in enumerate(parts, 1):
        lines.insert(0, paint(f"(part {number} of {len(parts)}, from the left)", Style.DIM))
    return "\n\n".join(map("\n".join, parts))


class Plane:
    """Styled characters, written in any order: lines count upwards, characters to the right."""

    def __init__(self) -> None:
        self._lines: defaultdict[int, dict[int, tuple[str, Styles]]] = defaultdict(dict)

    def write(self, line: int, character: int, text: str, styles: Styles) -> None:
        """Put `text` there, over what was there before."""
        row = self._lines[line]
        for place, letter in enumerate(text, character):
            row[place] = (letter, styles)

    def draw_group(self, group: BoardGroup) -> None:
        label = group.label.center(_LABEL_WIDTH)[:_LABEL_WIDTH]
        places = set(map(hexagon_position, group.boards))
        for column, row in places:
            self.write(row, PITCH * column + 1, label, group.label_styles)
            for link, (right, up) in STEPS.items():
                is_inner = (column + right, row + up) in places
                styles = group.inner_styles if is_inner else group.outer_styles
                self.draw_edge((column, row), link, styles)

    def draw_edge(
        self, at: tuple[int, int], link: Link, styles: Styles, *, is_dead: bool = False
    ) -> None:
        (column, row), (line, character, text) = at, EDGES[link]
        shown = "X" * len(text) if is_dead else text
        self.write(row + line, PITCH * column + character, shown, styles)

    def cuts(self, columns: int | None) -> Iterator[tuple[int, int]]:
        """The first and the last character of each part.

        Cuts are made where hexagons begin and belong to both parts: each is whole in one.
        """
        left = min(map(min, self._lines.values()), default=0)
        right = max(map(max, self._lines.values()), default=0)
        hexagons = (right - left) // PITCH
        fitting = hexagons if columns is None else (columns - 1) // PITCH
        parts = math.ceil(hexagons / max(1, fitting))
        width = PITCH * math.ceil(hexagons / max(1, parts))
        return ((start, min(start + width, right)) for start in range(left, right, width or 1))

    def lines(self, left: int, right: int, paint: Paint) -> Iterator[str]:
        """What is between two characters, as high as it is, from the top down.

        There are no blanks at the ends of lines.
        """
        seen = range(left, right + 1)
        here = [line for line, row in self._lines.items() if any(map(row.__contains__, seen))]
        for line in range(max(here, default=-1), min(here, default=0) - 1, -1):
            row = self._lines.get(line, {})
            letters = [row.get(place, (" ", ())) for place in seen]
            while letters and letters[-1][0] == " ":
                letters.pop()
            runs = itertools.groupby(letters, key=operator.itemgetter(1))
            yield "".join(
                paint("".join(letter for letter, _ in run), *styles) for styles, run in runs
            )
