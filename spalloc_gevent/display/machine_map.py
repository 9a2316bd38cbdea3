"""A machine as a picture in SVG: its boards as hexagons, the jobs on it, what is dead, a legend.

One file that needs nothing else: light or dark as the reader's system is, and telling more of a
board or a dead link when somebody points at it.
"""

from __future__ import annotations

from collections.abc import Collection

from spalloc_gevent.display.hexagons import RADIUS, box_of, centre, edge
from spalloc_gevent.display.map_facts import Ends, MachineMap
from spalloc_gevent.display.map_legend import Legend
from spalloc_gevent.display.palette import style_sheet
from spalloc_gevent.display.svg import (
    CHARACTER_EM,
    NAMESPACE,
    broken_edge,
    cross,
    element,
    escaped,
    hexagon,
    label,
    number,
    path_of,
    text_at,
)
from spalloc_gevent.display.widths import shortened
from spalloc_gevent.geometry import Board, Link, next_board

_MARGIN = 24.0
_TITLE_PX = 20.0
_TITLE_FOOT = _MARGIN + 16.0
_SUMMARY_FOOT = _TITLE_FOOT + 24.0
_MAP_TOP = _SUMMARY_FOOT + 24.0
_PX = 12.0

_GAP = 1.5
"""Between a hexagon as it is drawn and its share of the machine."""
_KEY_PX = 15.0
_COORDINATES_PX = 7.5
_ROOM_FOR_COORDINATES = 27.0
_RAISED = 4.0
"""What stands above the coordinates is so much above the centre, and they as far below."""
_LOWERED = 11.0


def drawn(machine_map: MachineMap) -> str:
    """An SVG document, all of it ASCII."""
    legend = Legend(machine_map)
    (left, top), (plan_width, plan_height) = box_of(machine_map.boards)
    summary_width = len(machine_map.summary) * CHARACTER_EM * _PX
    inner = max(plan_width, legend.least_width, summary_width)
    right, down = _MARGIN + (inner - plan_width) / 2 - left, _MAP_TOP - top
    legend_top = _MAP_TOP + plan_height + _MARGIN
    listed, legend_height = legend.drawn((_MARGIN, legend_top), inner)
    width, height = inner + 2 * _MARGIN, legend_top + legend_height + _MARGIN
    title = shortened(machine_map.title, int(inner / (CHARACTER_EM * _TITLE_PX)))
    inside = [
        element("title", escaped(machine_map.title), id="spalloc-map-title"),
        element("desc", escaped(machine_map.description), id="spalloc-map-desc"),
        element("style", style_sheet()),
        element("rect", class_="paper", width=width, height=height),
        text_at((_MARGIN, _TITLE_FOOT), title, "heading title"),
        text_at((_MARGIN, _SUMMARY_FOOT), machine_map.summary, "line"),
        f'<g transform="translate({number(right)} {number(down)})">',
        # Later ones lie upon earlier ones.
        *(draw_board(machine_map, board) for board in machine_map.boards),
        *(draw_outline(set(job.boards)) for job in machine_map.coloured.values()),
        *map(draw_dead_link, machine_map.broken),
        "</g>",
        *listed,
    ]
    whole = element(
        "svg",
        "\n".join(["", *inside, ""]),
        xmlns=NAMESPACE,
        class_="spalloc-map",
        width=width,
        height=height,
        viewBox=f"0 0 {number(width)} {number(height)}",
        font_size=_PX,
        role="img",
        aria_labelledby="spalloc-map-title",
        aria_describedby="spalloc-map-desc",
    )
    return f"{whole}\n"


def draw_board(machine_map: MachineMap, board: Board) -> str:
    """The board with its coordinates, and above them its job's letters or that it is dead."""
    kind, job = machine_map.kind_of(board), machine_map.holders.get(board)
    x, y = centre(board)
    raised, lowered = (x, y - _RAISED), (x, y + _LOWERED)
    inside = [element("title", escaped(machine_map.told(board))), hexagon((x, y), RADIUS - _GAP)]
    if kind == "dead":
        inside.append(element("path", class_="cross", d=cross(raised)))
    elif job is not None and kind != "other":
        inside.append(label(raised, job.key, "key", _KEY_PX, 1.3 * RADIUS))
    else:
        lowered = (x, y)
    coordinates = ",".join(map(str, board))
    inside.append(label(lowered, coordinates, "at", _COORDINATES_PX, _ROOM_FOR_COORDINATES))
    return element("g", *inside, class_=f"board {kind}")


def draw_outline(own: Collection[Board]) -> str:
    """Where a job's boards have others beside them, or none."""
    edges = (
        path_of(edge(board, link))
        for board in sorted(own)
        for link in Link
        if next_board(board, link) not in own
    )
    return element("path", class_="outline", d="".join(edges))


def draw_dead_link(ends: Ends) -> str:
    """One that wraps around the machine is an edge at either end of it."""
    (board, link), (there, _) = ends
    name = link.name.replace("_", "-")
    told = element("title", escaped(f"Dead link: {name} of board {board}, to board {there}"))
    shown = ends[:1] if next_board(board, link) == there else ends
    return element("g", told, *(broken_edge(edge(*end)) for end in shown))
