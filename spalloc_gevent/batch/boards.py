"""Boards as harnesses name them: those of an attempt that failed, of an allocation, bad ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from spalloc_gevent.errors import JobDestroyedError
from spalloc_gevent.job import Job
from spalloc_gevent.transport import native

Board = tuple[int, int, int]
"""Logical (x, y, z) of a board on its machine."""

MOST_LISTED = 6
"""More boards than this are counted rather than listed in a message."""


class Attempt(NamedTuple):
    """One allocation that was of no use, and why."""

    job_id: int | None
    """The number of the job."""
    machine: str | None
    """None when no boards were allocated."""
    boards: tuple[Board, ...]
    """Logical (x, y, z) of each."""
    why: str
    """What was wrong with them."""

    def __str__(self) -> str:
        where = "no boards"
        if self.machine:
            places = ["({}, {}, {})".format(*board) for board in self.boards]
            is_short = len(places) <= MOST_LISTED
            listed = ", ".join(places) if is_short else f"{len(places)} boards from {places[0]}"
            where = f"{self.machine} {listed}"
        return f"job {self.job_id} ({where}): {self.why}"


@dataclass(frozen=True)
class Allocation:
    """The boards of a job that another process holds and keeps alive; can be pickled.

    It only describes them: whoever has the :class:`~spalloc_gevent.Job` gives the boards back.
    """

    id: int
    """The number of the job."""
    hostname: str
    """Of chip (0, 0)."""
    connections: Mapping[tuple[int, int], str]
    """``{(x, y): hostname}`` of the Ethernet-connected chips."""
    width: int
    """Of the network of boards, in chips."""
    height: int
    """Of the same, in chips."""
    machine: str
    """The name of the machine that the boards are part of."""
    boards: tuple[Board, ...]
    """Logical (x, y, z) of each, in order."""

    @classmethod
    def of(cls, job: Job) -> Allocation:
        """What `job` has.

        Raises:
            JobDestroyedError: it has no boards (yet, or any more).
        """
        connections, width, height = job.connections, job.width, job.height
        machine, boards = job.machine_name, boards_of(job)
        if not (connections and width and height and machine and boards):
            raise JobDestroyedError(f"job {job.id} has no boards (yet, or any more)")
        assert job.id is not None
        return cls(job.id, connections[0, 0], connections, width, height, machine, boards)


def boards_of(job: Job) -> tuple[Board, ...]:
    """The boards of a job, in order; none while it has none."""
    return tuple((x, y, z) for x, y, z in job.boards or ())


class BadBoards:
    """Boards by machine and position, each with why it is bad; the first reason stays.

    Machines are told apart by name: those of two servers should not share one.
    Any thread may ask and add.
    """

    def __init__(self) -> None:
        self._why: dict[tuple[str, Board], str] = {}
        self.renew_lock()

    def renew_lock(self) -> None:
        """In a forked child: a thread of the parent may have held the lock for ever."""
        self._lock = native.new_rlock()

    def add(self, machine: str, boards: Iterable[Board], why: str) -> None:
        """Avoid these boards of `machine` from now on.

        Args:
            machine: its name.
            boards: logical (x, y, z) of each.
            why: what is wrong with them.
        """
        with self._lock:
            for board in boards:
                self._why.setdefault((machine, board), why)

    def among(self, machine: str, boards: Iterable[Board]) -> dict[Board, str]:
        """Those of `boards` that are bad, and why."""
        with self._lock:
            places = {board: (machine, board) for board in boards}
            return {board: self._why[at] for board, at in places.items() if at in self._why}

    def forget(self) -> None:
        """Take every board for good again, after a repair for example."""
        with self._lock:
            self._why.clear()

    def __len__(self) -> int:
        return len(self._why)

    def __repr__(self) -> str:
        with self._lock:
            return f"<BadBoards {sorted(self._why)}>"


bad_boards = BadBoards()
"""What :func:`~spalloc_gevent.batch.allocate` avoids for the rest of the program."""

os.register_at_fork(after_in_child=bad_boards.renew_lock)
