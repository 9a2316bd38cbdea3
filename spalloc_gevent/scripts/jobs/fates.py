"""``spalloc-job --fate``: what became of the allocations that a ledger tells of."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from spalloc_gevent.display.tables import Cell, Column, Table
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.ledger import Board, Entered, JobOutcome, read_ledger, used_board
from spalloc_gevent.scripts.common import CommandError, ExitCode, usage_message, warn
from spalloc_gevent.scripts.listed_jobs import local_time, state_name, value_column
from spalloc_gevent.scripts.views import Shown, show_data
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


def show_fates(options: argparse.Namespace) -> int:
    """What the ledger tells, and for what it leaves open, what the servers named in it tell."""
    path = options.fate
    try:
        with open(path, "rb") as lines:
            entered, strange = read_ledger(lines)
    except OSError as error:
        trouble = f"the ledger {path!r} cannot be read: {error.strerror}"
        raise CommandError(usage_message(options.prog, trouble), ExitCode.USAGE) from None
    if strange:
        told = (
            "1 line that is not a ledger entry"
            if strange == 1
            else f"{strange} lines that are not ledger entries"
        )
        message = f"{options.prog}: warning: ignored {told}"
        warn(message, colour=options.colour)
    if options.board is not None:
        entered = used_board(entered, *options.board)
    return show_data(FatesPage(), time.time(), fates_of(entered, options.timeout), options)


# -- what the servers know -------------------------------------------------------


def fates_of(entered: Sequence[Entered], timeout_s: float | None) -> list[Found]:
    """What became of each, in their order."""
    open_ones = [one for one in entered if one.fate is None]
    found = {one.entry: Found(one, one.fate, one.reason) for one in entered if one.fate is not None}
    for server in dict.fromkeys(one.server for one in open_ones):
        ones = [one for one in open_ones if one.server == server]
        try:
            told = ask(server, ones, timeout_s)
        except (SpallocError, ValueError) as error:
            why = f"the server cannot be asked: {error}"
            told = [Found(one, NOT_KNOWN, why) for one in ones]
        found |= {one.entered.entry: one for one in told}
    return [found[one.entry] for one in entered]


def ask(server: str, ones: Sequence[Entered], timeout_s: float | None) -> list[Found]:
    """What the server (host:port) tells of the jobs whose end the ledger does not tell."""
    # Not needed where the ledger knows it all.
    from spalloc_gevent.client import ProtocolClient

    with closing(ProtocolClient(server, call_timeout=timeout_s).open()) as client:
        listed = {job["job_id"]: job for job in client.list_jobs()}
        return [fate_of(client, one, listed) for one in ones]


def fate_of(client: ProtocolClient, one: Entered, listed: Mapping[int, JobDescription]) -> Found:
    """What became of a job, by the list of live jobs and, if it is not in there, by its state."""
    job = listed.get(one.job_id)
    if job is not None:
        is_same = one.owner in (None, job["owner"])
        if one.start_time is not None:
            is_same = job["start_time"] == one.start_time
        if is_same:
            return Found(one, STILL_HELD, f"it is {state_name(job['state'])}")
        return Found(one, JobOutcome.LOST.value, "its ID belongs to another job now")
    # It lives no more: asking keeps nothing alive.
    state = client.get_job_state(one.job_id)
    if state["state"] == JobState.destroyed:
        return Found(one, JobOutcome.DESTROYED.value, state["reason"])
    return Found(one, JobOutcome.LOST.value, "the server no longer knows it")


# -- the page ----------------------------------------------------------------------


def board_of_machine(text: str) -> tuple[str, Board]:
    """``MACHINE:X,Y,Z`` as --board takes it."""
    machine, _, place = text.rpartition(":")
    try:
        x, y, z = map(int, place.split(","))
    except ValueError:
        machine = ""
    if not machine:
        raise argparse.ArgumentTypeError(f"{text!r} is not a board: give MACHINE:X,Y,Z")
    return machine, (x, y, z)


_MOST_LISTED = 3
_FINE = {JobOutcome.GIVEN_BACK.value: Style.GREEN, STILL_HELD: Style.BLUE}


def _boards(found: Found) -> str:
    boards = found.entered.boards
    listed = " ".join("({},{},{})".format(*board) for board in boards[:_MOST_LISTED])
    more = len(boards) - _MOST_LISTED
    return f"{listed} and {more} more" if more > 0 else listed


COLUMNS: tuple[Column[Found], ...] = (
    value_column("id", "ID", lambda found: found.entered.job_id, is_number=True),
    value_column("label", "Label", lambda found: found.entered.label),
    Column(
        "asked",
        "Asked at",
        lambda found: Cell(local_time(found.entered.asked_at)),
        lambda found: found.entered.asked_at,
    ),
    value_column("machine", "Machine", lambda found: found.entered.machine),
    value_column("boards", "Boards", _boards),
    Column(
        "fate",
        "Fate",
        lambda found: Cell(printable(found.fate), (_FINE.get(found.fate, Style.RED),)),
        lambda found: found.fate,
    ),
    value_column("why", "Why", lambda found: found.why),
)


class FatesPage(Shown[list[Found]]):
    """One line an allocation, in the order of asking."""

    def page(self, data: list[Found], paint: Paint, _columns: int | None, /) -> Table[Found]:
        return Table(COLUMNS, data, paint)

    def document(self, data: list[Found]) -> dict[str, object]:
        return {"allocations": [document_of(found) for found in data]}


def document_of(found: Found) -> dict[str, object]:
    """One allocation as the JSON document has it."""
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
