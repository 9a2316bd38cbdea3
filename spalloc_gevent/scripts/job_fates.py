"""``spalloc-job --fate``: what became of the allocations that a ledger tells of."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from spalloc_gevent.display.tables import Cell, Column, Table
from spalloc_gevent.display.terminal import Colour, Paint, Style, printable
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.ledger import Board, Entered, JobOutcome, read_ledger, used_board
from spalloc_gevent.scripts.administration import local_time, state_name
from spalloc_gevent.scripts.common import CommandError, ExitCode, usage_message, warn
from spalloc_gevent.scripts.presenting import show_data
from spalloc_gevent.scripts.views import Shown
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription

STILL_HELD = "held"
NOT_KNOWN = "not known"


class Found(NamedTuple):
    """One allocation and its fate: a :class:`JobOutcome`'s value, "held" or "not known"."""

    entered: Entered
    fate: str
    why: str | None


def show_fates(prog: str, arguments: argparse.Namespace) -> int:
    """What the ledger tells, and for what it leaves open, what the servers named in it tell."""
    entered = _read(prog, arguments.fate, Colour(arguments.color))
    if arguments.board is not None:
        entered = used_board(entered, *arguments.board)
    found = list(_fates(entered, arguments.timeout))
    return show_data(FatesPage(), time.time(), found, arguments)


def _read(prog: str, path: str, colour: Colour) -> list[Entered]:
    try:
        with open(path, "rb") as lines:
            entered, strange = read_ledger(lines)
    except OSError as error:
        message = f"the ledger {path!r} cannot be read: {error.strerror}"
        raise CommandError(usage_message(prog, message), ExitCode.USAGE) from None
    if strange:
        told = "1 line is" if strange == 1 else f"{strange} lines are"
        warn(f"{prog}: warning: {told} no part of a ledger, and passed over", colour=colour)
    return entered


# -- what the servers know -------------------------------------------------------


def _fates(entered: Sequence[Entered], timeout_s: float | None) -> Iterator[Found]:
    open_ones = [one for one in entered if one.fate is None]
    by_server: dict[str, list[Entered]] = {}
    for one in open_ones:
        by_server.setdefault(one.server, []).append(one)
    told = {
        found.entered.entry: found
        for server, ones in by_server.items()
        for found in _asked(server, ones, timeout_s)
    }
    for one in entered:
        yield told[one.entry] if one.fate is None else Found(one, one.fate, one.reason)


def _asked(server: str, ones: Sequence[Entered], timeout_s: float | None) -> list[Found]:
    # Not needed where the ledger knows it all.
    from spalloc_gevent.client import ProtocolClient

    host, _, port = server.rpartition(":")
    try:
        with closing(ProtocolClient(host, port, call_timeout=timeout_s).open()) as client:
            listed = {job["job_id"]: job for job in client.list_jobs()}
            return [_told(client, one, listed) for one in ones]
    except (SpallocError, ValueError) as error:
        return [Found(one, NOT_KNOWN, f"the server cannot be asked: {error}") for one in ones]


def _told(client: ProtocolClient, one: Entered, listed: Mapping[int, JobDescription]) -> Found:
    job = listed.get(one.job_id)
    if job is not None:
        if _is_same(one, job):
            return Found(one, STILL_HELD, f"it is {state_name(job['state'])}")
        return Found(one, JobOutcome.LOST.value, "its number is another job's now")
    # It lives no more: asking keeps nothing alive.
    state = client.get_job_state(one.job_id)
    if state["state"] == JobState.destroyed:
        return Found(one, JobOutcome.DESTROYED.value, state["reason"])
    return Found(one, JobOutcome.LOST.value, "the server does not know it any more")


def _is_same(one: Entered, job: JobDescription) -> bool:
    if one.start_time is not None:
        return job["start_time"] == one.start_time
    return one.owner is None or job["owner"] == one.owner


# -- the page ----------------------------------------------------------------------


def board_of_machine(text: str) -> tuple[str, Board]:
    """``MACHINE:X,Y,Z`` as --board takes it."""
    machine, _, place = text.rpartition(":")
    try:
        x, y, z = map(int, place.split(","))
    except ValueError:
        machine = ""
    if not machine:
        raise argparse.ArgumentTypeError(f"{text!r} is no board: give MACHINE:X,Y,Z")
    return machine, (x, y, z)


_MOST_LISTED = 3
_FINE = {JobOutcome.GIVEN_BACK.value: Style.GREEN, STILL_HELD: Style.BLUE}


def _boards(found: Found) -> str:
    boards = found.entered.boards
    listed = " ".join("({},{},{})".format(*board) for board in boards[:_MOST_LISTED])
    more = len(boards) - _MOST_LISTED
    return f"{listed} and {more} more" if more > 0 else listed


def _why(found: Found) -> str:
    return printable(found.why or "")


COLUMNS: tuple[Column[Found], ...] = (
    Column(
        "id",
        "ID",
        lambda found: Cell(str(found.entered.job_id)),
        lambda found: found.entered.job_id,
        is_number=True,
    ),
    Column(
        "label",
        "Label",
        lambda found: Cell(printable(found.entered.label or "")),
        lambda found: found.entered.label,
    ),
    Column(
        "asked",
        "Asked at",
        lambda found: Cell(local_time(found.entered.asked_at)),
        lambda found: found.entered.asked_at,
    ),
    Column(
        "machine",
        "Machine",
        lambda found: Cell(printable(found.entered.machine or "")),
        lambda found: found.entered.machine,
    ),
    Column("boards", "Boards", lambda found: Cell(_boards(found)), _boards),
    Column(
        "fate",
        "Fate",
        lambda found: Cell(printable(found.fate), (_FINE.get(found.fate, Style.RED),)),
        lambda found: found.fate,
    ),
    Column("why", "Why", lambda found: Cell(_why(found)), lambda found: found.why),
)


class FatesPage(Shown[list[Found]]):
    """One line an allocation, in the order of asking."""

    def page(self, data: list[Found], paint: Paint, _columns: int | None, /) -> Table[Found]:
        return Table(COLUMNS, data, paint)

    def document(self, data: list[Found]) -> dict[str, object]:
        return {"allocations": [_document(found) for found in data]}


def _document(found: Found) -> dict[str, object]:
    one = found.entered
    return {
        "entry": one.entry,
        "server": one.server,
        "job_id": one.job_id,
        "owner": one.owner,
        "label": one.label,
        "what": None if one.what is None else list(one.what),
        "asked_at": one.asked_at,
        "granted_at": one.granted_at,
        "ended_at": one.ended_at,
        "start_time": one.start_time,
        "machine": one.machine,
        "boards": [list(board) for board in one.boards],
        "fate": found.fate,
        "why": found.why,
    }
