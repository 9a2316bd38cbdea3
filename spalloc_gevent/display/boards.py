r"""Boards drawn as hexagons, seen from above; rows count upwards.

::

     ___
    / A \___      each board is two lines high below its top edge,
    \___/ B \     and shares its edges with its neighbours
        \___/
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from spalloc_gevent.display.sheet import Sheet, Styles
from spalloc_gevent.display.terminal import Style
from spalloc_gevent.geometry import (
    Board,
    BoardLink,
    Link,
    Torus,
    ends_of_link,
    hexagon_position,
    next_board,
)

FREE_LABEL = " . "
PITCH = 4
"""Characters from one column of hexagons to the next."""

_LABEL_WIDTH = 3


class _Edge(NamedTuple):
    """Where an edge begins, from the left end of a hexagon's upper line, and its characters."""

    line: int
    character: int
    alive: str
    dead: str


_EDGES: Mapping[Link, _Edge] = {
    Link.north: _Edge(+1, 1, "___", "XXX"),
    Link.north_east: _Edge(0, 4, "\\", "X"),
    Link.east: _Edge(-1, 4, "/", "X"),
    Link.south: _Edge(-1, 1, "___", "XXX"),
    Link.south_west: _Edge(-1, 0, "\\", "X"),
    Link.west: _Edge(0, 0, "/", "X"),
}


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


def board_picture(
    groups: Iterable[BoardGroup],
    dead_links: Iterable[BoardLink] = (),
    *,
    torus: Torus | None = None,
) -> Sheet:
    """The picture, to be read out as a whole or in parts; hexagons begin every :data:`PITCH`.

    Later groups are drawn over earlier ones. The edges of drawn boards that stand for a dead link
    become a red X; where a link wraps around the `torus` that is one edge at either end.
    """
    sheet = Sheet()
    drawn: set[Board] = set()
    for group in groups:
        _draw_group(sheet, group)
        drawn.update(group.boards)
    for dead_link in dead_links:
        for board, link in ends_of_link(dead_link, torus):
            if board in drawn:
                _draw_edge(sheet, board, link)
    return sheet


def _draw_group(sheet: Sheet, group: BoardGroup) -> None:
    boards = set(group.boards)
    label = group.label.center(_LABEL_WIDTH)[:_LABEL_WIDTH]
    for board in boards:
        line, character = _place(board)
        sheet.write(line, character + 1, label, group.label_styles)
        for edge, there in zip(_EDGES.values(), _boards_around(board), strict=True):
            styles = group.inner_styles if there in boards else group.outer_styles
            sheet.write(line + edge.line, character + edge.character, edge.alive, styles)


# Pictures that are drawn again and again ask for the same few thousand boards.
@functools.lru_cache(maxsize=16_384)
def _boards_around(board: Board) -> tuple[Board, ...]:
    """The neighbours on an endless plane, in the order of the edges."""
    return tuple(next_board(board, link) for link in _EDGES)


def _draw_edge(sheet: Sheet, board: Board, link: Link) -> None:
    line, character = _place(board)
    edge = _EDGES[link]
    sheet.write(line + edge.line, character + edge.character, edge.dead, (Style.RED,))


def _place(board: Board) -> tuple[int, int]:
    """The line of the label, and the character at which the hexagon begins."""
    column, row = hexagon_position(board)
    return row, PITCH * column
