"""Which boards a job gets: what may be asked for, and where it fits.

Several boards come as a rectangle of whole triads. Single boards share triads
set aside for them. What can never fit is told by looking at the four corners
of the idle machine, as the Python server does.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.geometry import (
    BOARDS_PER_TRIAD,
    Board,
    Link,
    Wrap,
    boards_of_triads,
    job_dimensions,
    neighbour,
)
from spalloc_gevent.simulator.machine import Machine

Corner = tuple[int, int]
"""The column and row of a rectangle's lower left triad."""
Shape = tuple[int, int]
"""Width and height in triads."""

LIMITS = ("max_dead_boards", "max_dead_links", "require_torus", "min_ratio")


@dataclass(frozen=True)
class WantedBoards:
    """What a job asks for: a rectangle of triads, a number of boards, or a single board.

    `shape` is exact; `count` boards come in a rectangle that is square enough; without either it
    is one board, `board` or whichever is free. A limit of None is any number.
    """

    shape: Shape | None = None
    count: int | None = None
    board: Board | None = None
    max_dead_boards: int | None = None
    max_dead_links: int | None = None
    require_torus: bool = False
    min_ratio: float = 0.0

    @property
    def is_single(self) -> bool:
        """Whether it is for one board of a shared triad."""
        return self.shape is None and self.count is None


def request_from(args: Sequence[Any], kwargs: Mapping[str, Any]) -> WantedBoards:
    """The request in the arguments of ``create_job`` of the Python server.

    After three numbers the limits may follow by position. Raises TypeError or ValueError for
    what is no request.
    """
    limits = dict(zip(LIMITS, args[3:], strict=False))
    unknown = sorted(set(kwargs) - set(LIMITS) | set(limits) & set(kwargs))
    if unknown or len(args) > 3 + len(LIMITS):
        raise TypeError(f"create_job got arguments it cannot take: {', '.join(unknown) or args}")
    limits.update(kwargs)
    given = list(args[:3])
    if None in given:
        del given[given.index(None) :]
    if len(given) == 2:
        return WantedBoards(shape=(given[0], given[1]), **limits)
    if len(given) == 1 and given[0] != 1:
        return WantedBoards(count=given[0], **limits)
    if limits.get("require_torus"):
        raise ValueError("require_torus must be False when one board is asked for")
    board = (given[0], given[1], given[2]) if len(given) == 3 else None
    return WantedBoards(board=board, **limits)


@dataclass(frozen=True)
class Rectangle:
    """What a rectangle of triads offers: the boards in reach of its lower left one."""

    boards: frozenset[Board]
    wraps: Wrap = (False, False)
    dead_links: int = 0
    dead_wrap_links: int = 0


