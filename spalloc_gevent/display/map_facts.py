"""What there is to draw of a machine, and how it is told in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from spalloc_gevent.display.palette import colours_of_jobs
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.geometry import (
    Board,
    BoardLink,
    Link,
    Torus,
    boards_of_triads,
    ends_of_link,
)

MOST_JOBS = 300
"""A longer list helps nobody: what is left out is told where somebody points at a board."""

Place = tuple[int, int, int]
"""A board's cabinet, frame and board."""

Ends = tuple[tuple[Board, Link], ...]
"""A link as its boards know it."""


@dataclass(frozen=True)
class MapJob:
    """A job on the map.

    key: the letters on its boards. told: what is told of it where somebody points at one of them.
    """

    job_id: int
    key: str
    owner: str
    boards: Collection[Board]
    told: str


@dataclass(frozen=True)
class MachineMap:
    """A machine and the jobs on it.

    places: where boards are, as far as that is known. only: the ID of the job that the picture is
    about, all others being drawn alike; None: every job has its colour. is_complete: no other
    boards are absent.
    """

    name: str
    torus: Torus
    jobs: Sequence[MapJob] = ()
    dead: Collection[Board] = ()
    dead_links: Collection[BoardLink] = ()
    places: Mapping[Board, Place] = field(default_factory=dict)
    only: int | None = None
    is_complete: bool = True

    def with_places(self, places: Mapping[Board, Place]) -> MachineMap:
        return replace(self, places=places)

    @cached_property
    def boards(self) -> list[Board]:
        return list(boards_of_triads(0, 0, *self.torus))

    @cached_property
    def holders(self) -> dict[Board, MapJob]:
        return {board: job for job in self.jobs for board in job.boards}

    @cached_property
    def coloured(self) -> dict[int, MapJob]:
        """The jobs that have a colour, by their IDs."""
        return {job.job_id: job for job in self.jobs if self.only in (None, job.job_id)}

    @property
    def listed(self) -> list[MapJob]:
        """The jobs that are told of one by one."""
        return list(self.coloured.values())[:MOST_JOBS]

    @cached_property
    def colours(self) -> dict[int, int]:
        """By the IDs of jobs."""
        return colours_of_jobs({job_id: job.boards for job_id, job in self.coloured.items()})

    @cached_property
    def others(self) -> list[MapJob]:
        """The jobs that have none."""
        return [job for job in self.jobs if job.job_id not in self.coloured]

    @cached_property
    def broken(self) -> list[Ends]:
        """Each dead link once, from however many ends it was told."""
        told = (ends_of_link(link, self.torus) for link in self.dead_links)
        return list({frozenset(ends): ends for ends in told}.values())

    def kind_of(self, board: Board) -> str:
        """What it looks like: "dead", "free", "other" (another job's) or "job" and its colour."""
        if board in self.dead:
            return "dead"
        job = self.holders.get(board)
        if job is None:
            return "free"
        return f"job{self.colours[job.job_id]}" if job.job_id in self.coloured else "other"

    # -- in words ---------------------------------------------------------------

    @property
    def title(self) -> str:
        name = f"achine {printable(self.name)}"
        return f"M{name}" if self.only is None else f"Job {self.only} on m{name}"

    @property
    def summary(self) -> str:
        dead = len(set(self.dead))
        living = counted(len(self.boards) - dead, "board")
        if not self.is_complete:
            living = f"up to {living}"
        facts = [
            f"{len(self.holders):,} of {living} in use by {counted(len(self.jobs), 'job')}",
            counted(dead, "dead board") if dead else "",
            counted(len(self.broken), "dead link") if self.broken else "",
        ]
        return ", ".join(filter(None, facts))

    @property
    def description(self) -> str:
        """All of it, for those who do not see the picture."""
        width, height = self.torus
        jobs = (
            f"{job.key} is job {job.job_id} of {printable(job.owner)} with "
            f"{counted(len(job.boards), 'board')}."
            for job in self.listed
        )
        return " ".join([f"{width} x {height} triads: {self.summary}.", *jobs])

    def told(self, board: Board) -> str:
        """What is told of a board where somebody points at it."""
        lines = [f"Board coordinate: {board}"]
        if board in self.places:
            place = self.places[board]
            lines.append("Physical location: Cabinet {}, Frame {}, Board {}".format(*place))
        state = "dead" if board in self.dead else "free"
        job = self.holders.get(board)
        lines.append(f"Board is {state}" if job is None else job.told)
        return "\n".join(lines)


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
