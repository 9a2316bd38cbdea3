"""``spalloc-machine``: list the machines, or show one and the jobs on it.

``spalloc-machine --help`` lists the options and exit codes. Looking keeps no job alive.
"""

from __future__ import annotations

import argparse
import itertools
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spalloc_gevent.display.boards import BoardGroup, draw_boards
from spalloc_gevent.display.definitions import render_definitions
from spalloc_gevent.display.tables import Cell, Column, render_cells, render_table
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.geometry import Board, boards_of_triads
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.administration import (
    EXIT_CODES,
    HEADING_OF_OWNER,
    boards_of,
    connected,
    job_colour,
    number_of_boards,
    owner_and_host,
    paint_for_output,
    show,
)
from spalloc_gevent.scripts.common import CommandError, ExitCode

if TYPE_CHECKING:
    from spalloc_gevent.wire.answers import JobDescription, MachineDescription

PROG = "spalloc-machine"

_EXIT_CODES = (*EXIT_CODES, (ExitCode.NO_MACHINE.value, "there is no such machine"))

_MACHINE_COLUMNS = (
    Column("Name"),
    Column("Num boards", is_number=True),
    Column("In-use", is_number=True),
    Column("Jobs", is_number=True),
    Column("Tags"),
)
_JOB_COLUMNS = (
    Column("Key"),
    Column("Job ID", is_number=True),
    Column("Num boards", is_number=True),
    Column(HEADING_OF_OWNER),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-machine`` with these arguments (None: this process's); the exit code."""
    return common.run(lambda: _show(_parse(argv)), prog=PROG)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = common.new_parser(
        PROG, "List the machines, or show the jobs on one of them.", exit_codes=_EXIT_CODES
    )
    parser.add_argument("machine", nargs="?", metavar="NAME", help="the machine to show")
    parser.add_argument(
        "--detailed",
        "-d",
        action="store_true",
        help="list the jobs on the machine with their boards and owners",
    )
    common.add_server_options(parser, common.read_defaults(PROG))
    arguments = parser.parse_args(argv)
    if arguments.detailed and arguments.machine is None:
        parser.error("--detailed shows one machine: name it")
    common.require_hostname(parser, arguments.hostname)
    return arguments


def _show(arguments: argparse.Namespace) -> int:
    with connected(PROG, arguments) as client:
        machines = client.list_machines()
        jobs = client.list_jobs()
    paint = paint_for_output()
    if arguments.machine is None:
        show(render_machines(machines, jobs, paint))
    else:
        machine = _find(machines, arguments.machine)
        show(render_machine(machine, jobs, paint, detailed=arguments.detailed))
    return ExitCode.OK


def _find(machines: Sequence[MachineDescription], name: str) -> MachineDescription:
    for machine in machines:
        if machine["name"] == name:
            return machine
    names = ", ".join(printable(machine["name"]) for machine in machines) or "no machines"
    raise CommandError(
        f"No machine '{printable(name)}' was found; there are: {names}", ExitCode.NO_MACHINE
    )


# ------------------------------------------------------------- all machines


def render_machines(
    machines: Sequence[MachineDescription], jobs: Sequence[JobDescription], paint: Paint
) -> str:
    """The table of all machines, in the server's order: the highest priority first."""
    rows = [_machine_row(machine, _jobs_on(machine, jobs)) for machine in machines]
    return render_table(_MACHINE_COLUMNS, rows, paint)


def _machine_row(machine: MachineDescription, jobs: Sequence[JobDescription]) -> list[Cell]:
    return [
        Cell(printable(machine["name"])),
        Cell(str(len(_living_boards(machine)))),
        Cell(str(number_of_boards(jobs))),
        Cell(str(len(jobs))),
        Cell(_tags(machine)),
    ]


def _jobs_on(machine: MachineDescription, jobs: Sequence[JobDescription]) -> list[JobDescription]:
    return [job for job in jobs if job["allocated_machine_name"] == machine["name"]]


def _living_boards(machine: MachineDescription) -> set[Board]:
    dead = {(x, y, z) for x, y, z in machine["dead_boards"]}
    return set(boards_of_triads(0, 0, machine["width"], machine["height"])) - dead


def _tags(machine: MachineDescription) -> str:
    return printable(", ".join(sorted(machine["tags"])))


# --------------------------------------------------------------- one machine


@dataclass(frozen=True)
class _KeyedJob:
    """A job and the letters that stand for it in the picture."""

    key: str
    job: JobDescription

    @property
    def key_cell(self) -> Cell:
        return Cell(self.key, job_colour(self.job["job_id"]))

    @property
    def group(self) -> BoardGroup:
        colour = job_colour(self.job["job_id"])
        return BoardGroup(boards_of(self.job), self.key, colour, colour, (Style.BRIGHT,))


def render_machine(
    machine: MachineDescription,
    jobs: Sequence[JobDescription],
    paint: Paint,
    *,
    detailed: bool = False,
) -> str:
    """One machine: a summary, its boards as hexagons, and which letters stand for which job.

    jobs: those of all machines, the oldest first. detailed: the letters explained by a table.
    """
    here = _jobs_on(machine, jobs)
    keyed = [_KeyedJob(key, job) for key, job in zip(keys(), here, strict=False)]
    explained = _detailed_key(keyed, paint) if detailed else _compact_key(keyed, paint)
    parts = [_summary(machine, here), _picture(machine, keyed, paint), explained]
    return "\n\n".join(part for part in parts if part)


def keys() -> Iterator[str]:
    """A, B, ... Z, AA, AB, ... as the columns of a spreadsheet are named."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_uppercase, repeat=length):
            yield "".join(letters)


def _summary(machine: MachineDescription, jobs: Sequence[JobDescription]) -> str:
    return render_definitions(
        [
            ("Name", printable(machine["name"])),
            ("Tags", _tags(machine)),
            ("In-use", f"{number_of_boards(jobs)} of {len(_living_boards(machine))}"),
            ("Jobs", len(jobs)),
        ]
    )


def _picture(machine: MachineDescription, keyed: Sequence[_KeyedJob], paint: Paint) -> str:
    dim = (Style.DIM,)
    everything = BoardGroup(
        _living_boards(machine), label_styles=dim, inner_styles=dim, outer_styles=dim
    )
    dead_links = [(x, y, z, link) for x, y, z, link in machine["dead_links"]]
    return draw_boards([everything, *(entry.group for entry in keyed)], dead_links, paint)


def _compact_key(keyed: Sequence[_KeyedJob], paint: Paint) -> str:
    return render_cells(
        [
            Cell(f"{entry.key}:{entry.job['job_id']}", job_colour(entry.job["job_id"]))
            for entry in keyed
        ],
        paint,
    )


def _detailed_key(keyed: Sequence[_KeyedJob], paint: Paint) -> str:
    rows = [
        [
            entry.key_cell,
            Cell(str(entry.job["job_id"])),
            Cell(str(len(boards_of(entry.job)))),
            Cell(owner_and_host(entry.job)),
        ]
        for entry in keyed
    ]
    return render_table(_JOB_COLUMNS, rows, paint)


if __name__ == "__main__":
    sys.exit(main())