@dataclass(frozen=True)
class HeldBoards:
    """Boards given to a job, and how to give them back."""

    boards: frozenset[Board]
    wraps: Wrap
    corner: Corner
    shape: Shape | None
    """None for a single board of a shared triad."""

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in chips."""
        return job_dimensions(self.boards, self.wraps)


@functools.lru_cache(maxsize=4096)
def shapes_for(triads: int, width: int, height: int, min_ratio: float) -> tuple[Shape, ...]:
    """Rectangles of at least `triads` triads that fit into `width` x `height`, best first.

    The best is the one that the Python server takes on an idle machine, and if it
    finds none there is none. The others, for when that one has no room, waste as
    little as they can.

    Args:
        triads, width, height: how many are wanted, and the machine's size.
        min_ratio: shorter side by longer side, at least; one above 1.0 is taken the other way up.

    Raises:
        ValueError: `min_ratio` is negative.
    """
    if min_ratio < 0.0:
        raise ValueError("the aspect ratio cannot be negative")
    ratio = 1.0 / min_ratio if min_ratio > 1.0 else min_ratio
    # The most square rectangle without waste if it is square enough, else one that is.
    shorter = next(n for n in range(math.isqrt(triads), 0, -1) if triads % n == 0)
    longer = triads // shorter
    if shorter / longer < ratio:
        shorter = math.ceil(triads / math.sqrt(triads / ratio))
        longer = max(math.ceil(triads / shorter), shorter)
    # Turned across the machine's longer side, and squeezed into it.
    best = (shorter, longer) if width > height else (longer, shorter)
    if best[0] > width:
        best = (width, math.ceil(triads / width))
    elif best[1] > height:
        best = (math.ceil(triads / height), height)
    if squareness(best) < ratio:
        return ()
    shapes = {
        (max(math.ceil(triads / row), math.ceil(row * ratio)), row) for row in range(1, height + 1)
    }
    fitting = [shape for shape in shapes if shape[0] <= width and squareness(shape) >= ratio]
    fitting.sort(key=lambda shape: (math.prod(shape), abs(shape[0] - shape[1]), shape))
    return tuple(dict.fromkeys((best, *fitting)))


def squareness(shape: Shape) -> float:
    """Shorter side by longer side."""
    return min(shape) / max(shape)


class FreeTriads:
    """Which triads are free: a number for each column, whose bit y is the triad at y."""

    def __init__(self, width: int, height: int) -> None:
        self._columns = [(1 << height) - 1] * width
        self._count = width * height

    def corners(self, width: int, height: int) -> Iterator[Corner]:
        """The lower left corner of each free rectangle of that size, column by column."""
        if self._count < width * height:
            return
        for x in range(len(self._columns) - width + 1):
            # Rows free in all columns, then those from which `height` rows are free.
            rows = functools.reduce(int.__and__, self._columns[x : x + width])
            run = 1
            while rows and run < height:
                step = min(run, height - run)
                rows &= rows >> step
                run += step
            while rows:
                lowest = rows & -rows
                yield x, lowest.bit_length() - 1
                rows ^= lowest

    def is_free(self, x: int, y: int) -> bool:
        """Whether nobody has the triad."""
        return bool(self._columns[x] >> y & 1)

    def take(self, corner: Corner, shape: Shape) -> None:
        """Note that a free rectangle is somebody's."""
        self._flip(corner, shape)
        self._count -= math.prod(shape)

    def give_back(self, corner: Corner, shape: Shape) -> None:
        """Note that a rectangle is free again."""
        self._flip(corner, shape)
        self._count += math.prod(shape)

    def _flip(self, corner: Corner, shape: Shape) -> None:
        mask = ((1 << shape[1]) - 1) << corner[1]
        for x in range(corner[0], corner[0] + shape[0]):
            self._columns[x] ^= mask


