"""Where boards are in a picture in pixels: hexagons that share their edges, as in a terminal's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spalloc_gevent.display.svg import Point
from spalloc_gevent.geometry import Board, Link, hexagon_position

RADIUS = 26.0
"""From a hexagon's centre to its corners."""
COLUMN = 1.5 * RADIUS
ROW = RADIUS * math.sqrt(3) / 2
"""Half the height of a hexagon: its neighbour is drawn as much higher or lower."""

# Counted anticlockwise from the right one.
_CORNERS_OF_EDGE: Mapping[Link, tuple[int, int]] = {
    Link.north_east: (0, 1),
    Link.north: (1, 2),
    Link.west: (2, 3),
    Link.south_west: (3, 4),
    Link.south: (4, 5),
    Link.east: (5, 0),
}


@dataclass(frozen=True)
class Box:
    """A rectangle, by its sides."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def centre(board: Board) -> Point:
    column, row = hexagon_position(board)
    return COLUMN * column, -ROW * row


def corners(around: Point, radius: float) -> list[Point]:
    """Those of a hexagon that lies on a side, anticlockwise from the right one."""
    turns = (math.radians(60 * turn) for turn in range(6))
    return [
        (around[0] + radius * math.cos(turn), around[1] - radius * math.sin(turn)) for turn in turns
    ]


def edge(around: Point, link: Link) -> tuple[Point, Point]:
    """The ends of the edge that stands for `link`."""
    all_corners = corners(around, RADIUS)
    first, second = _CORNERS_OF_EDGE[link]
    return all_corners[first], all_corners[second]


def box_of(boards: Iterable[Board]) -> Box:
    """What the hexagons of these boards, one at least, take."""
    centres = [centre(board) for board in boards]
    across, down = [x for x, _ in centres], [y for _, y in centres]
    return Box(min(across) - RADIUS, min(down) - ROW, max(across) + RADIUS, max(down) + ROW)
