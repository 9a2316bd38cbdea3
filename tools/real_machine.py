"""Machines for a real spalloc server, as the text of its configuration file.

The server's configuration is a Python file that makes a ``Configuration`` of ``Machine`` objects
(spalloc_server.configuration); this module writes one from a few numbers. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

BOARDS_PER_TRIAD = 3
BOARDS_PER_FRAME = 24
FRAMES_PER_CABINET = 5

Board = tuple[int, int, int]
"""A board's logical place: triad x, triad y, and z, 0 to 2."""

Link = tuple[int, int, int, int]
"""A board's x, y, z and the number of one of its links: 0 east, then anticlockwise."""

Place = tuple[int, int, int]
"""A board's physical place: cabinet, frame, board."""


class MachineLike(Protocol):
    """Anything that describes a machine; sizes in triads."""

    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def tags(self) -> Collection[str]: ...
    @property
    def dead_boards(self) -> Collection[Board]: ...
    @property
    def dead_links(self) -> Collection[Link]: ...


@dataclass(frozen=True)
class Machine:
    """A machine of `width` x `height` triads."""

    name: str = "m"
    width: int = 4
    height: int = 2
    tags: Collection[str] = ("default",)
    dead_boards: Collection[Board] = ()
    dead_links: Collection[Link] = ()


def machine_with_boards(boards: int, name: str = "m") -> Machine:
    """The smallest machine of nearly square shape that has at least `boards` boards."""
    if boards < 1:
        raise ValueError(f"a machine has at least 1 board, not {boards}")
    triads = math.ceil(boards / BOARDS_PER_TRIAD)
    height = math.isqrt(triads)
    return Machine(name=name, width=math.ceil(triads / height), height=height)


def board_places(machine: MachineLike) -> dict[Board, Place]:
    """Where each living board sits: frames and cabinets filled in the order of x, y, z.

    A dead board leaves its slot empty.
    """
    dead = {tuple(board) for board in machine.dead_boards}
    return {
        board: _place(index)
        for index, board in enumerate(_every_board(machine))
        if board not in dead
    }


def _every_board(machine: MachineLike) -> Iterator[Board]:
    for x in range(machine.width):
        for y in range(machine.height):
            for z in range(BOARDS_PER_TRIAD):
                yield x, y, z


def _place(index: int) -> Place:
    frame, board = divmod(index, BOARDS_PER_FRAME)
    cabinet, frame = divmod(frame, FRAMES_PER_CABINET)
    return cabinet, frame, board


def frames(machine: MachineLike) -> list[tuple[int, int]]:
    """The (cabinet, frame) pairs that hold living boards; each needs a BMP."""
    return sorted({(cabinet, frame) for cabinet, frame, _ in board_places(machine).values()})


def configuration_text(
    machines: Sequence[MachineLike],
    bmp_addresses: Sequence[str],
    *,
    ip: str,
    timeout_check_s: float,
    seconds_before_free: float,
    max_retired_jobs: int = 1200,
) -> str:
    """The server's configuration file; `bmp_addresses` gives one address for each frame in turn."""
    addresses = iter(bmp_addresses)
    described = [
        _machine_text(number, machine, [next(addresses) for _ in frames(machine)])
        for number, machine in enumerate(machines)
    ]
    return (
        f"configuration = Configuration(\n    machines=[{', '.join(described)}],\n"
        f"    ip={ip!r}, timeout_check_interval={timeout_check_s!r},\n"
        f"    max_retired_jobs={max_retired_jobs!r}, seconds_before_free={seconds_before_free!r})\n"
    )


def _machine_text(number: int, machine: MachineLike, bmp_addresses: Sequence[str]) -> str:
    places = board_places(machine)
    fields = {
        "name": machine.name,
        "tags": set(machine.tags),
        "width": machine.width,
        "height": machine.height,
        "dead_boards": {tuple(board) for board in machine.dead_boards},
        "dead_links": {tuple(link) for link in machine.dead_links},
        "board_locations": places,
        "bmp_ips": dict(zip(frames(machine), bmp_addresses, strict=True)),
        "spinnaker_ips": {board: _hostname(number, place) for board, place in places.items()},
    }
    # repr() of an empty set is set(), so every field reads back as what it was.
    return f"Machine({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def _hostname(machine_number: int, place: Place) -> str:
    """A made-up address for a board's Ethernet chip, in loopback, where nobody listens.

    127.{machine from 1}.{frame and board, two bytes}: the simulated server's rule too.
    """
    cabinet, frame, board = place
    index = (cabinet * FRAMES_PER_CABINET + frame) * 32 + board + 1
    return f"127.{machine_number + 1}.{index >> 8}.{index & 255}"
