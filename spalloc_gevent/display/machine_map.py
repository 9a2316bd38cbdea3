"""A machine as a picture in SVG: its boards as hexagons, the jobs on it, what is dead, a legend.

One file that needs nothing else: light or dark as the reader's system is, and telling more of a
board or a dead link when somebody points at it.
"""

from __future__ import annotations

from spalloc_gevent.display.hexagons import box_of
from spalloc_gevent.display.map_boards import drawn_boards
from spalloc_gevent.display.map_facts import MachineMap, counted
from spalloc_gevent.display.map_legend import MOST_JOBS, Legend
from spalloc_gevent.display.map_style import style_sheet
from spalloc_gevent.display.svg import CHARACTER_EM, NAMESPACE, element, number, text_of
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.display.widths import cut, width_of

_MARGIN = 24.0
_TITLE_PX = 20.0
_TITLE_FOOT = _MARGIN + 16.0
_SUMMARY_FOOT = _TITLE_FOOT + 24.0
_MAP_TOP = _SUMMARY_FOOT + 24.0
_PX = 12.0


def drawn(machine_map: MachineMap) -> str:
    """An SVG document, all of it ASCII."""
    plan, legend = box_of(machine_map.boards), Legend(machine_map)
    summary_width = len(machine_map.summary) * CHARACTER_EM * _PX
    inner = max(plan.width, legend.least_width, summary_width)
    right, down = _MARGIN + (inner - plan.width) / 2 - plan.left, _MAP_TOP - plan.top
    listed, height = legend.drawn((_MARGIN, _MAP_TOP + plan.height + _MARGIN), inner)
    width, height = inner + 2 * _MARGIN, _MAP_TOP + plan.height + _MARGIN + height + _MARGIN
    inside = [
        element("title", text_of(machine_map.title), id="spalloc-map-title"),
        element("desc", text_of(_described(machine_map)), id="spalloc-map-desc"),
        element("style", style_sheet()),
        element("rect", class_="paper", width=width, height=height),
        _line("heading title", _TITLE_FOOT, _cut_to(machine_map.title, inner)),
        _line("line", _SUMMARY_FOOT, machine_map.summary),
        f'<g transform="translate({number(right)} {number(down)})">',
        *drawn_boards(machine_map),
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


def _line(kind: str, foot: float, words: str) -> str:
    return element("text", text_of(words), class_=kind, x=_MARGIN, y=foot)


def _cut_to(words: str, room: float) -> str:
    columns = int(room / (CHARACTER_EM * _TITLE_PX))
    return words if width_of(words) <= columns else cut(words, 0, columns - 1) + "…"


def _described(machine_map: MachineMap) -> str:
    width, height = machine_map.torus
    jobs = (
        f"{job.key} is job {job.job_id} of {printable(job.owner)} with "
        f"{counted(len(job.boards), 'board')}."
        for job in list(machine_map.coloured.values())[:MOST_JOBS]
    )
    return " ".join([f"{width} x {height} triads: {machine_map.summary}.", *jobs])
