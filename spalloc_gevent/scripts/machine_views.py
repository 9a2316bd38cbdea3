"""What machines look like: a table of all, or one drawn as hexagons with the jobs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spalloc_gevent.display.boards import BoardGroup, render_boards
from spalloc_gevent.display.pages import Text, text_of
from spalloc_gevent.display.palette import letter_order, lettered
from spalloc_gevent.display.tables import (
    Cell,
    Column,
    Table,
    arranged,
    render_cells,
    render_definitions,
)
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.geometry import Board, boards_of_triads
from spalloc_gevent.scripts.board_survey import BoardSurvey
from spalloc_gevent.scripts.common import CommandError, ExitCode
from spalloc_gevent.scripts.listed_jobs import (
    HEADING_OF_OWNER,
    boards_of,
    document_of_job,
    job_colour,
    number_of_boards,
    owner_and_host,
    value_column,
)
from spalloc_gevent.scripts.output_options import SortOrder
from spalloc_gevent.scripts.views import View

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription, MachineDescription

KEY_COLUMNS = 80
"""The width of the list that tells which letters stand for which job."""


def jobs_on(machine: MachineDescription, jobs: Sequence[JobDescription]) -> list[JobDescription]:
    return [job for job in jobs if job["allocated_machine_name"] == machine["name"]]


def living_boards(machine: MachineDescription) -> set[Board]:
    dead = {(x, y, z) for x, y, z in machine["dead_boards"]}
    return set(boards_of_triads(0, 0, machine["width"], machine["height"])) - dead


def tags_of(machine: MachineDescription) -> str:
    return printable(", ".join(sorted(machine["tags"])))


def number_told(machine: MachineDescription, is_complete: bool) -> str:
    """How many boards it has, in words; is_complete: its absent boards are known."""
    number = len(living_boards(machine))
    return str(number) if is_complete else f"up to {number}"


def document_of_machine(
    machine: MachineDescription, jobs: Sequence[JobDescription], is_complete: bool
) -> dict[str, object]:
    return {
        "name": machine["name"],
        "tags": sorted(machine["tags"]),
        "width": machine["width"],
        "height": machine["height"],
        "num_boards": len(living_boards(machine)),
        "absent_boards_known": is_complete,
        "in_use": number_of_boards(jobs),
        "dead_boards": sorted(machine["dead_boards"]),
        "dead_links": sorted(machine["dead_links"]),
    }


# ------------------------------------------------------------- all machines


@dataclass(frozen=True)
class Occupied:
    """A machine and the jobs on it; is_complete: its absent boards are known."""

    machine: MachineDescription
    is_complete: bool
    jobs: Sequence[JobDescription]


MACHINE_COLUMNS: tuple[Column[Occupied], ...] = (
    value_column("name", "Name", lambda row: row.machine["name"]),
    Column(
        "num_boards",
        "Num boards",
        lambda row: Cell(number_told(row.machine, row.is_complete)),
        lambda row: len(living_boards(row.machine)),
        is_number=True,
    ),
    value_column("in_use", "In-use", lambda row: number_of_boards(row.jobs), is_number=True),
    value_column("jobs", "Jobs", lambda row: len(row.jobs), is_number=True),
    value_column("tags", "Tags", lambda row: tags_of(row.machine)),
)


@dataclass(frozen=True)
class MachinesView(View[list[Occupied]]):
    """A table of all machines; by itself in the server's order, the highest priority first."""

    columns: Sequence[Column[Occupied]] = MACHINE_COLUMNS
    order: SortOrder = ()
    survey: BoardSurvey = field(default_factory=BoardSurvey)

    def collect(self, client: ProtocolClient) -> list[Occupied]:
        machines, jobs = client.list_machines(), client.list_jobs()
        rows = [
            Occupied(machine, is_complete, jobs_on(machine, jobs))
            for machine, is_complete in self.survey.complete(client, machines, jobs)
        ]
        return arranged(rows, MACHINE_COLUMNS, self.order)

    def page(self, data: list[Occupied], paint: Paint, _columns: int | None, /) -> Table[Occupied]:
        return Table(self.columns, data, paint)

    def document(self, data: list[Occupied]) -> dict[str, object]:
        return {
            "machines": [
                {
                    **document_of_machine(row.machine, row.jobs, row.is_complete),
                    "jobs": [job["job_id"] for job in row.jobs],
                }
                for row in data
            ]
        }


