"""The shapes of what the server returns, and the Java server's made into the Python server's.

Dictionaries, as the existing client gives them; typed, so that nobody casts.
"""

from __future__ import annotations

import enum
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, cast

from spalloc_gevent.errors import ProtocolError, SpallocServerException, UnknownStateError
from spalloc_gevent.geometry import (
    LINKS_CLOCKWISE,
    Board,
    Torus,
    chip_on_board,
    ethernet_chip,
    job_chip,
    wrapped_chip,
)
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.messages import AnyReply, ErrorReply


class JobStateInfo(TypedDict):
    """What ``get_job_state`` tells."""

    state: int
    """A :class:`~spalloc_gevent.JobState` as a number."""
    power: bool | None
    """Whether the boards are on, or being powered on; None without boards."""
    keepalive: float | None
    """The interval in seconds; on the Java server the time stamp of the last keepalive."""
    reason: str | None
    """Why the job was destroyed."""
    start_time: float | None
    """Unix time at which the job was created."""
    keepalivehost: str | None
    """Whence the last keepalive came; None where the server does not tell."""


class MachineInfo(TypedDict):
    """What ``get_job_machine_info`` tells; every value is None until boards are allocated."""

    width: int | None
    """In chips."""
    height: int | None
    """In chips."""
    connections: list[tuple[tuple[int, int], str]] | None
    """``[[[x, y], hostname], ...]`` of the Ethernet-connected chips, unordered."""
    machine_name: str | None
    """The machine that the boards are part of."""
    boards: list[tuple[int, int, int]] | None
    """Logical (x, y, z), unordered."""


class JobDescription(TypedDict):
    """One job as ``list_jobs`` tells it.

    ``start_time`` is a Unix time, ``keepalive`` in seconds, ``state`` a
    :class:`~spalloc_gevent.JobState` as a number; ``args`` and ``kwargs`` are those of
    ``create_job``; ``boards`` are logical ``[x, y, z]``, None without any.
    """

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
    """One machine as ``list_machines`` tells it; width and height in triads.

    ``dead_boards`` are ``[x, y, z]``, ``dead_links`` ``[x, y, z, link]`` with a link's number
    as in :class:`~spalloc_gevent.geometry.Link`.
    """

    name: str
    tags: list[str]
    width: int
    height: int
    dead_boards: list[list[int]]
    dead_links: list[list[int]]


class Location(TypedDict):
    """What ``where_is`` tells of a board or chip.

    ``logical`` is ``[x, y, z]``, ``physical`` ``[cabinet, frame, board]``; ``chip`` is counted
    on the machine, ``board_chip`` on the board, ``job_chip`` in the job that has the board,
    which is ``job_id``, None if there is none.
    """

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
_STATES = tuple(JobState)

NO_MACHINE: MachineInfo = {
    "width": None,
    "height": None,
    "connections": None,
    "machine_name": None,
    "boards": None,
}


def job_state(answer: Any) -> JobStateInfo:
    """A state with every key, absent things None as on the Python server."""
    told = _object(answer, "the state of a job")
    state = cast("JobStateInfo", {**UNKNOWN_JOB, **told})
    if state["state"] not in _STATES:
        # Not to be taken for an unknown job: that one would be given up.
        raise UnknownStateError(state["state"])
    state["reason"] = state["reason"] or None
    if state["state"] not in (2, 3):
        state["power"] = None
    return state


def state_in(ask: Callable[[], Any]) -> JobStateInfo:
    """The state that ``get_job_state`` tells; `ask` sends it. The Java server refuses an
    unknown job."""
    try:
        return job_state(ask())
    except SpallocServerException as error:
        if kind_of_refusal(error.reason) is not Refusal.NO_JOB:
            raise
        return UNKNOWN_JOB.copy()


def machine_info(answer: Any) -> MachineInfo:
    """Machine information with every key, None for what the server does not tell.

    The Java server tells the size of what a job had before, without boards.
    """
    told = _object(answer, "a job's machine")
    return cast("MachineInfo", {**NO_MACHINE, **({} if told.get("boards") == [] else told)})


def with_links_renumbered(machine: MachineDescription) -> MachineDescription:
    """A machine whose dead links are numbered clockwise, with the numbers of
    :class:`~spalloc_gevent.geometry.Link`."""
    links = [[x, y, z, int(LINKS_CLOCKWISE[n])] for x, y, z, n in machine["dead_links"]]
    return {**machine, "dead_links": links}


def java_location(
    told: Location, question: Mapping[str, Any], torus: Torus, origin: Board | None
) -> Location:
    """The Java server's answer to ``where_is`` with the chips that it gets wrong.

    Args:
        told: the answer, right about the board and the job.
        question: what was asked for, in any of the four ways.
        torus: the machine's size in triads.
        origin: the board that the job's chips are counted from; None without a job.
    """
    x, y, z = told["logical"]
    corner, asked = ethernet_chip((x, y, z)), None
    if "chip_x" in question:
        asked = question["chip_x"], question["chip_y"]
    # A job begins at a corner of triads, or has one board: its chips lie on boards as a machine's.
    on_board = (0, 0) if asked is None else chip_on_board(asked)
    chip = wrapped_chip((corner[0] + on_board[0], corner[1] + on_board[1]), *torus)
    return {
        "machine": told["machine"],
        "logical": told["logical"],
        "physical": told["physical"],
        "chip": list(chip),
        "board_chip": list(on_board),
        "job_id": None if origin is None else told["job_id"],
        "job_chip": None if origin is None else list(job_chip(chip, origin, *torus)),
    }


def _object(answer: Any, what: str) -> Mapping[str, Any]:
    if answer is None:
        return {}
    if not isinstance(answer, Mapping):
        raise ProtocolError(f"the server was asked for {what} and said {reprlib.repr(answer)}")
    return answer


class Refusal(enum.Enum):
    """What a refusal means."""

    NO_JOB = "there is no such job: nothing else says that a job is gone"
    NOTHING_THERE = "what was asked for is not there: null on the Python server"
    DATABASE_BUSY = "nothing has happened, and the same may be asked again"
    OTHER = "what its text says"


_PARTS = (
    ("deadlock found when trying to get lock", Refusal.DATABASE_BUSY),
    ("lock wait timeout", Refusal.DATABASE_BUSY),
    ("no such job", Refusal.NO_JOB),
    ("no such", Refusal.NOTHING_THERE),
    ("not allocated", Refusal.NOTHING_THERE),
    ("no boards currently allocated", Refusal.NOTHING_THERE),
    ("not found", Refusal.NOTHING_THERE),
    ("unknown", Refusal.NOTHING_THERE),
    ("negative values not supported", Refusal.NOTHING_THERE),
)
"""Parts of refusals; the first that is found counts."""


def kind_of_refusal(reason: str) -> Refusal:
    """What the text of a refusal means."""
    told = reason.lower()
    return next((kind for part, kind in _PARTS if part in told), Refusal.OTHER)


def is_database_busy(reply: AnyReply | None) -> bool:
    """True if a reply is a refusal by the database: nothing has happened."""
    return isinstance(reply, ErrorReply) and kind_of_refusal(reply.reason) is Refusal.DATABASE_BUSY


def means_nothing(reason: str) -> bool:
    """True if a refusal only says that what was asked for is not there."""
    return kind_of_refusal(reason) in (Refusal.NO_JOB, Refusal.NOTHING_THERE)
