"""Where boards are: their cabinets, frames and slots, asked for one by one.

The protocol has no question about all boards. One about a board names no job, so that it keeps
none alive, and is answered from memory; they go out one after another on one connection, so that
everybody else's questions come in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.map_facts import Place
from spalloc_gevent.geometry import Board

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient

LONGEST_S = 10.0
"""What 1,200 boards take is a third of a second nearby; nobody waits longer for a far server."""


def places_of(
    client: ProtocolClient, machine: str, boards: Iterable[Board], deadline: Deadline
) -> dict[Board, Place | None]:
    """What the server tells of each board until the deadline, None where it knows no place."""
    places: dict[Board, Place | None] = {}
    for board in boards:
        if deadline.passed:
            break
        found = client.get_board_position(machine, *board)
        places[board] = None if found is None else (found[0], found[1], found[2])
    return places
