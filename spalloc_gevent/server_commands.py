"""The server's commands as typed methods, whatever carries them (the manual's 8.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from spalloc_gevent.errors import SpallocServerException, UnsupportedCommandError
from spalloc_gevent.wire.answers import (
    NO_MACHINE,
    UNKNOWN_JOB,
    JobDescription,
    JobStateInfo,
    Location,
    MachineDescription,
    MachineInfo,
    job_state,
    machine_info,
    means_no_job,
    means_nothing,
)
from spalloc_gevent.wire.checks import as_int, at_least, check_create_job, check_where_is

DEFAULT_PORT = 22244


class NotGiven:
    """What stands for a time-out that the caller did not name: the client's own counts then."""

    def __repr__(self) -> str:
        return "the client's own timeout"


NOT_GIVEN = NotGiven()
Timeout = float | NotGiven | None
"""Seconds; None waits for ever; not given: what the client was made with."""


class ServerCommands(ABC):
    """Every command that asks or steers, checked before it is sent, its answer made regular.

    Every method raises ProtocolTimeoutError when the server does not answer within `timeout`
    seconds, ConnectionLostError when it cannot be reached or breaks off, and
    SpallocServerException when it refuses.
    """

    @abstractmethod
    def _ask(self, name: str, *args: object, timeout: Timeout, **kwargs: object) -> Any:
        """Send one command; what the server returns for it."""

    def version(self, timeout: Timeout = NOT_GIVEN) -> str:
        """The server's version as it tells it, for example ``"1!7.0.0"`` or ``"5.0.0"``."""
        return str(self._ask("version", timeout=timeout))

    def create_job(self, *args: int, timeout: Timeout = NOT_GIVEN, **kwargs: Any) -> int:
        """Ask for boards; returns the new job's ID.

        Nothing or 1: one board; n: at least n boards; width, height: triads;
        x, y, z: the board there. Keywords: ``owner`` (required), ``keepalive``
        (seconds or None), ``machine``, ``tags``, ``min_ratio``,
        ``max_dead_boards``, ``max_dead_links``, ``require_torus``. Raises
        ValueError or TypeError, before anything is sent, for a request that a
        server would not survive or would lose; ConnectionLostError with
        ``may_have_happened`` when the connection broke before the answer.
        """
        size = check_create_job(args, kwargs)
        return int(self._ask("create_job", *size, timeout=timeout, **_as_json(kwargs)))

    def job_keepalive(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> None:
        """Tell the server that the job is still in use."""
        self._ask("job_keepalive", as_int(job_id, "job_id"), timeout=timeout)

    def get_job_state(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> JobStateInfo:
        """A job's state, power, keepalive, reason, start time and owner's host.

        An ID that the server does not know has state 0 (unknown). Counts as the
        job's keepalive.
        """
        return state_told(
            lambda: self._ask("get_job_state", as_int(job_id, "job_id"), timeout=timeout)
        )

    def get_job_machine_info(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> MachineInfo:
        """The hardware held by a job; every value is None until boards are allocated.

        width, height in chips (not triads); connections ``[[[x, y], hostname],
        ...]``; boards ``[[x, y, z], ...]``, logical. Counts as a keepalive.
        """
        try:
            answer = self._ask("get_job_machine_info", as_int(job_id, "job_id"), timeout=timeout)
        except SpallocServerException as error:
            if not means_nothing(error.reason):
                raise
            return NO_MACHINE.copy()
        return machine_info(answer)

    def power_on_job_boards(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> None:
        """Power the job's boards on; boards that are on are reset."""
        self._ask("power_on_job_boards", as_int(job_id, "job_id"), timeout=timeout)

    def power_off_job_boards(self, job_id: int, timeout: Timeout = NOT_GIVEN) -> None:
        """Power the job's boards off."""
        self._ask("power_off_job_boards", as_int(job_id, "job_id"), timeout=timeout)

    def destroy_job(
        self, job_id: int, reason: str | None = None, timeout: Timeout = NOT_GIVEN
    ) -> None:
        """End a job, for everybody to see with the `reason`.

        The command still goes out when the caller stops waiting for its answer.
        """
        # As a keyword: the Java server takes it in no other way.
        self._ask("destroy_job", as_int(job_id, "job_id"), timeout=timeout, reason=reason)

    def list_jobs(self, timeout: Timeout = NOT_GIVEN) -> list[JobDescription]:
        """Every job that is not destroyed, the oldest first; keeps none of them alive."""
        return cast("list[JobDescription]", self._ask("list_jobs", timeout=timeout))

    def list_machines(self, timeout: Timeout = NOT_GIVEN) -> list[MachineDescription]:
        """Every machine, the highest priority first; width and height in triads."""
        return cast("list[MachineDescription]", self._ask("list_machines", timeout=timeout))

    def get_board_position(
        self, machine_name: str, x: int, y: int, z: int, timeout: Timeout = NOT_GIVEN
    ) -> tuple[int, int, int] | None:
        """Cabinet, frame and board of the board at logical (x, y, z), or None."""
        place = _place(machine_name, x, y, z)
        return _triple(self._ask_or_none("get_board_position", place, timeout))

    def get_board_at_position(
        self, machine_name: str, x: int, y: int, z: int, timeout: Timeout = NOT_GIVEN
    ) -> tuple[int, int, int] | None:
        """Logical (x, y, z) of the board in cabinet `x`, frame `y`, place `z`, or None."""
        place = _place(machine_name, x, y, z)
        return _triple(self._ask_or_none("get_board_at_position", place, timeout))

    def where_is(self, timeout: Timeout = NOT_GIVEN, **kwargs: Any) -> Location | None:
        """Where a board or chip is, or None when there is none.

        Takes exactly (machine, x, y, z), (machine, cabinet, frame, board),
        (machine, chip_x, chip_y) or (job_id, chip_x, chip_y), else ValueError.
        Coordinates too large wrap around on the Python server.
        """
        question = check_where_is(kwargs)
        return cast("Location | None", self._ask_or_none("where_is", question, timeout))

    def report_problem(
        self,
        address: str,
        x: int | None = None,
        y: int | None = None,
        p: int | None = None,
        description: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> None:
        """Tell the server of a bad board, of a chip (x, y) on it, or of that chip's processor p.

        `address` is the board's IP address or hostname, as ``get_job_machine_info``
        tells it; x and y count from the board's own chip (0, 0). Raises
        UnsupportedCommandError, having sent nothing of it, where the server has
        no such command, as the Python server; ValueError for a chip with one
        coordinate or a processor of no chip.
        """
        place = _reported_place(x, y, p)
        if not isinstance(address, str) or not address.strip():
            raise ValueError(f"address must be a board's IP address or hostname, not {address!r}")
        self._check_takes_reports(timeout)
        self._report(address, place, description, timeout)

    def report_chip(
        self,
        job_id: int,
        chip_x: int,
        chip_y: int,
        processor: int | None = None,
        description: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> None:
        """As :meth:`report_problem`, of a chip among those of a job; ValueError if it has none."""
        self._check_takes_reports(timeout)
        chip = as_int(chip_x, "chip_x"), as_int(chip_y, "chip_y")
        found = self.where_is(timeout, job_id=job_id, chip_x=chip_x, chip_y=chip_y)
        # Some servers wrap coordinates around to a chip that nobody has asked about.
        if found is None or tuple(found["job_chip"] or ()) != chip or found["board_chip"] is None:
            raise ValueError(f"job {job_id} has no chip {chip}")
        x, y = found["board_chip"]
        address = _board_address(job_id, self.get_job_machine_info(job_id, timeout), chip, (x, y))
        self._report(address, _reported_place(x, y, processor), description, timeout)

    def _report(
        self, address: str, place: dict[str, Any], description: str | None, timeout: Timeout
    ) -> None:
        if description is not None:
            place["description"] = str(description)
        self._ask("report_problem", address, timeout=timeout, **place)

    def _check_takes_reports(self, timeout: Timeout) -> None:
        """Raise UnsupportedCommandError on a server that would hang up on a report.

        Its version does not tell: a Python server may say 5.0.0 as well. How it answers about
        a job that cannot be does: the Java server refuses, which it does for all it does not
        know, and the Python server answers.
        """
        try:
            self._ask("get_job_state", _NO_JOB, timeout=timeout)
        except SpallocServerException:
            return
        raise UnsupportedCommandError(
            "this server takes no reports of bad boards (only the Java server does); "
            "nothing was reported: tell those who run it"
        )

    def _ask_or_none(self, name: str, kwargs: dict[str, Any], timeout: Timeout) -> Any:
        try:
            return self._ask(name, timeout=timeout, **kwargs)
        except SpallocServerException as error:
            if not means_nothing(error.reason):
                raise
            return None


def state_told(ask: Callable[[], Any]) -> JobStateInfo:
    """What ``get_job_state`` tells; `ask` sends it. The Java server refuses an unknown job."""
    try:
        return job_state(ask())
    except SpallocServerException as error:
        if not means_no_job(error.reason):
            raise
        return UNKNOWN_JOB.copy()


def as_port(port: int | str) -> int:
    try:
        number = int(port) if isinstance(port, str) else as_int(port, "port")
    except ValueError:
        raise ValueError(f"port must be a number from 1 to 65535, not {port!r}") from None
    if not 1 <= number <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535, not {port!r}")
    return number


def _as_json(kwargs: dict[str, Any]) -> dict[str, Any]:
    tags = kwargs.get("tags")
    return kwargs if tags is None else {**kwargs, "tags": list(tags)}


def _place(machine_name: str, x: int, y: int, z: int) -> dict[str, Any]:
    # By name: the Java server takes them in no other way.
    return {
        "machine_name": machine_name,
        "x": as_int(x, "x"),
        "y": as_int(y, "y"),
        "z": as_int(z, "z"),
    }


_NO_JOB = 0
"""Jobs are numbered from 1."""


def _reported_place(x: int | None, y: int | None, p: int | None) -> dict[str, Any]:
    if (x is None) != (y is None):
        raise ValueError(f"a chip has two coordinates, not x={x!r} and y={y!r}")
    if p is not None and x is None:
        raise ValueError(f"processor {p!r} is of no chip: give x and y too")
    given = {name: value for name, value in (("x", x), ("y", y), ("p", p)) if value is not None}
    return {name: at_least(value, 0, name) for name, value in given.items()}


def _board_address(
    job_id: int, info: MachineInfo, chip: tuple[int, int], board_chip: tuple[int, int]
) -> str:
    """The hostname of the board in the job that has `chip` at `board_chip`, counted from its own.

    The chips of a job that spans its whole machine go on at the opposite edge.
    """
    width, height, connections = info["width"], info["height"], info["connections"]
    if not width or not height or connections is None:
        raise ValueError(f"job {job_id} has no boards (any more)")
    corner = (chip[0] - board_chip[0]) % width, (chip[1] - board_chip[1]) % height
    hostnames = {(x, y): hostname for (x, y), hostname in connections}
    if corner not in hostnames:
        raise ValueError(f"the server tells no address of the board with chip {chip}")
    return hostnames[corner]


def _triple(answer: Any) -> tuple[int, int, int] | None:
    return None if answer is None else cast("tuple[int, int, int]", tuple(answer))
