"""The boards that have failed in this program, and that it does not want to be given again."""

from __future__ import annotations

import os
from collections.abc import Iterable

from spalloc_gevent.batch.attempts import Board
from spalloc_gevent.transport import native


class BadBoards:
    """Boards by machine and position, each with why it is bad; the first reason stays.

    Machines are told apart by name: those of two servers should not share one.
    Any thread may ask and add.
    """

    def __init__(self) -> None:
        self._why: dict[tuple[str, Board], str] = {}
        self._forked()

    def _forked(self) -> None:
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

os.register_at_fork(after_in_child=bad_boards._forked)
