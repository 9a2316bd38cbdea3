"""What a simulated machine is made of: boards, where they sit, what they are called."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from spalloc_gevent.geometry import (
    BOARDS_PER_TRIAD,
    LINKS_CLOCKWISE,
    Board,
    BoardLink,
    Link,
    boards_of_triads,
    ends_of_link,
)
from spalloc_gevent.wire.checks import as_int, make_plain

Place = tuple[int, int, int]
"""A board's physical place: cabinet, frame, board."""

BOARDS_PER_FRAME = 24
FRAMES_PER_CABINET = 5
MOST_BOARDS = BOARDS_PER_FRAME * 2048
MOST_MACHINES = 254


@dataclass(frozen=True)
class MachineSpec:
    """A machine of `width` x `height` triads, three boards each.

    Args:
        name: what it is called; two of a server have different ones.
        tags: what jobs may ask it to have.
        dead_boards: (x, y, z) of each board that does not work.
        absent: (x, y, z) of each board that was never there: the Java server does not tell of
            it, the Python server counts it among the dead ones.
        dead_links: (x, y, z, link) of each link that does not work; a link that is
            dead both ways stands there twice, once from either end.

    Raises:
        TypeError, ValueError: a size, board or link cannot be.
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
        make_plain(self, as_int, "width", "height")
        for number in (self.width, self.height):
            if number < 1:
                raise ValueError(f"machine {self.name!r} needs at least 1 triad, not {number!r}")
        if self.boards > MOST_BOARDS:
            raise ValueError(
                f"machine {self.name!r} would have {self.boards} boards; at most {MOST_BOARDS}"
            )
        named = [(board, f"dead board {tuple(board)}") for board in self.dead_boards]
        named += [(board, f"absent board {tuple(board)}") for board in self.absent]
        for x, y, z, link in self.dead_links:
            if link not in tuple(Link):
                raise ValueError(f"dead link {(x, y, z, link)}: links are numbered 0 to 5")
            named.append(((x, y, z), f"dead link {(x, y, z, int(link))}"))
        for (x, y, z), what in named:
            if not (0 <= x < self.width and 0 <= y < self.height and 0 <= z < BOARDS_PER_TRIAD):
                raise ValueError(
                    f"{what} is not on machine {self.name!r} of {self.width} x {self.height} triads"
                )

    @property
    def boards(self) -> int:
        """How many boards there are, the dead and the absent ones too."""
        return self.width * self.height * BOARDS_PER_TRIAD


class Machine:
    """A machine's unchanging facts, looked up in constant time."""

    def __init__(self, spec: MachineSpec, number: int = 0, *, java: bool = False) -> None:
        """Lay out the boards.

        Args:
            spec: what it is made of.
            number: which of the server's machines it is, from 0; its hostnames hold it.
            java: as the Java server has it: numbered by rows, dead boards have places, absent
                ones are not told of, and a dead link is told from both its ends.
        """
        self.name, self.width, self.height = spec.name, spec.width, spec.height
        self.tags = frozenset(spec.tags)
        absent = frozenset((x, y, z) for x, y, z in spec.absent)
        dead = frozenset((x, y, z) for x, y, z in spec.dead_boards)
        self.unusable = dead | absent
        """The boards that no job gets."""
        self._told_dead = dead if java else self.unusable
        self._java = java
        self._number = number
        boards = list(boards_of_triads(0, 0, spec.width, spec.height))
        if java:
            boards.sort(key=lambda board: (board[1], board[0], board[2]))
        # Frames and cabinets fill up in this order; the slot of one that is left out stays empty.
        left_out = absent if java else self.unusable
        self.places = {
            board: (
                *divmod(index // BOARDS_PER_FRAME, FRAMES_PER_CABINET),
                index % BOARDS_PER_FRAME,
            )
            for index, board in enumerate(boards)
            if board not in left_out
        }
        """The cabinet, frame and slot of each board that has one."""
        self.boards = {place: board for board, place in self.places.items()}
        """The board at each place."""
        links = {(x, y, z, Link(n)) for x, y, z, n in spec.dead_links}
        if java:
            links |= {(*board, link) for board in dead for link in Link}
            links = {end for link in links for end in self._both_ends(link)}
        self.dead_links = frozenset(links)

    def _both_ends(self, link: BoardLink) -> list[tuple[int, int, int, Link]]:
        """None of a link that leads to where no board ever was."""
        ends = ends_of_link(link, (self.width, self.height))
        known = all(board in self.places for board, _ in ends)
        return [(*board, down) for board, down in ends] if known else []

    def hostname_of(self, board: Board) -> str:
        """The made-up address of a board: one of the loopback's own, where nobody listens.

        Python: 127.{machine from 1}.{frame and slot, two bytes}. Java: as in tests/recordings,
        but for the first number.
        """
        cabinet, frame, slot = self.places[board]
        frame += cabinet * FRAMES_PER_CABINET
        if self._java:
            over, frame = divmod(frame, 256)
            return f"127.{(self._number + 10) % 254 + 1}.{frame}.{8 * slot + 1 + over}"
        high, low = divmod(frame * 32 + slot + 1, 256)
        return f"127.{self._number + 1}.{high}.{low}"

    def described(self) -> dict[str, object]:
        """The machine as ``list_machines`` tells it."""
        numbered = LINKS_CLOCKWISE if self._java else tuple(Link)
        return {
            "name": self.name,
            "tags": sorted(self.tags),
            "width": self.width,
            "height": self.height,
            "dead_boards": sorted(self._told_dead),
            "dead_links": sorted(
                [x, y, z, numbered.index(link)] for x, y, z, link in self.dead_links
            ),
        }
