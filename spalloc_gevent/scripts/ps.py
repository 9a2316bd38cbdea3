"""``spalloc-ps``: list the jobs that run or wait.

``spalloc-ps --help`` lists the options and exit codes. Looking keeps no job alive.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.display.tables import Cell, Column, Table, arranged
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import (
    ENDED_BY_SIGNAL,
    HEADING_OF_OWNER,
    boards_of,
    document_of_job,
    local_time,
    owner_and_host,
    power_word,
    run,
)
from spalloc_gevent.scripts.output_options import Order
from spalloc_gevent.scripts.presenting import present, show_data
from spalloc_gevent.scripts.views import View
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
    return run(PROG, lambda: _parse(argv), _list)


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
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    defaults = common.read_defaults(PROG)
    parser = make_parser(defaults)
    arguments = parser.parse_args(argv)
    arguments.ledger = defaults.ledger
    output_options.check_output(parser, arguments)
    arguments.columns = output_options.chosen_columns(parser, arguments, COLUMNS)
    common.require_hostname(parser, arguments.hostname)
    return arguments


def _list(arguments: argparse.Namespace) -> int:
    view = JobsView(
        arguments.columns, arguments.sort, owner=arguments.owner, machine=arguments.machine
    )
    try:
        return present(PROG, view, arguments)
    except ConnectionLostError as error:
        if error.may_have_happened and arguments.ledger is not None:
            show_data(view, time.time(), _jobs_in_ledger(view, arguments), arguments)
        raise


def _jobs_in_ledger(view: JobsView, arguments: argparse.Namespace) -> list[JobDescription]:
    """The jobs of this user that have not ended, by the ledger, where the server lists none."""
    from spalloc_gevent.ledger import read_ledger

    try:
        with open(arguments.ledger, "rb") as lines:
            entered, _strange = read_ledger(lines)
    except OSError:
        return []
    server = f"{arguments.hostname}:{arguments.port}"
    ours = [_described(one) for one in entered if one.fate is None and one.server == server]
    return view.arranged(ours)


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


def _state(job: JobDescription) -> Cell:
    return _STATES.get(job["state"], Cell(str(job["state"])))


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
    Column(
        "id", "ID", lambda job: Cell(str(job["job_id"])), lambda job: job["job_id"], is_number=True
    ),
    Column("state", "State", _state, lambda job: job["state"]),
    Column("power", "Power", _power, lambda job: power_word(job) or None),
    Column(
        "boards",
        "Boards",
        lambda job: Cell(str(len(boards_of(job)) or "")),
        lambda job: len(boards_of(job)) or None,
        is_number=True,
    ),
    Column(
        "machine",
        "Machine",
        lambda job: Cell(printable(job["allocated_machine_name"] or "")),
        lambda job: job["allocated_machine_name"],
    ),
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
    Column("owner", HEADING_OF_OWNER, lambda job: Cell(owner_and_host(job)), owner_and_host),
)


# --------------------------------------------------------------------- the view


class JobsView(View[list["JobDescription"]]):
    """The jobs of an owner and on a machine (None: any), as a table."""

    def __init__(
        self,
        columns: Sequence[Column[JobDescription]] = COLUMNS,
        order: Order = (),
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
        return arranged([job for job in jobs if self._is_chosen(job)], COLUMNS, self._order)

    def _is_chosen(self, job: JobDescription) -> bool:
        return self._owner in (None, job["owner"]) and self._machine in (
            None,
            job["allocated_machine_name"],
        )

    def page(
        self, data: list[JobDescription], paint: Paint, _columns: int | None, /
    ) -> Table[JobDescription]:
        return Table(self._columns, data, paint)

    def document(self, data: list[JobDescription]) -> dict[str, object]:
        return {"jobs": [document_of_job(job) for job in data]}


if __name__ == "__main__":
    sys.exit(main())
