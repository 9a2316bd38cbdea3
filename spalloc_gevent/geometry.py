"""Arithmetic of boards, triads and chips; it knows no server.

A board is ``(x, y, z)``: the triad's column and row, and 0, 1 or 2 for the
board within the triad. Triads repeat every 12 by 12 chips, as the machines are built.
Chips are ``(x, y)``; "up" is a growing y. A machine's ``width`` and ``height``
are in triads unless a name says chips.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

__all__ = [
    "BOARDS_PER_TRIAD",
    "BOARD_CHIPS",
    "CHIPS_PER_BOARD",
    "LINKS_CLOCKWISE",
    "TRIAD_CHIPS",
    "Board",
    "BoardLink",
    "Chip",
    "Link",
    "Torus",
    "Wrap",
    "board_of_chip",
    "board_with_chip",
    "boards_of_triads",
    "chip_in_job",
    "chip_on_board",
    "ends_of_link",
    "ethernet_chip",
    "hexagon_position",
    "job_chip",
    "job_dimensions",
    "machine_chip",
    "neighbour",
    "next_board",
]

Board = tuple[int, int, int]
"""Logical (x, y, z): the triad's column and row, and 0, 1 or 2 for the board in it."""
BoardLink = tuple[int, int, int, int]
"""A board's x, y, z and the number of one of its links."""
Chip = tuple[int, int]
"""(x, y), counted from the lower left."""
Torus = tuple[int, int]
"""The width and height, in triads, of a machine whose opposite edges are joined."""
Wrap = tuple[bool, bool]
"""Whether something wraps around in x, and in y."""

BOARDS_PER_TRIAD = 3
"""Side by side on a machine; z tells them apart."""
CHIPS_PER_BOARD = 48
"""In a hexagon."""
TRIAD_CHIPS = 12
"""The width, and the height, of a triad in chips."""
BOARD_SPAN_CHIPS = 8
"""The width, and the height, of the square that a board's hexagon fits in."""
POKING_OUT_CHIPS = 4
"""What sticks out of a rectangle of triads on a side that does not wrap around."""

Value = TypeVar("Value")

_ETHERNET_OFFSETS: tuple[Chip, ...] = ((0, 0), (8, 4), (4, 8))
_Z_OF_OFFSET = {offset: z for z, offset in enumerate(_ETHERNET_OFFSETS)}


class Link(enum.IntEnum):
    """The six links of a board or chip, numbered anticlockwise as the hardware does."""

    east = 0
    north_east = 1
    north = 2
    west = 3
    south_west = 4
    south = 5

    @property
    def opposite(self) -> Link:
        """The link by which the neighbour down this one leads back."""
        return Link((self + 3) % 6)


LINKS_CLOCKWISE: tuple[Link, ...] = (
    Link.north,
    Link.north_east,
    Link.east,
    Link.south,
    Link.south_west,
    Link.west,
)
"""In the order in which the Java server numbers them."""

# From one board's Ethernet chip to that of the board down the link.
_TO_NEIGHBOUR: Mapping[Link, Chip] = {
    Link.east: (4, -4),
    Link.north_east: (8, 4),
    Link.north: (4, 8),
    Link.west: (-4, 4),
    Link.south_west: (-8, -4),
    Link.south: (-4, -8),
}


def _in_hexagon(x: int, y: int) -> bool:
    inside = 0 <= x < BOARD_SPAN_CHIPS and 0 <= y < BOARD_SPAN_CHIPS
    return inside and -3 <= x - y <= 4


BOARD_CHIPS: tuple[Chip, ...] = tuple(
    (x, y) for y in range(BOARD_SPAN_CHIPS) for x in range(BOARD_SPAN_CHIPS) if _in_hexagon(x, y)
)
"""The 48 chips of a board, relative to its Ethernet chip."""

# Every cell of the repeating 12 x 12 chips belongs to one board; here is the chip's place on it.
_PLACE_ON_BOARD: Mapping[Chip, Chip] = {
    ((offset_x + x) % TRIAD_CHIPS, (offset_y + y) % TRIAD_CHIPS): (x, y)
    for offset_x, offset_y in _ETHERNET_OFFSETS
    for x, y in BOARD_CHIPS
}


def boards_of_triads(x: int, y: int, width: int = 1, height: int = 1) -> Iterator[Board]:
    """Every board of the rectangle of triads whose lower left one is (x, y)."""
    for triad_x in range(x, x + width):
        for triad_y in range(y, y + height):
            for z in range(BOARDS_PER_TRIAD):
                yield triad_x, triad_y, z


def ethernet_chip(board: Board) -> Chip:
    """The chip that holds the board's Ethernet connection; the lower left one of its hexagon."""
    x, y, z = board
    offset_x, offset_y = _ETHERNET_OFFSETS[z]
    return TRIAD_CHIPS * x + offset_x, TRIAD_CHIPS * y + offset_y


def chip_on_board(chip: Chip) -> Chip:
    """Where a machine's chip sits on its own board, relative to the board's Ethernet chip."""
    return _PLACE_ON_BOARD[chip[0] % TRIAD_CHIPS, chip[1] % TRIAD_CHIPS]


def board_of_chip(chip: Chip, width: int, height: int) -> Board:
    """The board that holds `chip` on a torus of `width` x `height` triads."""
    on_board = chip_on_board(chip)
    x, y, z = _board_at(chip[0] - on_board[0], chip[1] - on_board[1])
    return x % width, y % height, z


