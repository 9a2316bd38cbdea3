"""The boards of a machine as hexagons in SVG, the outlines of jobs, and what is dead."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from spalloc_gevent.display.hexagons import RADIUS, centre, corners, edge
from spalloc_gevent.display.map_facts import Ends, MachineMap
from spalloc_gevent.display.svg import (
    Point,
    cross,
    element,
    fitting_px,
    path_of,
    text_of,
)
from spalloc_gevent.geometry import Board, Link, next_board

_GAP = 1.5
"""Between a hexagon as it is drawn and its share of the machine."""
_KEY_PX = 15.0
_COORDINATES_PX = 7.5
_ROOM_FOR_COORDINATES = 27.0
_RAISED = 4.0
"""What stands above the coordinates is so much above the centre, and they as far below."""
_LOWERED = 11.0
_CROSS_OF_BOARD = 5.0
_CROSS_OF_LINK = 3.0
_FROM_CENTRE_LINE_EM = 0.36
"""From the middle of a capital or digit to its foot, in font sizes."""


def drawn_boards(machine_map: MachineMap) -> Iterator[str]:
    """Elements around the machine's own origin: later ones lie upon earlier ones."""
    for board in machine_map.boards:
        yield _board(machine_map, board)
    for job in machine_map.coloured.values():
        yield _outline(set(job.boards))
    for ends in machine_map.broken:
        yield _dead_link(ends)


def hexagon(around: Point, radius: float) -> str:
    return element("path", class_="cell", d=path_of(corners(around, radius), closed=True))


def label(around: Point, text: str, size_px: float, kind: str) -> str:
    """Text whose capitals are centred around a point."""
    x, y = around
    foot = y + _FROM_CENTRE_LINE_EM * size_px
    return element("text", text_of(text), class_=kind, x=x, y=foot, font_size=size_px)


def key_in(around: Point, key: str, radius: float, most_px: float = _KEY_PX) -> str:
    """A job's letters, as large as a hexagon has room for."""
    return label(around, key, fitting_px(key, most_px, 1.3 * radius), "key")


def dead_cross(around: Point) -> str:
    return element("path", class_="cross", d=cross(around, _CROSS_OF_BOARD))


def broken_edge(ends: tuple[Point, Point]) -> list[str]:
    """The mark on an edge that stands for a dead link: a bar and a cross in its middle."""
    (x1, y1), (x2, y2) = ends
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    shape = path_of(ends) + cross(middle, _CROSS_OF_LINK)
    # The halo first: it parts the mark from whatever colour it lies upon.
    return [element("path", class_=kind, d=shape) for kind in ("halo", "broken")]


def _board(machine_map: MachineMap, board: Board) -> str:
    x, y = around = centre(board)
    told = element("title", text_of(_told(machine_map, board)))
    coordinates = ",".join(map(str, board))
    size = fitting_px(coordinates, _COORDINATES_PX, _ROOM_FOR_COORDINATES)
    kind, upon = _kind_and_mark(machine_map, board)
    place = (x, y + _LOWERED) if upon else around
    inside = [hexagon(around, RADIUS - _GAP), *upon, label(place, coordinates, size, "at")]
    return element("g", told, *inside, class_=f"board {kind}")


def _kind_and_mark(machine_map: MachineMap, board: Board) -> tuple[str, list[str]]:
    x, y = centre(board)
    raised = x, y - _RAISED
    if board in machine_map.dead:
        return "dead", [dead_cross(raised)]
    job = machine_map.holders.get(board)
    if job is None:
        return "free", []
    if job.job_id not in machine_map.coloured:
        return "other", []
    return f"job{machine_map.colours[job.job_id]}", [key_in(raised, job.key, RADIUS)]


def _told(machine_map: MachineMap, board: Board) -> str:
    place = machine_map.places.get(board)
    job = machine_map.holders.get(board)
    state = "dead" if board in machine_map.dead else "free"
    lines = [f"Board coordinate: {board}"]
    if place is not None:
        lines.append("Physical location: Cabinet {}, Frame {}, Board {}".format(*place))
    lines.append(f"Board is {state}" if job is None else job.told)
    return "\n".join(lines)


def _outline(own: Collection[Board]) -> str:
    """Where a job's boards have others beside them, or none."""
    edges = (
        path_of(edge(centre(board), link))
        for board in sorted(own)
        for link in Link
        if next_board(board, link) not in own
    )
    return element("path", class_="outline", d="".join(edges))


def _dead_link(ends: Ends) -> str:
    (board, link), (there, _) = ends
    name = link.name.replace("_", "-")
    told = element("title", text_of(f"Dead link: {name} of board {board}, to board {there}"))
    first, second = (edge(centre(board), link) for board, link in ends)
    marks = broken_edge(first)
    # A link that wraps around the machine is an edge at either end of it.
    if next_board(board, link) != there:
        marks += broken_edge(second)
    return element("g", told, *marks)
