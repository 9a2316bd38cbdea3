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
Shape = tuple[int, int]
"""Width and height in triads."""

_LIMIT_NAMES = ("max_dead_boards", "max_dead_links", "require_torus", "min_ratio")


@dataclass(frozen=True)
class Limits:
    """What a rectangle must offer; None means any number."""

    max_dead_boards: int | None = None
    max_dead_links: int | None = None
    require_torus: bool = False
    min_ratio: float = 0.0


@dataclass(frozen=True)
class OneBoard:
    """A single board; None means whichever is free."""

    board: Board | None = None


@dataclass(frozen=True)
class SomeBoards:
    """At least `count` boards, in a rectangle that is square enough."""

    count: int


@dataclass(frozen=True)
class Triads:
    """A rectangle of exactly this many triads."""

    width: int
    height: int


@dataclass(frozen=True)
class Request:
    """One job's wish."""

    wanted: OneBoard | SomeBoards | Triads
    limits: Limits


@dataclass(frozen=True)
class Block:
    """What a rectangle of triads offers: the boards in reach of its lower left one."""

    boards: frozenset[Board]
    wraps: Wrap = (False, False)
    dead_links: int = 0
    dead_wrap_links: int = 0


@dataclass(frozen=True)
class Allocation:
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


def request_from(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
    """The wish in the arguments of ``create_job``; TypeError or ValueError if there is none.

    After three numbers the limits may follow by position, as on the Python server.
    """
    given = [*args[:3]]
    named = dict(zip(_LIMIT_NAMES, args[3:], strict=False))
    unknown = sorted(set(kwargs) - set(_LIMIT_NAMES) | set(named) & set(kwargs))
    if unknown or len(args) > 3 + len(_LIMIT_NAMES):
        raise TypeError(f"create_job got arguments it cannot take: {', '.join(unknown) or args}")
    limits = Limits(**named, **kwargs)
    return Request(_wanted(_up_to_none(given), limits), limits)


def _up_to_none(given: list[Any]) -> list[Any]:
    return given[: given.index(None)] if None in given else given


def _wanted(given: list[Any], limits: Limits) -> OneBoard | SomeBoards | Triads:
    if len(given) == 2:
        return Triads(*given)
    if len(given) == 1 and given[0] != 1:
        return SomeBoards(given[0])
    if limits.require_torus:
        raise ValueError("require_torus must be False when one board is asked for")
    return (
        OneBoard((given[0], given[1], given[2]) if given else None)
        if len(given) != 1
        else (OneBoard())
    )


@functools.lru_cache(maxsize=4096)
def shapes_for(triads: int, width: int, height: int, min_ratio: float) -> tuple[Shape, ...]:
    """Rectangles of at least `triads` triads that fit into `width` x `height`, best first.

    The best is the one that the Python server takes on an idle machine, and if it
    finds none there is none. The others, for when that one has no room, waste as
    little as they can. min_ratio: shorter side by longer side, at least; one above
    1.0 is taken the other way up.
    """
    if min_ratio < 0.0:
        raise ValueError("the aspect ratio cannot be negative")
    ratio = 1.0 / min_ratio if min_ratio > 1.0 else min_ratio
    best = _best_shape(triads, width, height, ratio)
    if _squareness(best) < ratio:
        return ()
    candidates = {(_least_width(triads, h, ratio), h) for h in range(1, height + 1)}
    fitting = [shape for shape in candidates if shape[0] <= width and _squareness(shape) >= ratio]
    others = sorted(fitting, key=lambda s: (s[0] * s[1], abs(s[0] - s[1]), s))
    return tuple(dict.fromkeys((best, *others)))


def _best_shape(triads: int, width: int, height: int, ratio: float) -> Shape:
    """What is wanted, turned across the machine's longer side, and squeezed into it."""
    longer, shorter = _wanted_shape(triads, ratio)
    w, h = (shorter, longer) if width > height else (longer, shorter)
    if w > width:
        return width, math.ceil(triads / width)
    if h > height:
        return math.ceil(triads / height), height
    return w, h


def _wanted_shape(triads: int, ratio: float) -> Shape:
    """The most square rectangle without waste if it is square enough, else one that is."""
    shorter = next(n for n in range(math.isqrt(triads), 0, -1) if triads % n == 0)
    if shorter / (triads // shorter) >= ratio:
        return triads // shorter, shorter
    shorter = math.ceil(triads / math.sqrt(triads / ratio))
    return max(math.ceil(triads / shorter), shorter), shorter


def _squareness(shape: Shape) -> float:
    return min(shape) / max(shape)


def _least_width(triads: int, height: int, ratio: float) -> int:
    return max(math.ceil(triads / height), math.ceil(height * ratio))


class FreeTriads:
    """Which triads are free: a number for each column, whose bit y is the triad at y."""

    def __init__(self, width: int, height: int) -> None:
        self._columns = [(1 << height) - 1] * width
        self.count = width * height

    def corners(self, width: int, height: int) -> Iterator[Corner]:
        """The lower left corner of each free rectangle of that size, column by column."""
        if self.count < width * height:
            return
        for x in range(len(self._columns) - width + 1):
            for y in _bits(self._starts(x, width, height)):
                yield x, y

    def _starts(self, x: int, width: int, height: int) -> int:
        free = functools.reduce(int.__and__, self._columns[x : x + width])
        run = 1
        while free and run < height:
            step = min(run, height - run)
            free &= free >> step
            run += step
        return free

    def is_free(self, x: int, y: int) -> bool:
        return bool(self._columns[x] >> y & 1)

    def take(self, corner: Corner, shape: Shape) -> None:
        self._flip(corner, shape)
        self.count -= shape[0] * shape[1]

    def give_back(self, corner: Corner, shape: Shape) -> None:
        self._flip(corner, shape)
        self.count += shape[0] * shape[1]

    def _flip(self, corner: Corner, shape: Shape) -> None:
        mask = ((1 << shape[1]) - 1) << corner[1]
        for x in range(corner[0], corner[0] + shape[0]):
            self._columns[x] ^= mask


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


class Placement:
    """The boards of one machine that are free, and those that jobs hold."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._free = FreeTriads(machine.width, machine.height)
        # Triads that single boards share, and which of their boards are left.
        self._open: dict[Corner, set[int]] = {}
        self._frees = 0
        self._block = functools.lru_cache(maxsize=4096)(self._explored)

    @property
    def frees(self) -> int:
        """How often boards came back: while this stands, what did not fit still does not."""
        return self._frees

    def possible(self, request: Request) -> bool:
        """Whether the request fits into a corner of the machine when nobody else is there."""
        if isinstance(request.wanted, OneBoard):
            return self._board_possible(request.wanted.board)
        return any(
            self._accepted((x, y), shape, request) is not None
            for shape in self._shapes(request)[:1]
            for x in {0, self._machine.width - shape[0]}
            for y in {0, self._machine.height - shape[1]}
        )

    def _board_possible(self, board: Board | None) -> bool:
        machine = self._machine
        if board is None:
            return len(machine.unusable) < machine.width * machine.height * BOARDS_PER_TRIAD
        x, y, z = board
        on_it = 0 <= x < machine.width and 0 <= y < machine.height and 0 <= z < BOARDS_PER_TRIAD
        return on_it and board not in machine.unusable

    def place(self, request: Request) -> Allocation | None:
        """Take boards that meet the request; None when there are none free now."""
        if isinstance(request.wanted, OneBoard):
            return self._place_board(request.wanted.board)
        for shape in self._shapes(request):
            for corner in self._free.corners(*shape):
                block = self._accepted(corner, shape, request)
                if block is not None:
                    self._free.take(corner, shape)
                    return Allocation(block.boards, block.wraps, corner, shape)
        return None

    def _shapes(self, request: Request) -> tuple[Shape, ...]:
        """The rectangles that would do, best first."""
        machine, wanted = self._machine, request.wanted
        if isinstance(wanted, Triads):
            return self._whole_shape(wanted, request.limits)
        assert isinstance(wanted, SomeBoards)
        triads = math.ceil(wanted.count / BOARDS_PER_TRIAD)
        everything = machine.width * machine.height
        if not 0 < triads <= everything or (request.limits.require_torus and triads < everything):
            return ()
        return shapes_for(triads, machine.width, machine.height, request.limits.min_ratio)

    def _whole_shape(self, wanted: Triads, limits: Limits) -> tuple[Shape, ...]:
        size = (self._machine.width, self._machine.height)
        fits = 0 < wanted.width <= size[0] and 0 < wanted.height <= size[1]
        shape = (wanted.width, wanted.height)
        return (shape,) if fits and (shape == size or not limits.require_torus) else ()

    def _accepted(self, corner: Corner, shape: Shape, request: Request) -> Block | None:
        block, limits = self._block(corner, shape), request.limits
        wanted = request.wanted
        expected = wanted.count if isinstance(wanted, SomeBoards) else math.prod(shape) * 3
        dead_links = block.dead_links + block.dead_wrap_links * bool(limits.require_torus)
        accepted = (
            block.boards
            and _within(expected - len(block.boards), limits.max_dead_boards)
            and _within(dead_links, limits.max_dead_links)
            and (any(block.wraps) or not limits.require_torus)
        )
        return block if accepted else None

    def _explored(self, corner: Corner, shape: Shape) -> Block:
        machine = self._machine
        if not machine.unusable and not machine.dead_links:
            wraps = (shape[0] == machine.width, shape[1] == machine.height)
            return Block(frozenset(boards_of_triads(*corner, *shape)), wraps)
        return self._classified(self._reachable(corner, shape))

    def _reachable(self, corner: Corner, shape: Shape) -> frozenset[Board]:
        """The living boards that living links inside the rectangle join to its lower left one."""
        machine = self._machine
        inside = frozenset(boards_of_triads(*corner, *shape)) - machine.unusable
        first = (*corner, 0)
        found = {first} & inside
        to_visit = deque(found)
        while to_visit:
            board = to_visit.popleft()
            near = {there for link, there, _ in self._links_of(board)
                    if (*board, link) not in machine.dead_links}  # fmt: skip
            to_visit.extend(new := near & inside - found)
            found |= new
        return frozenset(found)

    def _links_of(self, board: Board) -> Iterator[tuple[Link, Board, Wrap]]:
        for link in Link:
            yield link, *neighbour(board, link, self._machine.width, self._machine.height)

    def _classified(self, boards: frozenset[Board]) -> Block:
        wraps_x = wraps_y = False
        dead = {False: 0, True: 0}
        for board in boards:
            for link, there, wrap in self._links_of(board):
                if there in boards:
                    wraps_x, wraps_y = wraps_x or wrap[0], wraps_y or wrap[1]
                    dead[any(wrap)] += (*board, link) in self._machine.dead_links
        return Block(boards, (wraps_x, wraps_y), dead[False], dead[True])

    def _place_board(self, board: Board | None) -> Allocation | None:
        corner = self._open_triad() if board is None else self._open_triad_of(board)
        if corner is None:
            return None
        left = self._open[corner]
        z = min(left) if board is None else board[2]
        left.remove(z)
        if not left:
            del self._open[corner]
        return Allocation(frozenset({(*corner, z)}), (False, False), corner, None)

    def _open_triad(self) -> Corner | None:
        """A triad that single boards share and that has one left; None when none can be had."""
        for corner in self._open:
            return corner
        for corner in self._free.corners(1, 1):
            if self._living(corner):
                return self._share(corner)
        return None

    def _open_triad_of(self, board: Board) -> Corner | None:
        x, y, z = board
        if z in self._open.get((x, y), ()):
            return x, y
        return self._share((x, y)) if self._free.is_free(x, y) else None

    def _share(self, corner: Corner) -> Corner:
        self._free.take(corner, (1, 1))
        self._open[corner] = self._living(corner)
        return corner

    def _living(self, corner: Corner) -> set[int]:
        dead = self._machine.unusable
        return {z for *_, z in boards_of_triads(*corner) if (*corner, z) not in dead}

    def free(self, allocation: Allocation) -> None:
        """Take boards back."""
        self._frees += 1
        if allocation.shape is not None:
            self._free.give_back(allocation.corner, allocation.shape)
            return
        left = self._open.setdefault(allocation.corner, set())
        left.update(z for *_, z in allocation.boards)
        if left == self._living(allocation.corner):
            del self._open[allocation.corner]
            self._free.give_back(allocation.corner, (1, 1))


def _within(number: int, limit: int | None) -> bool:
    return limit is None or number <= limit
