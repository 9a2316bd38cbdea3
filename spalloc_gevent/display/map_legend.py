"""What is what in a machine's picture: marks of boards and links, and which colour is which job."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

from spalloc_gevent.display.hexagons import corners
from spalloc_gevent.display.map_boards import broken_edge, dead_cross, hexagon, key_in
from spalloc_gevent.display.map_facts import MachineMap, MapJob, counted
from spalloc_gevent.display.svg import CHARACTER_EM, Point, element, text_of
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.display.widths import cut, width_of

MOST_JOBS = 300
"""A longer list helps nobody: what is left out is told where somebody points at a board."""

_CHARACTER = CHARACTER_EM * 12
_LINE = 27.0
_SWATCH = 11.5
_KEY_PX = 10.0
_GAP = 12.0
_BETWEEN_COLUMNS = 32.0
_FOOT = 4.3
"""From the middle of a line to the foot of its text."""
_MOST_OF_OWNER = 40
"""Columns of characters."""
_HEADINGS = ("Job", "Boards", "Owner")

Mark = tuple[str, str]
"""What a mark looks like around (0, 0), and what it means."""


class Legend:
    """The marks in a line, and below them the jobs in as many columns as there is room for."""

    def __init__(self, machine_map: MachineMap) -> None:
        self._map = machine_map
        self._jobs = list(machine_map.coloured.values())[:MOST_JOBS]
        self._left_out = len(machine_map.coloured) - len(self._jobs)
        self._marks = list(_marks(machine_map))

    @property
    def least_width(self) -> float:
        marks = sum(_width_of_mark(words) for _, words in self._marks)
        return max(marks, self._column_width if self._jobs else 0.0)

    def drawn(self, at: Point, width: float) -> tuple[list[str], float]:
        """The elements, and the height that they take; `at`: the upper left corner."""
        left, top = at
        elements = list(_line_of_marks(self._marks, (left, top + _LINE / 2)))
        top += _LINE
        if self._jobs:
            columns = max(1, int((width + _BETWEEN_COLUMNS) // self._step))
            lines = math.ceil(len(self._jobs) / columns)
            for start in range(0, len(self._jobs), lines):
                place = left + self._step * (start // lines), top + _LINE
                elements += self._column(place, self._jobs[start : start + lines])
            top += _LINE * (lines + 1.5)
        if self._left_out:
            words = f"and {counted(self._left_out, 'more job')}: point at a board"
            elements.append(_text("line", (left, top + _LINE / 2), words))
            top += _LINE
        return elements, top - at[1]

    # -- the list of jobs -------------------------------------------------------

    @cached_property
    def _room(self) -> tuple[float, float, float]:
        """The widths of the columns of text."""
        rows = [_HEADINGS, *map(_row, self._jobs)]
        widest = [max(width_of(row[column]) for row in rows) for column in range(3)]
        return widest[0] * _CHARACTER, widest[1] * _CHARACTER, widest[2] * _CHARACTER

    @property
    def _column_width(self) -> float:
        return 2 * _SWATCH + sum(self._room) + 3 * _GAP

    @property
    def _step(self) -> float:
        return self._column_width + _BETWEEN_COLUMNS

    def _column(self, at: Point, jobs: Sequence[MapJob]) -> Iterator[str]:
        x, y = at
        yield from self._texts((x, y), _HEADINGS, "heading")
        for line, job in enumerate(jobs, 1):
            middle = y + line * _LINE
            swatch = x + _SWATCH, middle
            inside = hexagon(swatch, _SWATCH) + key_in(swatch, job.key, _SWATCH, _KEY_PX)
            yield element("g", inside, class_=f"job{self._map.colours[job.job_id]}")
            yield from self._texts((x, middle), _row(job), "entry")

    def _texts(self, at: Point, row: Sequence[str], kind: str) -> Iterator[str]:
        # Texts of their own, lest an owner who writes from right to left turns the others around.
        job, boards, _ = self._room
        ends = at[0] + 2 * _SWATCH + _GAP + job
        yield _text(f"{kind} number", (ends, at[1]), row[0])
        ends += _GAP + boards
        yield _text(f"{kind} number", (ends, at[1]), row[1])
        yield _text(kind, (ends + _GAP, at[1]), row[2])


def _row(job: MapJob) -> tuple[str, str, str]:
    owner = printable(job.owner)
    if width_of(owner) > _MOST_OF_OWNER:
        owner = cut(owner, 0, _MOST_OF_OWNER - 1) + "…"
    return str(job.job_id), str(len(job.boards)), owner


def _text(kind: str, at: Point, words: str) -> str:
    return element("text", text_of(words), class_=kind, x=at[0], y=at[1] + _FOOT)


# --------------------------------------------------------------- the marks


def _marks(machine_map: MachineMap) -> Iterator[Mark]:
    """Those that the picture has."""
    used, dead = len(machine_map.holders), len(set(machine_map.dead))
    if used + dead < len(machine_map.boards):
        yield _cell("free"), "free"
    if machine_map.others:
        yield _cell("other"), "another job's"
    if dead:
        yield _cell("dead", dead_cross((0, 0))), "dead board"
    if machine_map.broken:
        upper = sorted(corners((0, 0), _SWATCH))
        yield "".join(broken_edge((upper[0], upper[-1]))), "dead link"


def _cell(kind: str, *upon: str) -> str:
    return element("g", hexagon((0, 0), _SWATCH), *upon, class_=kind)


def _width_of_mark(words: str) -> float:
    return 2 * _SWATCH + _GAP + _CHARACTER * len(words) + _BETWEEN_COLUMNS


def _line_of_marks(marks: Sequence[Mark], at: Point) -> Iterator[str]:
    x, y = at
    for shape, words in marks:
        yield element("g", shape, transform=f"translate({x + _SWATCH:.1f} {y:.1f})")
        yield _text("line", (x + 2 * _SWATCH + _GAP, y), words)
        x += _width_of_mark(words)