# --------------------------------------------------------------- one machine


@dataclass(frozen=True)
class KeyedJob:
    """A job and the letters that stand for it in the picture."""

    key: str
    job: JobDescription

    @property
    def colour(self) -> tuple[Style, ...]:
        return job_colour(self.job["job_id"])

    @property
    def group(self) -> BoardGroup:
        return BoardGroup(boards_of(self.job), self.key, self.colour, self.colour, (Style.BRIGHT,))


JOB_COLUMNS: tuple[Column[KeyedJob], ...] = (
    Column("key", "Key", lambda row: Cell(row.key, row.colour), lambda row: letter_order(row.key)),
    value_column("id", "Job ID", lambda row: row.job["job_id"], is_number=True),
    value_column("boards", "Num boards", lambda row: len(boards_of(row.job)), is_number=True),
    value_column("owner", HEADING_OF_OWNER, lambda row: owner_and_host(row.job)),
)


@dataclass(frozen=True)
class MachineLook:
    """One machine, and the jobs on it with their letters; is_complete as in Occupied."""

    machine: MachineDescription
    is_complete: bool
    jobs: Sequence[KeyedJob]


class MachineView(View[MachineLook]):
    """One machine: a summary, its boards as hexagons, and which letters stand for which job.

    A job keeps its letters while the machine is watched. detailed: the letters are explained
    by a table.
    """

    def __init__(
        self,
        name: str,
        *,
        detailed: bool = False,
        columns: Sequence[Column[KeyedJob]] = JOB_COLUMNS,
        order: SortOrder = (),
        survey: BoardSurvey | None = None,
    ) -> None:
        self._name = name
        self._survey = survey or BoardSurvey()
        self._detailed = detailed
        self._columns = columns
        self._order = order
        self._letters: Mapping[int, str] = {}

    def collect(self, client: ProtocolClient) -> MachineLook:
        machines = {machine["name"]: machine for machine in client.list_machines()}
        if self._name not in machines:
            names = ", ".join(map(printable, machines)) or "no machines"
            raise CommandError(
                f"No machine '{printable(self._name)}' was found; there are: {names}",
                ExitCode.NO_MACHINE,
            )
        jobs = client.list_jobs()
        listed = machines[self._name]
        ((machine, is_complete),) = self._survey.complete(client, [listed], jobs)
        here = {job["job_id"]: job for job in jobs_on(machine, jobs)}
        self._letters = lettered(here, self._letters)
        rows = [KeyedJob(letters, here[job_id]) for job_id, letters in self._letters.items()]
        return MachineLook(machine, is_complete, arranged(rows, JOB_COLUMNS, self._order))

    def page(self, data: MachineLook, paint: Paint, columns: int | None, /) -> Text:
        living, dim = living_boards(data.machine), (Style.DIM,)
        in_use = number_of_boards(row.job for row in data.jobs)
        summary = render_definitions(
            [
                ("Name", printable(data.machine["name"])),
                ("Tags", tags_of(data.machine)),
                ("In-use", f"{in_use} of {number_told(data.machine, data.is_complete)}"),
                ("Jobs", len(data.jobs)),
            ]
        )
        everything = BoardGroup(living, label_styles=dim, inner_styles=dim, outer_styles=dim)
        picture = render_boards(
            [everything, *(row.group for row in data.jobs)],
            [(x, y, z, link) for x, y, z, link in data.machine["dead_links"]],
            torus=(data.machine["width"], data.machine["height"]),
            columns=columns,
            paint=paint,
        )
        if self._detailed:
            key = text_of(Table(self._columns, data.jobs, paint))
        else:
            cells = [Cell(f"{row.key}:{row.job['job_id']}", row.colour) for row in data.jobs]
            key = render_cells(cells, paint, width=min(KEY_COLUMNS, columns or KEY_COLUMNS))
        return Text(summary, picture, key)

    def document(self, data: MachineLook) -> dict[str, object]:
        jobs = [row.job for row in data.jobs]
        return {
            "machine": {
                **document_of_machine(data.machine, jobs, data.is_complete),
                "jobs": [{"key": row.key, **document_of_job(row.job)} for row in data.jobs],
            }
        }
