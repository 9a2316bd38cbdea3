"""Where boards and their edges are in a picture: hexagons that lie on a side and share edges.

In a terminal and in SVG alike a hexagon is at the column and row of
:func:`~spalloc_gevent.geometry.hexagon_position`, and rows count upwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from spalloc_gevent.geometry import Board, Link, hexagon_position

STEPS: Mapping[Link, tuple[int, int]] = {
    Link.east: (1, -1),
    Link.north_east: (1, 1),
    Link.north: (0, 2),
    Link.west: (-1, 1),
    Link.south_west: (-1, -1),
    Link.south: (0, -2),
}
"""How many columns and rows further the board down a link is; the edge to it is half-way."""

# -- in a terminal, in lines and characters --------------------------------------------------

PITCH = 4
"""Characters from one column to the next; a row is a line."""


EDGES: Mapping[Link, tuple[int, int, str]] = {
    link: (rows // 2, PITCH * (1 + columns) // 2 - len(text) // 2, text)
    for link, (columns, rows) in STEPS.items()
    for text in ["___" if not columns else "\\" if columns * rows > 0 else "/"]
}
"""The line and the character at which an edge begins, from the left end of a hexagon's upper line,
and how it looks."""

# -- in SVG, in pixels -----------------------------------------------------------------------

Point = tuple[float, float]
"""To the right, and down, in pixels."""

RADIUS = 26.0
"""From a hexagon's centre to its corners."""
COLUMN = 1.5 * RADIUS
ROW = RADIUS * math.sqrt(3) / 2
"""Half the height of a hexagon."""

_TURNS = [math.radians(60 * turn) for turn in range(6)]


def centre(board: Board) -> Point:
    """The middle of a board's hexagon; that of board (0, 0, 0) is (0, 0)."""
    column, row = hexagon_position(board)
    return COLUMN * column, -ROW * row


def corners(around: Point, radius: float) -> list[Point]:
    """Those of a hexagon, anticlockwise from the right one, which is past the link east."""
    x, y = around
    return [(x + radius * math.cos(turn), y - radius * math.sin(turn)) for turn in _TURNS]


def edge(board: Board, link: Link) -> tuple[Point, Point]:
    """The ends of the edge that stands for `link`."""
    around = corners(centre(board), RADIUS)
    return around[link - 1], around[link]


def box_of(boards: Iterable[Board]) -> tuple[Point, Point]:
    """The rectangle that the hexagons of these boards, one at least, take: its corner, its size."""
    across, down = zip(*map(centre, boards), strict=True)
    left, top = min(across) - RADIUS, min(down) - ROW
    return (left, top), (max(across) + RADIUS - left, max(down) + ROW - top)
