"""The boards that have failed in this program, and that it does not want to be given again."""

from __future__ import annotations

from collections.abc import Iterable

from spalloc_gevent.batch.attempts import Board


class BadBoards:
    """Boards by machine and position, each with why it is bad; the first reason stays.

    Machines are told apart by name: those of two servers should not share one.
    Any thread may ask and add.
    """

    def __init__(self) -> None:
        self._why: dict[tuple[str, Board], str] = {}

    def add(self, machine: str, boards: Iterable[Board], why: str) -> None:
        """Avoid these boards of `machine` from now on."""
        for board in boards:
            self._why.setdefault((machine, board), why)

    def among(self, machine: str, boards: Iterable[Board]) -> dict[Board, str]:
        """Those of `boards` that are bad, and why."""
        found = {board: self._why.get((machine, board)) for board in boards}
        return {board: why for board, why in found.items() if why is not None}

    def forget(self) -> None:
        """Take every board for good again, after a repair for example."""
        self._why.clear()

    def __len__(self) -> int:
        return len(self._why)

    def __repr__(self) -> str:
        return f"<BadBoards {sorted(self._why)}>"


bad_boards = BadBoards()
"""What :func:`~spalloc_gevent.batch.allocate` avoids for the rest of the program."""
