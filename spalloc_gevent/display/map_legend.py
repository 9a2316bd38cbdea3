"""What is what in a machine's picture: marks of boards and links, and which colour is which job."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from spalloc_gevent.display.hexagons import Point, corners
from spalloc_gevent.display.map_facts import MachineMap, MapJob, counted
from spalloc_gevent.display.svg import (
    CHARACTER_EM,
    broken_edge,
    cross,
    element,
    hexagon,
    label,
    text_at,
)
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.display.widths import shortened, width_of

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


class Legend:
    """The marks in a line, and below them the jobs in as many columns as there is room for."""

    def __init__(self, machine_map: MachineMap) -> None:
        self._map = machine_map
        self._jobs = machine_map.listed
        self._left_out = len(machine_map.coloured) - len(self._jobs)
        self._marks = list(marks_of(machine_map))
        columns = zip(_HEADINGS, *map(entry_of, self._jobs), strict=True)
        self._room = [max(map(width_of, texts)) * _CHARACTER for texts in columns]
        self._column_width = 2 * _SWATCH + sum(self._room) + 3 * _GAP

    @property
    def least_width(self) -> float:
        marks = sum(width_of_mark(words) for _, words in self._marks)
        return max(marks, self._column_width if self._jobs else 0.0)

    def drawn(self, at: Point, width: float) -> tuple[list[str], float]:
        """The elements, and the height that they take; `at`: the upper left corner."""
        left, top = at
        elements = list(line_of_marks(self._marks, (left, top + _LINE / 2)))
        top += _LINE
        if self._jobs:
            step = self._column_width + _BETWEEN_COLUMNS
            columns = max(1, int((width + _BETWEEN_COLUMNS) // step))
            lines = math.ceil(len(self._jobs) / columns)
            for start in range(0, len(self._jobs), lines):
                place = left + step * (start // lines), top + _LINE
                elements += self._column(place, self._jobs[start : start + lines])
            top += _LINE * (lines + 1.5)
        if self._left_out:
            words = f"and {counted(self._left_out, 'more job')}: point at a board"
            elements.append(text_at((left, top + _LINE / 2 + _FOOT), words, "line"))
            top += _LINE
        return elements, top - at[1]

    def _column(self, at: Point, jobs: Sequence[MapJob]) -> Iterator[str]:
        x, y = at
        yield from self._texts(at, _HEADINGS, "heading")
        for line, job in enumerate(jobs, 1):
            middle = y + line * _LINE
            swatch = x + _SWATCH, middle
            key = label(swatch, job.key, "key", _KEY_PX, 1.3 * _SWATCH)
            colour = f"job{self._map.colours[job.job_id]}"
            yield element("g", hexagon(swatch, _SWATCH), key, class_=colour)
            yield from self._texts((x, middle), entry_of(job), "entry")

    def _texts(self, at: Point, row: Sequence[str], kind: str) -> Iterator[str]:
        # Texts of their own, lest an owner who writes from right to left turns the others around.
        job, boards, _ = self._room
        foot = at[1] + _FOOT
        ends = at[0] + 2 * _SWATCH + _GAP + job
        yield text_at((ends, foot), row[0], f"{kind} number")
        ends += _GAP + boards
        yield text_at((ends, foot), row[1], f"{kind} number")
        yield text_at((ends + _GAP, foot), row[2], kind)


def entry_of(job: MapJob) -> tuple[str, str, str]:
    """What the list tells of a job."""
    owner = shortened(printable(job.owner), _MOST_OF_OWNER)
    return str(job.job_id), str(len(job.boards)), owner


def marks_of(machine_map: MachineMap) -> Iterator[tuple[str, str]]:
    """Those that the picture has: what each looks like around (0, 0), and what it means."""
    middle, dead = (0.0, 0.0), len(set(machine_map.dead))
    cell = hexagon(middle, _SWATCH)
    if len(machine_map.holders) + dead < len(machine_map.boards):
        yield element("g", cell, class_="free"), "free"
    if machine_map.others:
        yield element("g", cell, class_="other"), "another job's"
    if dead:
        crossed = element("path", class_="cross", d=cross(middle))
        yield element("g", cell, crossed, class_="dead"), "dead board"
    if machine_map.broken:
        upper = sorted(corners(middle, _SWATCH))
        yield broken_edge((upper[0], upper[-1])), "dead link"


def width_of_mark(words: str) -> float:
    return 2 * _SWATCH + _GAP + _CHARACTER * len(words) + _BETWEEN_COLUMNS


def line_of_marks(marks: Sequence[tuple[str, str]], at: Point) -> Iterator[str]:
    x, y = at
    for shape, words in marks:
        yield element("g", shape, transform=f"translate({x + _SWATCH:.1f} {y:.1f})")
        yield text_at((x + 2 * _SWATCH + _GAP, y + _FOOT), words, "line")
        x += width_of_mark(words)
