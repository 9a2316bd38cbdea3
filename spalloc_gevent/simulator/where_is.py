"""Where a board or chip is, asked in four ways and answered in all of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from spalloc_gevent.geometry import (
    BOARDS_PER_TRIAD,
    Board,
    Chip,
    board_of_chip,
    chip_in_job,
    chip_on_board,
    ethernet_chip,
    job_origin,
    machine_chip,
    wrapped_chip,
)
from spalloc_gevent.simulator.jobs import Job, Jobs
from spalloc_gevent.simulator.machine import Machine

Location = dict[str, Any]

_BOARD_NUMBERS = range(BOARDS_PER_TRIAD)


def where_is(jobs: Jobs, question: Mapping[str, Any]) -> Location | None:
    """The answer to ``where_is``; None where nothing is.

    Raises TypeError unless the question is one of the four styles, in whole numbers.
    Coordinates wrap around; a z that no board has counts as 0, as on the Python server.
    """
    ask = _STYLES.get(frozenset(question))
    if ask is None:
        raise TypeError(f"Invalid arguments: {', '.join(question)}")
    return ask(jobs, **question)


def _by_board(jobs: Jobs, machine: str, x: int, y: int, z: int) -> Location | None:
    there = jobs.machine(machine)
    if there is None:
        return None
    board = (operator.index(x), operator.index(y), int(z) if z in _BOARD_NUMBERS else 0)
    return _located(jobs, there, ethernet_chip(board))


def _by_place(jobs: Jobs, machine: str, cabinet: int, frame: int, board: int) -> Location | None:
    there = jobs.machine(machine)
    found = None if there is None else there.board_at((cabinet, frame, board))
    if there is None or found is None:
        return None
    return _located(jobs, there, ethernet_chip(found))


def _by_chip(jobs: Jobs, machine: str, chip_x: int, chip_y: int) -> Location | None:
    there = jobs.machine(machine)
    return None if there is None else _located(jobs, there, _whole(chip_x, chip_y))


def _by_job_chip(jobs: Jobs, job_id: int, chip_x: int, chip_y: int) -> Location | None:
    job = jobs.get(job_id)
    if job is None or job.machine is None or job.boards is None:
        return None
    machine = job.machine
    chip = machine_chip(
        _whole(chip_x, chip_y), job_origin(job.boards), machine.width, machine.height
    )
    location = _located(jobs, machine, chip)
    return location if location is not None and location["job_id"] == job.job_id else None


def _whole(x: int, y: int) -> Chip:
    return operator.index(x), operator.index(y)


def _located(jobs: Jobs, machine: Machine, chip: Chip) -> Location | None:
    chip = wrapped_chip(chip, machine.width, machine.height)
    board = board_of_chip(chip, machine.width, machine.height)
    place = machine.place_of(board)
    if place is None:
        return None
    job = jobs.holder(machine, board)
    return {
        "machine": machine.name,
        "logical": board,
        "physical": place,
        "chip": chip,
        "board_chip": chip_on_board(chip),
        "job_id": None if job is None else job.job_id,
        "job_chip": None if job is None else _job_chip(job, board, chip),
    }


def _job_chip(job: Job, board: Board, chip: Chip) -> Chip:
    assert job.allocation is not None
    boards = job.allocation.boards
    return chip_in_job(chip, board, job_origin(boards), job.allocation.dimensions)


_STYLES: Mapping[frozenset[str], Callable[..., Location | None]] = {
    frozenset(("machine", "x", "y", "z")): _by_board,
    frozenset(("machine", "cabinet", "frame", "board")): _by_place,
    frozenset(("machine", "chip_x", "chip_y")): _by_chip,
    frozenset(("job_id", "chip_x", "chip_y")): _by_job_chip,
}
