"""The shapes of what the server returns, and the Java server's made into the Python server's.

Dictionaries, as the existing client gives them; typed, so that nobody casts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

LONGEST_BELIEVABLE_KEEPALIVE_S = 10_000_000.0
"""Anything longer is the Java server's time stamp of the last keepalive."""


class JobStateInfo(TypedDict):
    """What ``get_job_state`` tells."""

    state: int
    """A :class:`~spalloc_gevent.JobState` as a number."""
    power: bool | None
    keepalive: float | None
    """The interval in seconds; on the Java server the time stamp of the last keepalive."""
    reason: str | None
    start_time: float | None
    """Unix time at which the job was created."""
    keepalivehost: str | None


class MachineInfo(TypedDict):
    """What ``get_job_machine_info`` tells; every value is None until boards are allocated."""

    width: int | None
    """In chips."""
    height: int | None
    connections: list[tuple[tuple[int, int], str]] | None
    """``[[[x, y], hostname], ...]`` of the Ethernet-connected chips, unordered."""
    machine_name: str | None
    boards: list[tuple[int, int, int]] | None
    """Logical coordinates, unordered."""


class JobDescription(TypedDict):
    """One job as ``list_jobs`` tells it."""

    job_id: int
    owner: str
    start_time: float
    keepalive: float | None
    state: int
    power: bool | None
    args: list[int] | None
    kwargs: dict[str, Any] | None
    allocated_machine_name: str | None
    boards: list[list[int]] | None
    keepalivehost: str | None


class MachineDescription(TypedDict):
    """One machine as ``list_machines`` tells it; width and height in triads."""

    name: str
    tags: list[str]
    width: int
    height: int
    dead_boards: list[list[int]]
    dead_links: list[list[int]]


class Location(TypedDict):
    """What ``where_is`` tells of a board or chip."""

    machine: str
    logical: list[int]
    physical: list[int]
    chip: list[int]
    board_chip: list[int] | None
    job_id: int | None
    job_chip: list[int] | None


UNKNOWN_JOB: JobStateInfo = {
    "state": 0,
    "power": None,
    "keepalive": None,
    "reason": None,
    "start_time": None,
    "keepalivehost": None,
}
NO_MACHINE: MachineInfo = {
    "width": None,
    "height": None,
    "connections": None,
    "machine_name": None,
    "boards": None,
}


def job_state(answer: Any) -> JobStateInfo:
    """A state with every key, absent things None as on the Python server."""
    told = answer if isinstance(answer, Mapping) else {}
    state = cast("JobStateInfo", {**UNKNOWN_JOB, **told})
    state["reason"] = state["reason"] or None
    if state["state"] not in (2, 3):
        state["power"] = None
    return state


def machine_info(answer: Any) -> MachineInfo:
    """Machine information with every key, None for what the server does not tell."""
    told = answer if isinstance(answer, Mapping) else {}
    return cast("MachineInfo", {**NO_MACHINE, **told})


NO_SUCH = ("no such", "not allocated", "not found", "unknown")
"""Beginnings and parts of the Java server's refusals that mean what null means elsewhere."""


def means_nothing(refusal: str) -> bool:
    """True if a refusal only says that what was asked for is not there."""
    return any(words in refusal.lower() for words in NO_SUCH)
