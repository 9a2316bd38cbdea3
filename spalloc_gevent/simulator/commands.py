"""The server's commands, as methods that answer them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.geometry import Chip
from spalloc_gevent.simulator.jobs import Job, Jobs
from spalloc_gevent.simulator.watches import Watches
from spalloc_gevent.simulator.where_is import where_is
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


class Commands:
    """Answers commands from jobs, and notes who watches what.

    The methods named like commands take what the commands take, the asking
    client first, and give what JSON can carry. TypeError and ValueError are
    what the client gets for arguments that do not fit.
    """

    known = frozenset(name for name, command in COMMANDS.items() if not command.only_java)
    """The names of the commands that there are."""

    def __init__(self, jobs: Jobs, version: str) -> None:
        self._jobs = jobs
        self._version = version
        self.job_watches: Watches[Asker] = Watches()
        self.machine_watches: Watches[Asker] = Watches()

    def carry_out(self, asker: Asker, request: CommandRequest) -> Reply | ErrorReply:
        """What the server answers; ProtocolError when there is no such command."""
        if request.name not in self.known:
            raise ProtocolError(f"no such command: {request.name!r}")
        method: Callable[..., object] = getattr(self, request.name)
        kwargs = {name: value for name, value in request.kwargs.items() if name != "client"}
        try:
            return Reply(method(asker, *request.args, **kwargs))
        except (TypeError, ValueError, OverflowError) as error:
            return ErrorReply(str(error))

    def must_wait(self, _request: CommandRequest) -> bool:
        """Whether the command cannot be carried out yet."""
        return False

    def notifications(self) -> Iterator[tuple[Asker, dict[str, Any]]]:
        """Who is to be told what now."""
        for asker, ids in self.job_watches.concerned(self._jobs.take_changed_jobs()):
            yield asker, {"jobs_changed": ids}
        for asker, names in self.machine_watches.concerned(self._jobs.take_changed_machines()):
            yield asker, {"machines_changed": names}

    def next_due(self) -> float:
        """When, by the clock, somebody is to be told something again: never."""
        return float("inf")

    def forget(self, asker: Asker) -> None:
        """The client is gone, and with it its watches; not its jobs."""
        self.job_watches.forget(asker)
        self.machine_watches.forget(asker)

    def version(self, _asker: Asker, /) -> str:
        return self._version

    def create_job(self, asker: Asker, /, *args: Any, **kwargs: Any) -> int:
        return self._jobs.create(asker.host, args, kwargs)

    def job_keepalive(self, asker: Asker, /, job_id: Any) -> None:
        self._jobs.keep_alive(job_id, asker.host)

    def get_job_state(self, asker: Asker, /, job_id: Any) -> dict[str, object]:
        job = self._jobs.keep_alive(job_id, asker.host)
        return self._gone(job_id) if job is None else _state_of(job)

    def _gone(self, job_id: Any) -> dict[str, object]:
        destroyed = self._jobs.was_destroyed(job_id)
        return {
            "state": int(JobState.destroyed if destroyed else JobState.unknown),
            "power": None,
            "keepalive": None,
            "reason": self._jobs.reason(job_id),
            "start_time": None,
            "keepalivehost": None,
        }

    def get_job_machine_info(self, asker: Asker, /, job_id: Any) -> dict[str, object]:
        job = self._jobs.keep_alive(job_id, asker.host)
        return dict(NO_MACHINE) if job is None else _machine_info_of(job)

    def power_on_job_boards(self, asker: Asker, /, job_id: Any) -> None:
        self._jobs.set_power(job_id, asker.host, on=True)

    def power_off_job_boards(self, asker: Asker, /, job_id: Any) -> None:
        self._jobs.set_power(job_id, asker.host, on=False)

    def destroy_job(self, _asker: Asker, /, job_id: Any, reason: Any = None) -> None:
        self._jobs.destroy(job_id, reason)

    def notify_job(self, asker: Asker, /, job_id: Any = None) -> None:
        self.job_watches.start(asker, job_id)

    def no_notify_job(self, asker: Asker, /, job_id: Any = None) -> None:
        self.job_watches.stop(asker, job_id)

    def notify_machine(self, asker: Asker, /, machine_name: Any = None) -> None:
        self.machine_watches.start(asker, machine_name)

    def no_notify_machine(self, asker: Asker, /, machine_name: Any = None) -> None:
        self.machine_watches.stop(asker, machine_name)

    def list_jobs(self, _asker: Asker, /) -> list[dict[str, Any]]:
        return listed_jobs(self._jobs)

    def list_machines(self, _asker: Asker, /) -> list[dict[str, object]]:
        return [machine.described() for machine in self._jobs.machines]

    def get_board_position(
        self, _asker: Asker, /, machine_name: Any, x: Any, y: Any, z: Any
    ) -> tuple[int, int, int] | None:
        machine = self._jobs.machine(machine_name)
        return None if machine is None else machine.place_of((x, y, z))

    def get_board_at_position(
        self, _asker: Asker, /, machine_name: Any, x: Any, y: Any, z: Any
    ) -> tuple[int, int, int] | None:
        machine = self._jobs.machine(machine_name)
        return None if machine is None else machine.board_at((x, y, z))

    def where_is(self, _asker: Asker, /, **question: Any) -> dict[str, Any] | None:
        return where_is(self._jobs, question)


def _state_of(job: Job) -> dict[str, object]:
    return {
        "state": int(job.state),
        "power": job.power,
        "keepalive": job.keepalive_s,
        "reason": None,
        "start_time": job.start_time,
        "keepalivehost": job.keepalive_host,
    }


def _machine_info_of(job: Job) -> dict[str, object]:
    if job.allocation is None or job.machine is None:
        return dict(NO_MACHINE)
    width, height = job.allocation.dimensions
    connections: list[tuple[Chip, str]] = list(job.connections.items())
    return {
        "width": width,
        "height": height,
        "connections": connections,
        "machine_name": job.machine.name,
        "boards": list(job.allocation.boards),
    }


def listed_jobs(jobs: Jobs) -> list[dict[str, Any]]:
    """The jobs as ``list_jobs`` of the Python server tells them, oldest first."""
    return [_listed(job) for job in jobs]


def _listed(job: Job) -> dict[str, Any]:
    return {
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
