"""The colours of pictures: for a light and a dark page, and for jobs that lie side by side.

Those of jobs are the same on either page. They were chosen by Okabe and Ito so that they differ
for colour-blind people too; that they do, and the contrasts, is tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spalloc_gevent.geometry import Board, Link, next_board


@dataclass(frozen=True)
class JobColour:
    """A fill, and the colour of what is written on it."""

    fill: str
    text: str


JOB_COLOURS = (
    JobColour("#56b4e9", "#000000"),
    JobColour("#e69f00", "#000000"),
    JobColour("#009e73", "#000000"),
    JobColour("#f0e442", "#000000"),
    JobColour("#cc79a7", "#000000"),
    JobColour("#0072b2", "#ffffff"),
    JobColour("#d55e00", "#000000"),
)
_COLOURS = len(JOB_COLOURS)


@dataclass(frozen=True)
class Page:
    """The colours of everything but jobs.

    ink, muted: text, the second of less weight. edge: around boards. free, other, dead: the
    fills of boards that no job has, that another job than the one shown has, and that are dead.
    broken: dead links.
    """

    paper: str
    ink: str
    muted: str
    edge: str
    free: str
    other: str
    dead: str
    broken: str


LIGHT = Page(
    paper="#ffffff",
    ink="#1f2328",
    muted="#59636e",
    edge="#818b98",
    free="#f6f8fa",
    other="#ced6de",
    dead="#ffffff",
    broken="#cf222e",
)
DARK = Page(
    paper="#0d1117",
    ink="#f0f6fc",
    muted="#9ea7b3",
    edge="#7d8590",
    free="#161b22",
    other="#3d444d",
    dead="#0d1117",
    broken="#ff7b72",
)


def colours_of_jobs(boards: Mapping[int, Collection[Board]]) -> dict[int, int]:
    """For each job's ID, whose boards these are, an index into :data:`JOB_COLOURS`.

    Jobs that touch differ where there are colours enough; the largest choose first, for they
    touch the most. All colours are used alike, so that few jobs have one each; of equals it is
    the number of the job that decides, by which it tends to keep its colour.
    """
    holders = {board: job_id for job_id, own in boards.items() for board in own}
    chosen: dict[int, int] = {}
    uses: Counter[int] = Counter()
    for job_id in sorted(boards, key=lambda job_id: (-len(boards[job_id]), job_id)):
        taken = {chosen.get(other) for other in _holders_around(boards[job_id], holders)}
        colours = sorted(range(_COLOURS), key=lambda one: (uses[one], (one - job_id) % _COLOURS))
        chosen[job_id] = next((one for one in colours if one not in taken), colours[0])
        uses[chosen[job_id]] += 1
    return chosen


def _holders_around(own: Collection[Board], holders: Mapping[Board, int]) -> set[int]:
    around = {next_board(board, link) for board in own for link in Link}
    return {holders[board] for board in around if board in holders}
