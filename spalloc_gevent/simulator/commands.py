"""The commands as the Python server answers them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.geometry import (
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
from spalloc_gevent.simulator.jobs import Jobs, SimulatedJob
from spalloc_gevent.simulator.machine import Machine
from spalloc_gevent.simulator.queues import QueuedJobs
from spalloc_gevent.simulator.watches import Watches
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Reply

NO_MACHINE: dict[str, object] = dict.fromkeys(
    ("width", "height", "connections", "machine_name", "boards")
)


class Asker(Protocol):
    """The client that sent a command."""

    @property
    def host(self) -> str: ...


AnyJobs = TypeVar("AnyJobs", bound=Jobs)


class Commands(Generic[AnyJobs]):
    """What answers commands from jobs, and notes who watches what.

    The methods named like commands take what the commands take, the asking
    client first, and give what JSON can carry. TypeError and ValueError are
    what the client gets for arguments that do not fit.
    """

    known: ClassVar[frozenset[str]]
    """The names of the commands that there are."""

    def __init__(
        self,
        jobs: AnyJobs,
        version: str,
        job_watches: Watches[Asker],
        machine_watches: Watches[Asker],
    ) -> None:
        self.jobs = jobs
        self._version = version
        self.job_watches = job_watches
        self.machine_watches = machine_watches

    def carry_out(self, asker: Asker, request: CommandRequest) -> Reply | ErrorReply:
        """What the server answers; ProtocolError when it hangs up instead."""
        try:
            return Reply(self.answer(asker, request))
        except (TypeError, ValueError, OverflowError) as error:
            return ErrorReply(str(error))

    def answer(self, asker: Asker, request: CommandRequest) -> object:
        """What a command returns."""
        raise NotImplementedError

    def must_wait(self, _request: CommandRequest) -> bool:
        """Whether the command cannot be carried out yet."""
        return False

    def notifications(self) -> Iterator[tuple[Asker, dict[str, Any]]]:
        """Who is to be told what now."""
        jobs, machines = self.jobs.take_changes()
        times = 2 if self.jobs.java and self.jobs.options.notify_twice else 1
        for asker, ids in self.job_watches.concerned(jobs):
            yield from [(asker, {"jobs_changed": ids})] * times
        for asker, names in self.machine_watches.concerned(machines):
            yield from [(asker, {"machines_changed": names})] * times

    def next_due(self) -> float:
        """When, by the clock, there is something to do or to tell."""
        return min(self.jobs.timers.next_due(), self.job_watches.next_due())

    def forget(self, asker: Asker) -> None:
        """The client is gone, and with it its watches; not its jobs."""
        self.job_watches.forget(asker)
        self.machine_watches.forget(asker)

    def version(self, _asker: Asker, /) -> str:
        return self._version


class PythonCommands(Commands[QueuedJobs]):
    """The commands of the Python server."""

    known = frozenset(name for name, command in COMMANDS.items() if not command.only_java)

    def __init__(self, jobs: QueuedJobs, version: str) -> None:
        super().__init__(jobs, version, Watches(), Watches())

    def answer(self, asker: Asker, request: CommandRequest) -> object:
        if request.name not in self.known:
            raise ProtocolError(f"no such command: {request.name!r}")
        method: Callable[..., object] = getattr(self, request.name)
        kwargs = {name: value for name, value in request.kwargs.items() if name != "client"}
        return method(asker, *request.args, **kwargs)

    def create_job(self, asker: Asker, /, *args: Any, **kwargs: Any) -> int:
        return self.jobs.create(asker.host, args, kwargs)

    def job_keepalive(self, asker: Asker, /, job_id: Any) -> None:
        self.jobs.keep_alive(job_id, asker.host)

    def get_job_state(self, asker: Asker, /, job_id: Any) -> dict[str, object]:
        job = self.jobs.keep_alive(job_id, asker.host)
        gone = self.jobs.destroyed.get(job_id)
        unknown = JobState.unknown if gone is None else JobState.destroyed
        return {
            "state": int(unknown if job is None else job.state),
            "power": None if job is None else job.power,
            "keepalive": None if job is None else job.keepalive_s,
            "reason": None if gone is None else gone.reason,
            "start_time": None if job is None else job.start_time,
            "keepalivehost": None if job is None else job.keepalive_host,
        }

    def get_job_machine_info(self, asker: Asker, /, job_id: Any) -> dict[str, object]:
        job = self.jobs.keep_alive(job_id, asker.host)
        return dict(NO_MACHINE) if job is None or job.held is None else machine_info_of(job)

    def power_on_job_boards(self, asker: Asker, /, job_id: Any) -> None:
        self.jobs.set_power(job_id, asker.host, on=True)

    def power_off_job_boards(self, asker: Asker, /, job_id: Any) -> None:
        self.jobs.set_power(job_id, asker.host, on=False)

    def destroy_job(self, _asker: Asker, /, job_id: Any, reason: Any = None) -> None:
        self.jobs.destroy(job_id, reason)

    def notify_job(self, asker: Asker, /, job_id: Any = None) -> None:
        self.job_watches.start(asker, job_id)

    def no_notify_job(self, asker: Asker, /, job_id: Any = None) -> None:
        self.job_watches.stop(asker, job_id)

    def notify_machine(self, asker: Asker, /, machine_name: Any = None) -> None:
        self.machine_watches.start(asker, machine_name)

    def no_notify_machine(self, asker: Asker, /, machine_name: Any = None) -> None:
        self.machine_watches.stop(asker, machine_name)

    def list_jobs(self, _asker: Asker, /) -> list[dict[str, Any]]:
        return listed_jobs(self.jobs)

    def list_machines(self, _asker: Asker, /) -> list[dict[str, object]]:
        return [site.machine.described() for site in self.jobs.sites.values()]

    def get_board_position(
        self, _asker: Asker, /, machine_name: Any, x: Any, y: Any, z: Any
    ) -> tuple[int, int, int] | None:
        machine = self.jobs.machine(machine_name)
        return None if machine is None else machine.places.get((x, y, z))

    def get_board_at_position(
        self, _asker: Asker, /, machine_name: Any, x: Any, y: Any, z: Any
    ) -> tuple[int, int, int] | None:
        machine = self.jobs.machine(machine_name)
        return None if machine is None else machine.boards.get((x, y, z))

    def where_is(self, _asker: Asker, /, **asked: Any) -> dict[str, Any] | None:
        """None where nothing is; coordinates wrap around."""
        found = chip_asked_for(self.jobs, asked)
        if found is None:
            return None
        machine, chip = found
        chip = wrapped_chip(chip, machine.width, machine.height)
        board = board_of_chip(chip, machine.width, machine.height)
        job = self.jobs.sites[machine.name].holders.get(board)
        is_other_job = "job_id" in asked and (job is None or job.job_id != asked["job_id"])
        if board not in machine.places or is_other_job:
            return None
        return {
            "machine": machine.name,
            "logical": board,
            "physical": machine.places[board],
            "chip": chip,
            "board_chip": chip_on_board(chip),
            "job_id": None if job is None else job.job_id,
            "job_chip": None if job is None else chip_of_job(job, board, chip),
        }


def machine_info_of(job: SimulatedJob) -> dict[str, object]:
    """The machine and the boards of a job that has, or had, some."""
    assert job.machine is not None
    assert job.held is not None
    width, height = job.held.dimensions
    return {
        "width": width,
        "height": height,
        "connections": list(job.connections.items()),
        "machine_name": job.machine.name,
        "boards": list(job.boards or ()),
    }


def listed_jobs(jobs: Jobs) -> list[dict[str, Any]]:
    """The jobs as ``list_jobs`` of the Python server tells them, oldest first."""
    return [
        {
            "job_id": job.job_id,
            "owner": job.owner,
            "start_time": job.start_time,
            "keepalive": job.keepalive_s,
            "state": int(job.state),
            "power": job.power,
            "args": list(job.args),
            "kwargs": dict(job.kwargs),
            "allocated_machine_name": None if job.machine is None else job.machine.name,
            "boards": None if job.boards is None else list(job.boards),
            "keepalivehost": job.keepalive_host or "",
        }
        for job in jobs.living.values()
    ]


def chip_asked_for(jobs: Jobs, asked: Mapping[str, Any]) -> tuple[Machine, Chip] | None:
    """The chip that ``where_is`` asks for in one of four ways; None where there is none.

    A z that no board has counts as 0. Raises TypeError for what is none of the four ways, and for
    coordinates that are no whole numbers.
    """
    style = " ".join(sorted(asked))
    if style == "chip_x chip_y job_id":
        job = jobs.living.get(asked["job_id"])
        if job is None or job.machine is None or job.boards is None:
            return None
        chip = operator.index(asked["chip_x"]), operator.index(asked["chip_y"])
        origin, machine = job_origin(job.boards), job.machine
        return machine, machine_chip(chip, origin, machine.width, machine.height)
    if style not in ("machine x y z", "board cabinet frame machine", "chip_x chip_y machine"):
        raise TypeError(f"Invalid arguments: {', '.join(asked)}")
    found = jobs.machine(asked["machine"])
    if found is None:
        return None
    if "chip_x" in asked:
        return found, (operator.index(asked["chip_x"]), operator.index(asked["chip_y"]))
    if "x" in asked:
        z = int(asked["z"]) if asked["z"] in range(3) else 0
        board: Board | None = (operator.index(asked["x"]), operator.index(asked["y"]), z)
    else:
        board = found.boards.get((asked["cabinet"], asked["frame"], asked["board"]))
    return None if board is None else (found, ethernet_chip(board))


def chip_of_job(job: SimulatedJob, board: Board, chip: Chip) -> Chip:
    """A machine's chip in the coordinates of the job that has its board."""
    assert job.held is not None
    return chip_in_job(chip, board, job_origin(job.held.boards), job.held.dimensions)
