"""Which boards a machine lacks, where its server does not tell: asked for board by board, and kept.

The Java server tells only of boards that are there and broken. What neither a job nor a list of
dead boards or links shows to be there is asked for by its position, at a pace that harms nobody.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from spalloc_gevent.address import bracketed
from spalloc_gevent.config import user_cache_folder
from spalloc_gevent.display.screen import Footer
from spalloc_gevent.display.terminal import Telling, is_terminal, printable
from spalloc_gevent.geometry import Board, boards_of_triads
from spalloc_gevent.scripts.listed_jobs import boards_of
from spalloc_gevent.scripts.whole_file import write_whole

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription, MachineDescription

FORMAT = 1
KEPT_FOR_S = 7 * 24 * 3600.0
INTERVAL_S = 0.01
"""At least so much time is between two questions."""
_BETWEEN_REPORTS = 10


class When(enum.Enum):
    """When a server is asked which boards there are."""

    UNKNOWN = "unless it was asked within a week"
    ANEW = "whatever is known"
    NEVER = "never, whatever is known"


class Surveyed(NamedTuple):
    """A machine whose absent boards are among its dead ones, as far as they are known."""

    machine: MachineDescription
    is_complete: bool
    """False if boards may be absent that count as there."""


class BoardSurvey:
    """Finds the absent boards of machines, and remembers them.

    Only its first use asks the server: what comes later, while somebody watches, is to be quick.
    """

    def __init__(
        self,
        when: When = When.UNKNOWN,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._when = when
        self._clock = clock
        self._sleep = sleep
        self._asked_at = -INTERVAL_S
        self._may_ask = when is not When.NEVER
        self._absent: dict[str, set[Board]] = {}

    def complete(
        self,
        client: ProtocolClient,
        machines: Iterable[MachineDescription],
        jobs: Sequence[JobDescription],
    ) -> list[Surveyed]:
        """The machines with all that can be known of their absent boards."""
        if client.server_kind.tells_absent_boards:
            return [Surveyed(machine, True) for machine in machines]
        surveyed = [self._surveyed(client, machine, jobs) for machine in machines]
        self._may_ask = False
        return surveyed

    def _surveyed(
        self,
        client: ProtocolClient,
        machine: MachineDescription,
        jobs: Sequence[JobDescription],
    ) -> Surveyed:
        if self._when is When.NEVER:
            return Surveyed(machine, False)
        there = _boards_that_show(machine, jobs)
        absent = self._find(client, machine, there)
        if absent is None:
            return Surveyed(machine, False)
        dead = [*machine["dead_boards"], *map(list, sorted(absent - there))]
        return Surveyed({**machine, "dead_boards": dead}, True)

    def _find(
        self, client: ProtocolClient, machine: MachineDescription, there: set[Board]
    ) -> set[Board] | None:
        """The machine's absent boards, if they are known or may be asked for."""
        session = client.shared_session
        server = f"{bracketed(session.host)}:{session.port}"
        key = json.dumps([server, machine["name"], machine["width"], machine["height"]])
        if key not in self._absent and self._when is not When.ANEW:
            self._absent.update(_kept(key))
        if key not in self._absent and self._may_ask:
            self._absent[key] = self._ask(client, machine, there)
            _keep(key, self._absent[key])
        return self._absent.get(key)

    def _ask(
        self, client: ProtocolClient, machine: MachineDescription, there: set[Board]
    ) -> set[Board]:
        name, absent = machine["name"], set()
        asked = [board for board in _boards_of(machine) if board not in there]
        with _progress(name, len(asked)) as report:
            for number, board in enumerate(asked):
                report(number)
                self._wait_for_turn()
                if client.get_board_position(name, *board) is None:
                    absent.add(board)
        return absent

    def _wait_for_turn(self) -> None:
        wait_s = self._asked_at + INTERVAL_S - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)
        self._asked_at = self._clock()


def _boards_of(machine: MachineDescription) -> Iterable[Board]:
    return boards_of_triads(0, 0, machine["width"], machine["height"])


def _boards_that_show(machine: MachineDescription, jobs: Sequence[JobDescription]) -> set[Board]:
    """Those that are there, dead or alive, because something is told of them."""
    held = (boards_of(job) for job in jobs if job["allocated_machine_name"] == machine["name"])
    told = (*machine["dead_boards"], *machine["dead_links"])
    return {board for boards in held for board in boards} | {(x, y, z) for x, y, z, *_ in told}


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to report the number of boards asked for, to who sits at a terminal."""
    if not total or not is_terminal(sys.stderr):
        yield lambda _: None
        return
    footer, telling = Footer(sys.stderr), Telling()

    def report(number: int) -> None:
        if number % _BETWEEN_REPORTS == 0:
            line = f"asking which boards {printable(name)} has: {number:,} of {total:,}"
            telling(lambda: footer.draw([line]))

    try:
        yield report
    finally:
        telling(footer.clear)


# ----------------------------------------------------------------- kept for a week


def _path(key: str) -> str | None:
    # Only needed on a server that does not tell.
    from hashlib import sha256

    folder = user_cache_folder()
    name = sha256(key.encode()).hexdigest()[:24]
    return None if folder is None else os.path.join(folder, "absent-boards", f"{name}.json")


def _kept(key: str) -> dict[str, set[Board]]:
    """What is kept of a machine; nothing if it is too old, or nothing that this program wrote."""
    path = _path(key)
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            kept = json.load(file)
        fresh = 0 <= time.time() - kept["time"] < KEPT_FOR_S
        if fresh and (kept["format"], kept["key"]) == (FORMAT, key):
            return {key: {(int(x), int(y), int(z)) for x, y, z in kept["absent"]}}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {}


def _keep(key: str, absent: set[Board]) -> None:
    path = _path(key)
    if path is None:
        return
    content = {"format": FORMAT, "time": time.time(), "key": key, "absent": sorted(absent)}
    # Whoever cannot keep it asks again next time.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, json.dumps(content).encode("ascii"))
