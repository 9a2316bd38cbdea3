"""``spalloc-ps``: list the jobs that run or wait.

``spalloc-ps --help`` lists the options and exit codes. Looking keeps no job alive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.display.tables import Cell, Column, render_table
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.administration import (
    EXIT_CODES,
    HEADING_OF_OWNER,
    boards_of,
    connected,
    local_time,
    owner_and_host,
    paint_for_output,
    power_word,
    show,
)
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.wire.answers import JobDescription

PROG = "spalloc-ps"

_COLUMNS = (
    Column("ID", is_number=True),
    Column("State"),
    Column("Power"),
    Column("Boards", is_number=True),
    Column("Machine"),
    Column("Created at"),
    Column("Keepalive"),
    Column(HEADING_OF_OWNER),
)

_STATES: dict[int, Cell] = {
    JobState.queued: Cell("queue", (Style.BLUE,)),
    JobState.power: Cell("power", (Style.YELLOW,)),
    JobState.ready: Cell("ready", (Style.GREEN,)),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-ps`` with these arguments (None: this process's); the exit code."""
    return common.run(lambda: _list(_parse(argv)), prog=PROG)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = common.new_parser(PROG, "List all running and queued jobs.", exit_codes=EXIT_CODES)
    filters = parser.add_argument_group("filtering arguments")
    filters.add_argument("--machine", "-m", help="list only the jobs on this machine")
    filters.add_argument("--owner", "-o", help="list only the jobs of this owner")
    common.add_server_options(parser, common.read_defaults(PROG))
    arguments = parser.parse_args(argv)
    common.require_hostname(parser, arguments.hostname)
    return arguments


def _list(arguments: argparse.Namespace) -> int:
    with connected(PROG, arguments) as client:
        jobs = client.list_jobs()
    chosen = [job for job in jobs if _is_chosen(job, arguments.owner, arguments.machine)]
    show(render_jobs(chosen, paint_for_output()))
    return common.ExitCode.OK


def _is_chosen(job: JobDescription, owner: str | None, machine: str | None) -> bool:
    """None stands for any owner, or machine."""
    return owner in (None, job["owner"]) and machine in (None, job["allocated_machine_name"])


def render_jobs(jobs: Sequence[JobDescription], paint: Paint) -> str:
    """The table of these jobs, in their order."""
    return render_table(_COLUMNS, [_row(job) for job in jobs], paint)


def _row(job: JobDescription) -> list[Cell]:
    return [
        Cell(str(job["job_id"])),
        _STATES.get(job["state"], Cell(str(job["state"]))),
        _power(job),
        Cell(str(len(boards_of(job)) or "")),
        Cell(printable(job["allocated_machine_name"] or "")),
        Cell(local_time(job["start_time"])),
        Cell(str(job["keepalive"])),
        Cell(owner_and_host(job)),
    ]


def _power(job: JobDescription) -> Cell:
    word = power_word(job)
    if job["state"] == JobState.power:
        return Cell(word, (Style.YELLOW,))
    return Cell(word, (Style.GREEN if word == "on" else Style.RED,))


if __name__ == "__main__":
    sys.exit(main())
