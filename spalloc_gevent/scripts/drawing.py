"""``--svg``: the picture of a machine, or of one job on it, collected, drawn and written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.machine_map import drawn
from spalloc_gevent.display.map_facts import MachineMap, MapJob, Place, counted
from spalloc_gevent.display.terminal import printable, write
from spalloc_gevent.geometry import Board
from spalloc_gevent.scripts.common import CommandError, ExitCode, warn
from spalloc_gevent.scripts.jobs.subject import Subject
from spalloc_gevent.scripts.listed_jobs import boards_of, owner_and_host, state_name
from spalloc_gevent.scripts.machine_views import MachineLook, MachineView
from spalloc_gevent.scripts.whole_file import write_whole

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient

STANDARD_OUTPUT = "-"

LONGEST_S = 10.0
"""What 1,200 boards take is a third of a second nearby; nobody waits longer for a far server."""


def draw_machine(client: ProtocolClient, view: MachineView, options: argparse.Namespace) -> int:
    """Draw the machine that is viewed; CommandError when there is none."""
    machine_map = map_of(view.collect(client))
    return draw(client, machine_map, machine_map.boards, options)


def draw_job(client: ProtocolClient, subject: Subject, options: argparse.Namespace) -> int:
    """Draw the job's boards within their machine; CommandError when it has none."""
    seen = subject.look(client)
    name = None if seen.job is None else seen.job["allocated_machine_name"]
    if name is not None:
        look = MachineView(name).collect(client)
        own = [row for row in look.jobs if row.job["job_id"] == subject.job_id]
        if own:
            machine_map = map_of(look, only=subject.job_id)
            return draw(client, machine_map, boards_of(own[0].job), options)
        seen = subject.look(client)  # It has ended meanwhile.
    raise CommandError(
        f"Job {seen.job_id} has no boards to draw: it is {state_name(seen.state)}",
        ExitCode.NO_ALLOCATION,
    )


def map_of(look: MachineLook, *, only: int | None = None) -> MachineMap:
    """What was seen of a machine, as it is drawn; `only`: the ID of the job that it is about."""
    machine = look.machine
    jobs = []
    for row in look.jobs:
        job, job_id = row.job, row.job["job_id"]
        told = f"Job using board: {job_id} of {owner_and_host(job)}, {state_name(job['state'])}"
        jobs.append(MapJob(job_id, row.key, job["owner"], boards_of(job), told))
    return MachineMap(
        name=machine["name"],
        torus=(machine["width"], machine["height"]),
        jobs=jobs,
        dead=[(x, y, z) for x, y, z in machine["dead_boards"]],
        dead_links=[(x, y, z, link) for x, y, z, link in machine["dead_links"]],
        is_complete=look.is_complete,
        only=only,
    )


def draw(
    client: ProtocolClient,
    machine_map: MachineMap,
    boards: Sequence[Board],
    options: argparse.Namespace,
) -> int:
    """Write the picture, with the places of these boards, to where --svg says; the exit code."""
    told = places_of(client, machine_map.name, boards, Deadline(LONGEST_S))
    if missing := len(boards) - len(told):
        warn(
            f"{options.prog}: warning: the server took longer than {LONGEST_S:g} s to report where "
            f"boards are: {counted(missing, 'board')} drawn without cabinet and frame",
            colour=options.colour,
        )
    known = {board: place for board, place in told.items() if place is not None}
    picture = drawn(machine_map.with_places(known))
    if options.svg == STANDARD_OUTPUT:
        write(sys.stdout, picture)
        return ExitCode.OK
    try:
        write_whole(options.svg, picture.encode("ascii"))
    except OSError as error:
        raise CommandError(
            f"Error: --svg {printable(options.svg)} cannot be written: {error.strerror}",
            ExitCode.NOT_DRAWN,
        ) from None
    return ExitCode.OK


def places_of(
    client: ProtocolClient, machine: str, boards: Iterable[Board], deadline: Deadline
) -> dict[Board, Place | None]:
    """What the server tells of each board until the deadline, None where it knows no place.

    The protocol has no question about all boards. One about a board names no job, so that it
    keeps none alive; they go out one after another, so that other questions come in between.
    """
    places: dict[Board, Place | None] = {}
    for board in boards:
        if deadline.passed:
            break
        found = client.get_board_position(machine, *board)
        places[board] = None if found is None else (found[0], found[1], found[2])
    return places
