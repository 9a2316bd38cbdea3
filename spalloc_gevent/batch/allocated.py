"""``Allocation``: what work in another process needs to know of the boards that it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spalloc_gevent.batch.attempts import Board
from spalloc_gevent.errors import JobDestroyedError
from spalloc_gevent.job import Job


@dataclass(frozen=True)
class Allocation:
    """The boards of a job that another process holds and keeps alive; can be pickled.

    It only tells: whoever has the :class:`~spalloc_gevent.Job` gives the boards back.
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
        machine, boards = job.machine_name, job.boards
        if not (connections and width and height and machine and boards):
            raise JobDestroyedError(f"job {job.id} has no boards (yet, or any more)")
        places = tuple((x, y, z) for x, y, z in boards)
        assert job.id is not None
        return cls(job.id, connections[0, 0], connections, width, height, machine, places)