class Placement:
    """The boards of one machine that are free, and those that jobs hold."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._free = FreeTriads(machine.width, machine.height)
        # Triads that single boards share, and which of their boards are left.
        self._shared: dict[Corner, set[int]] = {}
        self.frees = 0
        """How often boards came back: while this stands, what did not fit still does not."""
        self._rectangle = functools.lru_cache(maxsize=4096)(self._explored)

    def possible(self, request: WantedBoards) -> bool:
        """Whether the request fits into a corner of the machine when nobody else is there."""
        machine = self._machine
        if request.board is not None:
            x, y, z = request.board
            on_it = 0 <= x < machine.width and 0 <= y < machine.height
            return on_it and 0 <= z < BOARDS_PER_TRIAD and request.board not in machine.unusable
        if request.is_single:
            return len(machine.unusable) < machine.width * machine.height * BOARDS_PER_TRIAD
        return any(
            self._accepted((x, y), shape, request) is not None
            for shape in self._shapes(request)[:1]
            for x in {0, machine.width - shape[0]}
            for y in {0, machine.height - shape[1]}
        )

    def place(self, request: WantedBoards) -> HeldBoards | None:
        """Take boards that meet the request; None when there are none free now."""
        if request.is_single:
            return self._place_single(request.board)
        for shape in self._shapes(request):
            for corner in self._free.corners(*shape):
                rectangle = self._accepted(corner, shape, request)
                if rectangle is not None:
                    self._free.take(corner, shape)
                    return HeldBoards(rectangle.boards, rectangle.wraps, corner, shape)
        return None

    def free(self, held: HeldBoards) -> None:
        """Take boards back."""
        self.frees += 1
        if held.shape is not None:
            self._free.give_back(held.corner, held.shape)
            return
        left = self._shared.setdefault(held.corner, set())
        left.update(z for *_, z in held.boards)
        if left == self._living(held.corner):
            del self._shared[held.corner]
            self._free.give_back(held.corner, (1, 1))

    def _shapes(self, request: WantedBoards) -> tuple[Shape, ...]:
        """The rectangles that would do, best first."""
        width, height = self._machine.width, self._machine.height
        if request.shape is not None:
            fits = 0 < request.shape[0] <= width and 0 < request.shape[1] <= height
            is_torus = request.shape == (width, height) or not request.require_torus
            return (request.shape,) if fits and is_torus else ()
        assert request.count is not None
        triads = math.ceil(request.count / BOARDS_PER_TRIAD)
        if not 0 < triads <= width * height:
            return ()
        if request.require_torus and triads < width * height:
            return ()
        return shapes_for(triads, width, height, request.min_ratio)

    def _accepted(self, corner: Corner, shape: Shape, request: WantedBoards) -> Rectangle | None:
        found = self._rectangle(corner, shape)
        expected = request.count or math.prod(shape) * BOARDS_PER_TRIAD
        dead_boards = expected - len(found.boards)
        dead_links = found.dead_links + found.dead_wrap_links * bool(request.require_torus)
        accepted = (
            found.boards
            and (request.max_dead_boards is None or dead_boards <= request.max_dead_boards)
            and (request.max_dead_links is None or dead_links <= request.max_dead_links)
            and (any(found.wraps) or not request.require_torus)
        )
        return found if accepted else None

    def _explored(self, corner: Corner, shape: Shape) -> Rectangle:
        """The living boards that living links inside the rectangle join to its lower left one."""
        machine = self._machine
        inside = frozenset(boards_of_triads(*corner, *shape)) - machine.unusable
        if not machine.unusable and not machine.dead_links:
            return Rectangle(inside, (shape[0] == machine.width, shape[1] == machine.height))
        found = {(*corner, 0)} & inside
        to_visit = deque(found)
        wraps_x = wraps_y = False
        dead = {False: 0, True: 0}
        while to_visit:
            board = to_visit.popleft()
            for link in Link:
                there, _ = neighbour(board, link, machine.width, machine.height)
                if there in found or there not in inside:
                    continue
                if (*board, link) not in machine.dead_links:
                    found.add(there)
                    to_visit.append(there)
        for board in found:
            for link in Link:
                there, wrap = neighbour(board, link, machine.width, machine.height)
                if there in found:
                    wraps_x, wraps_y = wraps_x or wrap[0], wraps_y or wrap[1]
                    dead[any(wrap)] += (*board, link) in machine.dead_links
        return Rectangle(frozenset(found), (wraps_x, wraps_y), dead[False], dead[True])

    def _place_single(self, board: Board | None) -> HeldBoards | None:
        if board is None:
            # A shared triad that has one left, else a free one with a board that works.
            free = (corner for corner in self._free.corners(1, 1) if self._living(corner))
            corner = next(iter(self._shared), None) or next(free, None)
        else:
            corner = board[:2]
            if board[2] not in self._shared.get(corner, ()) and not self._free.is_free(*corner):
                return None
        if corner is None:
            return None
        if corner not in self._shared:
            self._free.take(corner, (1, 1))
            self._shared[corner] = self._living(corner)
        left = self._shared[corner]
        z = min(left) if board is None else board[2]
        left.remove(z)
        if not left:
            del self._shared[corner]
        return HeldBoards(frozenset({(*corner, z)}), (False, False), corner, None)

    def _living(self, corner: Corner) -> set[int]:
        return {z for z in range(BOARDS_PER_TRIAD) if (*corner, z) not in self._machine.unusable}