def _board_at(ethernet_x: int, ethernet_y: int) -> Board:
    x, offset_x = divmod(ethernet_x, TRIAD_CHIPS)
    y, offset_y = divmod(ethernet_y, TRIAD_CHIPS)
    return x, y, _Z_OF_OFFSET[offset_x, offset_y]


def wrapped_chip(chip: Chip, width: int, height: int) -> Chip:
    """`chip` brought back onto a torus of `width` x `height` triads."""
    return chip[0] % (TRIAD_CHIPS * width), chip[1] % (TRIAD_CHIPS * height)


def next_board(board: Board, link: Link) -> Board:
    """The board down `link` on an endless plane of triads."""
    x, y = ethernet_chip(board)
    dx, dy = _TO_NEIGHBOUR[link]
    return _board_at(x + dx, y + dy)


def neighbour(board: Board, link: Link, width: int, height: int) -> tuple[Board, Wrap]:
    """The board down `link` on a torus of triads, and how the link wrapped around to get there."""
    x, y, z = next_board(board, link)
    wrapped = (x % width, y % height, z)
    return wrapped, (wrapped[0] != x, wrapped[1] != y)


def ends_of_link(link: BoardLink, torus: Torus | None) -> tuple[tuple[Board, Link], ...]:
    """A link as each of its two boards knows it; it wraps around the `torus`, if there is one."""
    x, y, z, number = link
    board, down = (x, y, z), Link(number)
    there = next_board(board, down) if torus is None else neighbour(board, down, *torus)[0]
    return (board, down), (there, down.opposite)


def chips_across(triads: int, wraps: bool) -> int:
    """The chips of a row, or column, of `triads` triads."""
    return TRIAD_CHIPS * triads + (0 if wraps else POKING_OUT_CHIPS)


def job_dimensions(boards: Collection[Board], wraps: Wrap = (False, False)) -> tuple[int, int]:
    """The width and height, in chips, of a job that holds `boards`.

    One board is 8 x 8. Of several, their triads count from the lower left one
    to the last one, in the order (x, y, z), as the Python server counts them.
    """
    if len(boards) == 1:
        return BOARD_SPAN_CHIPS, BOARD_SPAN_CHIPS
    first, last = min(boards), max(boards)
    return (
        chips_across(last[0] - first[0] + 1, wraps[0]),
        chips_across(last[1] - first[1] + 1, wraps[1]),
    )


def job_origin(boards: Collection[Board]) -> Board:
    """The board whose Ethernet chip is the job's chip (0, 0)."""
    return min(boards)


def ethernet_chip_in_job(board: Board, origin: Board) -> Chip:
    """A board's Ethernet chip in the coordinates of the job that begins at `origin`."""
    x, y = ethernet_chip(board)
    origin_x, origin_y = ethernet_chip(origin)
    return x - origin_x, y - origin_y


def connections_in_job(hostnames: Mapping[Board, Value]) -> dict[Chip, Value]:
    """What each board of a job has, by the job's own coordinates of its Ethernet chip."""
    if not hostnames:
        return {}
    origin = job_origin(hostnames)
    return {ethernet_chip_in_job(board, origin): value for board, value in hostnames.items()}


def machine_chip(job_chip: Chip, origin: Board, width: int, height: int) -> Chip:
    """A job's chip in the coordinates of its machine, a torus of `width` x `height` triads."""
    x, y = ethernet_chip(origin)
    return wrapped_chip((x + job_chip[0], y + job_chip[1]), width, height)


def job_chip(chip: Chip, origin: Board, width: int, height: int) -> Chip:
    """What :func:`machine_chip` undoes: a machine's chip as the job counts it.

    For jobs that wrap around wherever they span the machine, as all do on the Java server.
    """
    x, y = ethernet_chip(origin)
    return wrapped_chip((chip[0] - x, chip[1] - y), width, height)


def chip_in_job(chip: Chip, board: Board, origin: Board, dimensions: tuple[int, int]) -> Chip:
    """A machine's chip, which `board` holds, in the coordinates of the job that begins at `origin`.

    dimensions: the job's width and height in chips, at which its chips wrap around.
    """
    x, y = ethernet_chip_in_job(board, origin)
    on_board = chip_on_board(chip)
    return (x + on_board[0]) % dimensions[0], (y + on_board[1]) % dimensions[1]


def board_with_chip(
    chip: Chip, ethernet_chips: Iterable[Chip], dimensions: tuple[int, int]
) -> tuple[Chip, Chip] | None:
    """Which board of a job has a chip, and where.

    Args:
        chip: in the coordinates of the job.
        ethernet_chips: of the job's boards, in the same coordinates.
        dimensions: the job's width and height in chips, at which its chips wrap around.

    Returns:
        The board's Ethernet chip, and the chip counted from there; None for no chip of the job.
    """
    width, height = dimensions
    if not (0 <= chip[0] < width and 0 <= chip[1] < height):
        return None
    for x, y in ethernet_chips:
        on_board = (chip[0] - x) % width, (chip[1] - y) % height
        if on_board in BOARD_CHIPS:
            return (x, y), on_board
    return None


def hexagon_position(board: Board) -> tuple[int, int]:
    """The column and row at which a board's hexagon is drawn; rows count upwards."""
    x, y, z = board
    return 2 * x - y + (z == 1), 3 * y + z
