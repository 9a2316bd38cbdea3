"""``--svg``: the picture of a machine, or of one job on it, collected, drawn and written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.machine_map import drawn
from spalloc_gevent.display.map_facts import MachineMap, MapJob, Place, counted
from spalloc_gevent.display.terminal import Colour, printable, write
from spalloc_gevent.geometry import Board
from spalloc_gevent.scripts.administration import (
    boards_of,
    owner_and_host,
    state_name,
)
from spalloc_gevent.scripts.board_places import LONGEST_S, places_of
from spalloc_gevent.scripts.common import CommandError, ExitCode, warn
from spalloc_gevent.scripts.job_sight import Seen, Subject
from spalloc_gevent.scripts.machine_views import KeyedJob, MachineLook, MachineView
from spalloc_gevent.scripts.whole_file import write_whole

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient

STANDARD_OUTPUT = "-"


def draw_machine(
    prog: str, client: ProtocolClient, view: MachineView, arguments: argparse.Namespace
) -> int:
    """Draw the machine that is viewed; CommandError when there is none."""
    machine_map = map_of(view.collect(client))
    return _draw(prog, client, machine_map, machine_map.boards, arguments)


def draw_job(
    prog: str, client: ProtocolClient, subject: Subject, arguments: argparse.Namespace
) -> int:
    """Draw the job's boards within their machine; CommandError when it has none."""
    seen = subject.look(client)
    name = None if seen.job is None else seen.job["allocated_machine_name"]
    if name is None:
        raise _no_boards(seen)
    look = MachineView(name).collect(client)
    own = [row for row in look.jobs if row.job["job_id"] == subject.job_id]
    if not own:  # It has ended meanwhile.
        raise _no_boards(subject.look(client))
    machine_map = map_of(look, only=subject.job_id)
    return _draw(prog, client, machine_map, boards_of(own[0].job), arguments)


def _no_boards(seen: Seen) -> CommandError:
    return CommandError(
        f"Job {seen.job_id} has no boards to draw: it is {state_name(seen.state)}",
        ExitCode.NO_ALLOCATION,
    )


def map_of(look: MachineLook, *, only: int | None = None) -> MachineMap:
    """What was seen of a machine, as it is drawn; `only`: the ID of the job that it is about."""
    machine = look.machine
    return MachineMap(
        name=machine["name"],
        torus=(machine["width"], machine["height"]),
        jobs=[_job_of(row) for row in look.jobs],
        dead=[(x, y, z) for x, y, z in machine["dead_boards"]],
        dead_links=[(x, y, z, link) for x, y, z, link in machine["dead_links"]],
        is_complete=look.is_complete,
        only=only,
    )


def _job_of(row: KeyedJob) -> MapJob:
    job = row.job
    job_id, owner, state = job["job_id"], owner_and_host(job), state_name(job["state"])
    told = f"Job using board: {job_id} of {owner}, {state}"
    return MapJob(job_id, row.key, job["owner"], boards_of(job), told)


def _draw(
    prog: str,
    client: ProtocolClient,
    machine_map: MachineMap,
    boards: Sequence[Board],
    arguments: argparse.Namespace,
) -> int:
    """Draw it with the places of these boards."""
    told = places_of(client, machine_map.name, boards, Deadline(LONGEST_S))
    if missing := len(boards) - len(told):
        _warn_of_missing(prog, missing, Colour(arguments.color))
    picture = drawn(machine_map.with_places(_known(told)))
    if arguments.svg == STANDARD_OUTPUT:
        write(sys.stdout, picture)
    else:
        _save(arguments.svg, picture)
    return ExitCode.OK


def _known(places: dict[Board, Place | None]) -> dict[Board, Place]:
    return {board: place for board, place in places.items() if place is not None}


def _warn_of_missing(prog: str, missing: int, colour: Colour) -> None:
    boards = counted(missing, "board")
    warn(
        f"{prog}: warning: the server took longer than {LONGEST_S:g} s to tell where boards are: "
        f"{boards} drawn without cabinet and frame",
        colour=colour,
    )


def _save(path: str, picture: str) -> None:
    try:
        write_whole(path, picture.encode("ascii"))
    except OSError as error:
        raise CommandError(
            f"Error: --svg {printable(path)} cannot be written: {error.strerror}",
            ExitCode.NOT_DRAWN,
        ) from None
