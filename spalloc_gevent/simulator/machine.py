"""What a simulated machine is made of: boards, where they sit, what they are called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from spalloc_gevent.geometry import BOARDS_PER_TRIAD, Board, Link, boards_of_triads
from spalloc_gevent.wire.checks import as_int, make_plain

Place = tuple[int, int, int]
"""A board's physical place: cabinet, frame, board."""

BoardLink = tuple[int, int, int, int]
"""A board's x, y, z and the number of one of its links."""

BOARDS_PER_FRAME = 24
FRAMES_PER_CABINET = 5
MOST_BOARDS = BOARDS_PER_FRAME * 2048
MOST_MACHINES = 254


@dataclass(frozen=True)
class MachineSpec:
    """A machine of `width` x `height` triads, three boards each.

    name: what it is called; two of a server have different ones.
    tags: what jobs may ask it to have.
    dead_boards: (x, y, z) of each board that does not work.
    absent: (x, y, z) of each board that was never there: the Java server does not tell of it,
    the Python server counts it among the dead ones.
    dead_links: (x, y, z, link) of each link that does not work; a link that is
    dead both ways stands there twice, once from either end.

    Raises TypeError or ValueError for a size, board or link that cannot be.
    """

    name: str = "m"
    width: int = 4
    height: int = 2
    tags: Collection[str] = ("default",)
    dead_boards: Collection[Board] = ()
    dead_links: Collection[BoardLink] = ()
    absent: Collection[Board] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a machine needs a name, not {self.name!r}")
        self._check_size()
        for board in self.dead_boards:
            self._check_board(board, f"dead board {tuple(board)}")
        for board in self.absent:
            self._check_board(board, f"absent board {tuple(board)}")
        for x, y, z, link in self.dead_links:
            self._check_board((x, y, z), f"dead link {(x, y, z, int(link))}")
            if link not in tuple(Link):
                raise ValueError(f"dead link {(x, y, z, link)}: links are numbered 0 to 5")

    def _check_size(self) -> None:
        make_plain(self, as_int, "width", "height")
        for number in (self.width, self.height):
            if number < 1:
                raise ValueError(f"machine {self.name!r} needs at least 1 triad, not {number!r}")
        if self.boards > MOST_BOARDS:
            raise ValueError(
                f"machine {self.name!r} would have {self.boards} boards; at most {MOST_BOARDS}"
            )

    def _check_board(self, board: Board, what: str) -> None:
        x, y, z = board
        if not (0 <= x < self.width and 0 <= y < self.height and 0 <= z < BOARDS_PER_TRIAD):
            raise ValueError(
                f"{what} is not on machine {self.name!r} of {self.width} x {self.height} triads"
            )

    @property
    def boards(self) -> int:
        """How many boards there are, the dead and the absent ones too."""
        return self.width * self.height * BOARDS_PER_TRIAD


class Machine:
    """A machine's unchanging facts, looked up in constant time.

    number: which of the server's machines it is, from 0; its hostnames hold it.
    """

    def __init__(self, spec: MachineSpec, number: int = 0) -> None:
        self.name = spec.name
        self.width = spec.width
        self.height = spec.height
        self.tags = frozenset(spec.tags)
        self.unusable = frozenset((x, y, z) for x, y, z in (*spec.dead_boards, *spec.absent))
        """The boards that no job gets."""
        self.dead_links = frozenset((x, y, z, Link(n)) for x, y, z, n in spec.dead_links)
        self._places = self._placed(spec)
        self._boards = {place: board for board, place in self._places.items()}
        self._number = number

    def _placed(self, spec: MachineSpec) -> Mapping[Board, Place]:
        """Frames and cabinets fill up in the order of x, y, z; a dead board's slot stays empty."""
        every = boards_of_triads(0, 0, spec.width, spec.height)
        return placed(every, self.unusable)

    def place_of(self, board: Board) -> Place | None:
        """The cabinet, frame and board; None for a dead board or none at all."""
        return self._places.get(board)

    def board_at(self, place: Place) -> Board | None:
        return self._boards.get(place)

    def hostname_of(self, board: Board) -> str:
        """The made-up address of a living board: one of the loopback's own, where nobody listens.

        127.{machine from 1}.{frame and board, two bytes}.
        """
        cabinet, frame, slot = self._places[board]
        index = (cabinet * FRAMES_PER_CABINET + frame) * 32 + slot + 1
        return f"127.{self._number + 1}.{index >> 8}.{index & 255}"

    def described(self) -> dict[str, object]:
        """The machine as ``list_machines`` tells it."""
        return {
            "name": self.name,
            "tags": sorted(self.tags),
            "width": self.width,
            "height": self.height,
            "dead_boards": sorted(self.unusable),
            "dead_links": [[x, y, z, int(link)] for x, y, z, link in sorted(self.dead_links)],
        }


def placed(boards: Iterable[Board], left_out: Collection[Board]) -> Mapping[Board, Place]:
    """The physical places of boards in this order; those left out leave theirs empty."""
    return {board: _place(index) for index, board in enumerate(boards) if board not in left_out}


def _place(index: int) -> Place:
    frame, slot = divmod(index, BOARDS_PER_FRAME)
    cabinet, frame = divmod(frame, FRAMES_PER_CABINET)
    return cabinet, frame, slot
