"""What stands for a job in pictures, its letters and its colour, and the colours around them.

Those of jobs are the same on a light and a dark page. They were chosen by Okabe and Ito so that
they differ for colour-blind people too; that they do, and the contrasts, is tested.
"""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

from spalloc_gevent.geometry import Board, Link, next_board

Thing = TypeVar("Thing", bound=Hashable)

# -- letters ---------------------------------------------------------------------------------


def lettered(
    things: Iterable[Thing], before: Mapping[Thing, str] | None = None
) -> dict[Thing, str]:
    """Each thing's letters: those that it had `before`, else the first that nothing has.

    They go on as the columns of a spreadsheet: A, ... Z, AA, AB, ... The letters of what is gone
    are free again. In the order of the letters.
    """
    known = before or {}
    listed = list(dict.fromkeys(things))
    given = {thing: known[thing] for thing in listed if thing in known}
    taken = set(given.values())
    free = (
        letters
        for length in itertools.count(1)
        for letters in map("".join, itertools.product(string.ascii_uppercase, repeat=length))
        if letters not in taken
    )
    given |= {thing: next(free) for thing in listed if thing not in given}
    return dict(sorted(given.items(), key=lambda item: letter_order(item[1])))


def letter_order(letters: str) -> tuple[int, str]:
    """What letters sort by: Z comes before AA."""
    return len(letters), letters


# -- colours ---------------------------------------------------------------------------------


JOB_COLOURS = (
    ("#56b4e9", "#000000"),
    ("#e69f00", "#000000"),
    ("#009e73", "#000000"),
    ("#f0e442", "#000000"),
    ("#cc79a7", "#000000"),
    ("#0072b2", "#ffffff"),
    ("#d55e00", "#000000"),
)
"""Fills, each with the colour of what is written on it."""


def colours_of_jobs(boards: Mapping[int, Collection[Board]]) -> dict[int, int]:
    """For each job's ID, whose boards these are, an index into :data:`JOB_COLOURS`.

    Jobs that touch differ where there are colours enough; the largest choose first, for they
    touch the most. All colours are used alike, so that few jobs have one each; of equals it is
    the number of the job that decides, by which it tends to keep its colour.
    """
    number = len(JOB_COLOURS)
    holders = {board: job_id for job_id, own in boards.items() for board in own}
    chosen: dict[int, int] = {}
    uses: Counter[int] = Counter()
    for job_id in sorted(boards, key=lambda job_id: (-len(boards[job_id]), job_id)):
        around = {next_board(board, link) for board in boards[job_id] for link in Link}
        taken = {chosen.get(holders[board]) for board in around if board in holders}
        colours = sorted(range(number), key=lambda one: (uses[one], (one - job_id) % number))
        chosen[job_id] = next((one for one in colours if one not in taken), colours[0])
        uses[chosen[job_id]] += 1
    return chosen


_THEMES = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#f0f6fc"),
    "muted": ("#59636e", "#9ea7b3"),
    "edge": ("#818b98", "#7d8590"),
    "free": ("#f6f8fa", "#161b22"),
    "other": ("#ced6de", "#3d444d"),
    "dead": ("#ffffff", "#0d1117"),
    "broken": ("#cf222e", "#ff7b72"),
}
LIGHT, DARK = ({name: pair[page] for name, pair in _THEMES.items()} for page in (0, 1))
"""The colours of everything but jobs.

ink, muted: text, the second of less weight. edge: around boards. free, other, dead: the fills of
boards that no job has, that another job than the one shown has, and that are dead. broken: links.
"""

# -- the style sheet of a picture in SVG -----------------------------------------------------

MONOSPACE = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'
"""Fonts whose characters are all of one width."""

_SHAPES = """\
.title { font-size: 20px; }
.heading, .key { font-weight: bold; }
.key, .at { text-anchor: middle; }
.number { text-anchor: end; }
.cell { stroke-width: 1; }
.dead .cell { stroke-dasharray: 4 3; }
.outline, .broken, .halo, .cross { fill: none; stroke-linecap: round; pointer-events: none; }
.outline { stroke-width: 2.5; }
.cross { stroke-width: 1.5; }
.broken { stroke-width: 2.6; pointer-events: stroke; }
.halo { stroke-width: 5.4; }"""

_THEME = """\
.paper {{ fill: {paper}; }}
.heading, .entry {{ fill: {ink}; }}
.line {{ fill: {muted}; }}
.free .cell {{ fill: {free}; stroke: {edge}; }}
.free .at {{ fill: {muted}; }}
.other .cell {{ fill: {other}; stroke: {edge}; }}
.other .at {{ fill: {ink}; }}
.dead .cell {{ fill: {dead}; stroke: {edge}; }}
.dead .at {{ fill: {muted}; }}
.cross {{ stroke: {muted}; }}
.outline {{ stroke: {ink}; }}
.broken {{ stroke: {broken}; }}
.halo {{ stroke: {paper}; }}"""


def style_sheet() -> str:
    """Plain rules, no variables: what draws SVG without being a browser knows these.

    They are for nothing outside the picture, should it become a part of another page.
    """
    light, dark = (_THEME.format(**theme) for theme in (LIGHT, DARK))
    fonts = f"text {{ font-family: {MONOSPACE}; white-space: pre; }}"
    rules = [fonts, _SHAPES, light, f"@media (prefers-color-scheme: dark) {{\n{dark}\n}}"]
    for index, (fill, text) in enumerate(JOB_COLOURS):
        rules.append(f".job{index} .cell {{ fill: {fill}; stroke: {fill}; }}")
        rules.append(f".job{index} text {{ fill: {text}; }}")
    return re.sub(r"(?m)(^|, )(?=\.|text )", r"\1.spalloc-map ", "\n".join(rules))
