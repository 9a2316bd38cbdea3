r"""Boards drawn as hexagons, seen from above; rows count upwards.

::

     ___
    / A \___      each board is two lines high below its top edge,
    \___/ B \     and shares its edges with its neighbours
        \___/
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.geometry import Board, Link, hexagon_position, next_board

Styles = tuple[Style, ...]
Place = tuple[int, int]
"""A line, counted upwards, and a character in it."""

FREE_LABEL = " . "
_LABEL_WIDTH = 3
_PITCH = 4
"""Characters from one column of hexagons to the next."""


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


@dataclass(frozen=True)
class _Ink:
    character: str
    styles: Styles


class _Sheet(dict[Place, _Ink]):
    def write(self, line: int, character: int, text: str, styles: Styles) -> None:
        for offset, letter in enumerate(text):
            self[line, character + offset] = _Ink(letter, styles)


def draw_boards(
    groups: Iterable[BoardGroup],
    dead_links: Iterable[tuple[int, int, int, int]] = (),
    paint: Paint | None = None,
) -> str:
    """The picture as lines without a last line end; nothing is drawn where no group has a board.

    Later groups are drawn over earlier ones. dead_links: (x, y, z, link number); the edges of
    drawn boards that stand for them become a red X. paint: None for no colour.
    """
    sheet = _Sheet()
    drawn: set[Board] = set()
    for group in groups:
        _draw_group(sheet, group)
        drawn.update(group.boards)
    for x, y, z, number in dead_links:
        _draw_dead_link(sheet, (x, y, z), Link(number), drawn)
    return "\n".join(_lines(sheet, paint or Paint(False)))


def _draw_group(sheet: _Sheet, group: BoardGroup) -> None:
    boards = set(group.boards)
    label = group.label.center(_LABEL_WIDTH)[:_LABEL_WIDTH]
    for board in boards:
        line, character = _place(board)
        sheet.write(line, character + 1, label, group.label_styles)
        for link, edge in _EDGES.items():
            is_inner = next_board(board, link) in boards
            styles = group.inner_styles if is_inner else group.outer_styles
            sheet.write(line + edge.line, character + edge.character, edge.alive, styles)


def _draw_dead_link(sheet: _Sheet, board: Board, link: Link, drawn: set[Board]) -> None:
    if board in drawn or next_board(board, link) in drawn:
        line, character = _place(board)
        edge = _EDGES[link]
        sheet.write(line + edge.line, character + edge.character, edge.dead, (Style.RED,))


def _place(board: Board) -> Place:
    column, row = hexagon_position(board)
    return row, _PITCH * column


def _lines(sheet: _Sheet, paint: Paint) -> Iterator[str]:
    """From the top down, without empty margins."""
    by_line: dict[int, dict[int, _Ink]] = {}
    for (line, character), ink in sheet.items():
        by_line.setdefault(line, {})[character] = ink
    left = min((character for _, character in sheet), default=0)
    for line in range(max(by_line, default=-1), min(by_line, default=0) - 1, -1):
        yield _line(by_line.get(line, {}), left, paint)


def _line(inks: Mapping[int, _Ink], left: int, paint: Paint) -> str:
    blank = _Ink(" ", ())
    row = [inks.get(place, blank) for place in range(left, max(inks, default=left - 1) + 1)]
    runs = itertools.groupby(row, key=lambda ink: ink.styles)
    painted = (paint("".join(ink.character for ink in run), *styles) for styles, run in runs)
    return "".join(painted).rstrip()
