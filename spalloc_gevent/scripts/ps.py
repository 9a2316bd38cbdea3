"""``spalloc-ps``: list the jobs that run or wait.

``spalloc-ps --help`` lists the options and exit codes. Looking keeps no job alive.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.address import bracketed
from spalloc_gevent.display.tables import Cell, Column, Table, arranged
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, present
from spalloc_gevent.scripts.listed_jobs import (
    HEADING_OF_OWNER,
    boards_of,
    document_of_job,
    local_time,
    owner_and_host,
    power_word,
    value_column,
)
from spalloc_gevent.scripts.output_options import SortOrder
from spalloc_gevent.scripts.views import View, show_data
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.config import Config
    from spalloc_gevent.ledger import Entered
    from spalloc_gevent.wire.answers import JobDescription

PROG = "spalloc-ps"

EXIT_CODES = (*administration.EXIT_CODES, ENDED_BY_SIGNAL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-ps`` with these arguments (None: this process's); the exit code."""
    return administration.run(make_parser, list_jobs, PROG, argv)


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-ps``, whose help tells these defaults."""
    parser = common.new_parser(
        PROG,
        "List all running and queued jobs.",
        notes=[output_options.listed(COLUMNS)],
        exit_codes=EXIT_CODES,
    )
    filters = parser.add_argument_group("filtering arguments")
    filters.add_argument("--machine", "-m", help="list only the jobs on this machine")
    filters.add_argument("--owner", "-o", help="list only the jobs of this owner")
    output = output_options.add_output_options(parser)
    output_options.add_table_options(output)
    output_options.add_watch_options(output, "the jobs")
    common.add_server_options(parser, defaults)
    parser.set_defaults(ledger=defaults.ledger)
    return parser


def list_jobs(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """List the jobs on the server, or those in the ledger where it was lost; the exit code."""
    chosen = output_options.chosen_columns(parser, arguments, COLUMNS)
    columns = COLUMNS if arguments.columns is None else chosen
    common.require_hostname(parser, arguments)
    owner, machine = arguments.owner, arguments.machine
    view = JobsView(columns, arguments.sort, owner=owner, machine=machine)
    try:
        return present(view, arguments)
    except ConnectionLostError as error:
        if error.may_have_happened and arguments.ledger is not None:
            server = f"{bracketed(arguments.hostname)}:{arguments.port}"
            jobs = view.arranged(live_jobs_in_ledger(arguments.ledger, server))
            show_data(view, time.time(), jobs, arguments)
        raise


def live_jobs_in_ledger(path: str, server: str) -> list[JobDescription]:
    """The jobs on `server` (host:port) that have not ended, by the ledger at `path`."""
    from spalloc_gevent.ledger import read_ledger

    try:
        with open(path, "rb") as lines:
            entered, _strange = read_ledger(lines)
    except OSError:
        return []
    return [_described(one) for one in entered if one.fate is None and one.server == server]


def _described(one: Entered) -> JobDescription:
    """A job as it was entered: it has boards since it was granted them."""
    is_granted = one.granted_at is not None
    return {
        "job_id": one.job_id,
        "owner": one.owner or "",
        "start_time": one.start_time or one.asked_at or 0.0,
        "keepalive": None,
        "state": JobState.ready if is_granted else JobState.queued,
        "power": True if is_granted else None,
        "args": list(one.what or ()),
        "kwargs": {},
        "allocated_machine_name": one.machine,
        "boards": [list(board) for board in one.boards] or None,
        "keepalivehost": None,
    }


# ------------------------------------------------------------------ the columns


_STATES: dict[int, Cell] = {
    JobState.queued: Cell("queue", (Style.BLUE,)),
    JobState.power: Cell("power", (Style.YELLOW,)),
    JobState.ready: Cell("ready", (Style.GREEN,)),
}


def _power(job: JobDescription) -> Cell:
    word = power_word(job)
    if job["state"] == JobState.power:
        return Cell(word, (Style.YELLOW,))
    return Cell(word, (Style.GREEN if word == "on" else Style.RED,))


COLUMNS: tuple[Column[JobDescription], ...] = (
    value_column("id", "ID", lambda job: job["job_id"], is_number=True),
    Column(
        "state",
        "State",
        lambda job: _STATES.get(job["state"], Cell(str(job["state"]))),
        lambda job: job["state"],
    ),
    Column("power", "Power", _power, lambda job: power_word(job) or None),
    value_column("boards", "Boards", lambda job: len(boards_of(job)) or None, is_number=True),
    value_column("machine", "Machine", lambda job: job["allocated_machine_name"]),
    Column(
        "created",
        "Created at",
        lambda job: Cell(local_time(job["start_time"])),
        lambda job: job["start_time"],
    ),
    Column(
        "keepalive",
        "Keepalive",
        lambda job: Cell(str(job["keepalive"])),
        lambda job: job["keepalive"],
    ),
    value_column("owner", HEADING_OF_OWNER, owner_and_host),
)

_SHORTER: tuple[Column[JobDescription], ...] = (
    value_column("owner", "Owner", lambda job: printable(job["owner"])),
    Column(
        "created",
        "Created at",
        lambda job: Cell(local_time(job["start_time"], is_short=True)),
        lambda job: job["start_time"],
    ),
)
"""What takes the places of columns, one after the other, where a terminal is too narrow."""


# --------------------------------------------------------------------- the view


class JobsView(View[list["JobDescription"]]):
    """The jobs of an owner and on a machine (None: any), as a table."""

    def __init__(
        self,
        columns: Sequence[Column[JobDescription]] = COLUMNS,
        order: SortOrder = (),
        *,
        owner: str | None = None,
        machine: str | None = None,
    ) -> None:
        self._columns = columns
        self._order = order
        self._owner = owner
        self._machine = machine

    def collect(self, client: ProtocolClient) -> list[JobDescription]:
        return self.arranged(client.list_jobs())

    def arranged(self, jobs: Sequence[JobDescription]) -> list[JobDescription]:
        """Those that are chosen, in the order that is."""
        chosen = [
            job
            for job in jobs
            if self._owner in (None, job["owner"])
            and self._machine in (None, job["allocated_machine_name"])
        ]
        return arranged(chosen, COLUMNS, self._order)

    def page(
        self, data: list[JobDescription], paint: Paint, columns: int | None, /
    ) -> Table[JobDescription]:
        """All columns, or those that were chosen; shorter ones where all do not fit."""
        shown = self._columns
        table = Table(shown, data, paint)
        if columns is None or self._columns is not COLUMNS:
            return table
        for shorter in _SHORTER:
            if table.width <= columns:
                break
            shown = [shorter if column.name == shorter.name else column for column in shown]
            table = Table(shown, data, paint)
        return table

    def document(self, data: list[JobDescription]) -> dict[str, object]:
        return {"jobs": [document_of_job(job) for job in data]}


if __name__ == "__main__":
    sys.exit(main())
