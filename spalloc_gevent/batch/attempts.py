"""What an attempt to allocate good boards came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

Board = tuple[int, int, int]
"""Logical (x, y, z) of a board on its machine."""


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
        where = f"{self.machine} {listed(self.boards)}" if self.machine else "no boards"
        return f"job {self.job_id} ({where}): {self.why}"


MOST_LISTED = 6
"""More boards than this are counted rather than listed in a message."""


def listed(boards: Sequence[Board]) -> str:
    """The boards as a message names them."""
    if len(boards) > MOST_LISTED:
        return f"{len(boards)} boards from {_text(boards[0])}"
    return ", ".join(map(_text, boards))


def _text(board: Board) -> str:
    return "({}, {}, {})".format(*board)


def told(attempts: Iterable[Attempt]) -> str:
    """All attempts in one message, in order."""
    return "; ".join(f"attempt {n}: {attempt}" for n, attempt in enumerate(attempts, 1))
