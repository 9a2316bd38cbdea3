"""The commands as the Java server's version-1 service answers them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.geometry import (
    BOARD_CHIPS,
    Board,
    Chip,
    board_with_chip,
    ethernet_chip,
    job_origin,
)
from spalloc_gevent.simulator.allocator import AllocatedJobs
from spalloc_gevent.simulator.commands import Asker, Commands, machine_info_of
from spalloc_gevent.simulator.java_arguments import (
    Arguments,
    JavaException,
    integer_from,
    is_plain_integer,
    keepalive_from,
    owner_from,
)
from spalloc_gevent.simulator.jobs import SimulatedJob
from spalloc_gevent.simulator.machine import Machine
from spalloc_gevent.simulator.watches import JavaJobWatches, JavaMachineWatches
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest

HIDDEN = "<Hidden>"
NO_DESCRIPTION = "No description."
NO_BOARDS = "no boards currently allocated"
NO_BOARD = "no such board"
DATABASE_BUSY = (
    "PreparedStatementCallback; Deadlock found when trying to get lock; try restarting transaction",
    "PreparedStatementCallback; Lock wait timeout exceeded; try restarting transaction",
)


class ProblemReport(NamedTuple):
    """A bad board, chip or core as a client has reported it."""

    address: str
    chip: tuple[int, int] | None
    core: int | None
    description: str


class JavaCommands(Commands[AllocatedJobs]):
    """The commands of the Java server."""

    known = frozenset(COMMANDS)

    def __init__(self, jobs: AllocatedJobs, version: str) -> None:
        watches: JavaJobWatches[Asker] = JavaJobWatches(jobs.timers.clock, lambda: {*jobs.living})
        super().__init__(jobs, version, watches, JavaMachineWatches())
        self.reports: list[ProblemReport] = []
        self._reported: set[tuple[str, int]] = set()
        self._refusals = 0

    def answer(self, asker: Asker, request: CommandRequest) -> object:
        if request.name not in self.known:
            raise JavaException(f"unknown command: {request.name}")
        if request.name == "version":
            return self.version(asker)
        if self.jobs.strikes_database():
            self._refusals += 1
            raise JavaException(DATABASE_BUSY[self._refusals % 2])
        method: Callable[[Asker, Arguments], object] = getattr(self, request.name)
        return method(asker, Arguments(request.args, request.kwargs))

    def must_wait(self, request: CommandRequest) -> bool:
        """Whether the allocator holds the job that a command names."""
        command = COMMANDS.get(request.name)
        named = request.args[:1] if command and command.parameters[:1] == ("job_id",) else []
        if request.name == "where_is":
            named = [request.kwargs.get("job_id")]
        return any(is_plain_integer(job_id) and self.jobs.is_locked(job_id) for job_id in named)

    # -- jobs ---------------------------------------------------------------------------

    def _job(self, job_id: int) -> SimulatedJob:
        job = self.jobs.find(job_id)
        if job is None:
            raise JavaException("no such job")
        return job

    def _kept_alive(self, asker: Asker, arguments: Arguments) -> SimulatedJob:
        job = self._job(arguments.integer(0))
        self.jobs.keep_alive(job.job_id, asker.host)
        return job

    def create_job(self, _asker: Asker, arguments: Arguments, /) -> int:
        args, kwargs = arguments.args, arguments.kwargs
        if len(args) > 3:
            raise JavaException(f"unsupported number of arguments: {len(args)}")
        # Here true counts as 1.
        numbers = [integer_from(int(n) if isinstance(n, bool) else n) for n in args]
        owner = owner_from(kwargs.get("owner"))
        keepalive_s = keepalive_from(kwargs.get("keepalive"))
        if len(numbers) in (1, 2) and not math.prod(numbers):
            columns = "num_boards" if len(numbers) == 1 else "width, height"
            raise JavaException(
                f"PreparedStatementCallback; SQL [INSERT INTO job_request(job_id, {columns}"
            )
        dead_boards = kwargs.get("max_dead_boards")
        most_dead = 0 if dead_boards is None else integer_from(dead_boards)
        job_id = self.jobs.create(numbers, owner, keepalive_s, args, kwargs, most_dead)
        if job_id is None:
            raise JavaException("no machine available which matches allocation request")
        return job_id

    def job_keepalive(self, asker: Asker, arguments: Arguments, /) -> None:
        self._kept_alive(asker, arguments)

    def get_job_state(self, asker: Asker, arguments: Arguments, /) -> dict[str, object]:
        job = self._job(arguments.integer(0))
        # Told before this command itself has kept it alive.
        state = {
            "state": int(job.state),
            "power": all_boards_are_on(job),
            "start_time": float(int(job.start_time)),
            "reason": job.reason or "",
            "keepalivehost": job.keepalive_host or "",
            "keepalive": float(int(job.kept_alive_at)),
        }
        self.jobs.keep_alive(job.job_id, asker.host)
        return state

    def get_job_machine_info(self, asker: Asker, arguments: Arguments, /) -> dict[str, object]:
        job = self._kept_alive(asker, arguments)
        if job.held is None:
            raise JavaException("boards not allocated")
        return machine_info_of(job)

    def power_on_job_boards(self, asker: Asker, arguments: Arguments, /) -> None:
        self._power(asker, arguments, on=True)

    def power_off_job_boards(self, asker: Asker, arguments: Arguments, /) -> None:
        self._power(asker, arguments, on=False)

    def _power(self, asker: Asker, arguments: Arguments, *, on: bool) -> None:
        job = self._kept_alive(asker, arguments)
        if job.held is None or job.state is JobState.queued:
            raise JavaException(NO_BOARDS)
        self.jobs.set_power(job.job_id, asker.host, on=on)

    def destroy_job(self, _asker: Asker, arguments: Arguments, /) -> None:
        job = self._job(arguments.integer(0))
        self.jobs.destroy(job.job_id, str(arguments.kwargs.get("reason") or ""))

    def list_jobs(self, _asker: Asker, _arguments: Arguments, /) -> list[dict[str, Any]]:
        jobs = self.jobs.living.values()
        for job in jobs:
            if not all(map(is_plain_integer, job.args)):
                raise ProtocolError(f"the arguments of job {job.job_id} cannot be listed")
        return [
            {
                "owner": job.owner,
                "state": int(job.state),
                "power": job.boards is not None and all_boards_are_on(job),
                "reason": "",
                "args": job.args,
                "kwargs": job.kwargs,
                "boards": list(job.boards or ()),
                "job_id": job.job_id,
                "start_time": float(int(job.start_time)),
                "keepalive": float(job.keepalive_s or 0),
                "allocated_machine_name": None if job.machine is None else job.machine.name,
                "keepalivehost": job.keepalive_host or HIDDEN,
            }
            for job in jobs
        ]

    def notify_job(self, asker: Asker, arguments: Arguments, /) -> None:
        job = self._kept_alive(asker, arguments) if arguments.args else None
        self.job_watches.start(asker, None if job is None else job.job_id)

    def no_notify_job(self, asker: Asker, arguments: Arguments, /) -> None:
        job = self._kept_alive(asker, arguments) if arguments.args else None
        self.job_watches.stop(asker, None if job is None else job.job_id)

    # -- machines and places ------------------------------------------------------------

    def _machine(self, name: object) -> Machine:
        machine = self.jobs.machine(name) if isinstance(name, str) else None
        if machine is None:
            raise JavaException("no such machine")
        return machine

    def notify_machine(self, asker: Asker, arguments: Arguments, /) -> None:
        name = arguments.args[0] if arguments.args else None
        self.machine_watches.start(asker, None if name is None else self._machine(name).name)

    def no_notify_machine(self, asker: Asker, arguments: Arguments, /) -> None:
        name = arguments.args[0] if arguments.args else None
        self.machine_watches.stop(asker, None if name is None else self._machine(name).name)

    def list_machines(self, _asker: Asker, _arguments: Arguments, /) -> list[dict[str, object]]:
        return [site.machine.described() for _, site in sorted(self.jobs.sites.items())]

    def get_board_position(self, _asker: Asker, arguments: Arguments, /) -> object:
        x, y, z = arguments.integers("x", "y", "z")
        machine = self._machine(arguments.kwargs.get("machine_name"))
        if (x, y, z) not in machine.places:
            raise JavaException(NO_BOARD)
        return machine.places[x, y, z]

    def get_board_at_position(self, _asker: Asker, arguments: Arguments, /) -> object:
        cabinet, frame, slot = arguments.integers("x", "y", "z")
        machine = self._machine(arguments.kwargs.get("machine_name"))
        if (cabinet, frame, slot) not in machine.boards:
            raise JavaException(NO_BOARD)
        return machine.boards[cabinet, frame, slot]

    def where_is(self, asker: Asker, arguments: Arguments, /) -> dict[str, Any]:
        asked = arguments.kwargs
        if "job_id" in asked:
            return self._where_in_job(asker, arguments)
        if "machine" not in asked:
            raise JavaException("missing parameter: machine")
        machine = self._machine(asked["machine"])
        chip = None
        if "chip_x" in asked:
            x, y = arguments.integers("chip_x", "chip_y")
            # Looked for on a board, whichever; so chips of other boards are nowhere.
            board = next(iter(machine.places)) if (x, y) in BOARD_CHIPS else None
            chip = x, y
        elif "x" in asked:
            x, y, z = arguments.integers("x", "y", "z")
            board = (x, y, z)
        elif "cabinet" in asked:
            cabinet, frame, slot = arguments.integers("cabinet", "frame", "board")
            board = machine.boards.get((cabinet, frame, slot))
        else:
            raise JavaException("missing parameter: chip_x, x, or cabinet")
        return self._located(machine, board, chip)

    def _where_in_job(self, asker: Asker, arguments: Arguments) -> dict[str, Any]:
        job = self._job(arguments.integer("job_id"))
        x, y = arguments.integers("chip_x", "chip_y")
        self.jobs.keep_alive(job.job_id, asker.host)
        if job.boards and job.held and job.machine:
            corners = dict(zip(job.connections, job.boards, strict=True))
            found = board_with_chip((x, y), corners, job.held.dimensions)
            if found is not None:
                located = self._located(job.machine, corners[found[0]], (x, y))
                return {**located, "board_chip": found[0]}
        raise JavaException(NO_BOARDS)

    def _located(
        self, machine: Machine, board: Board | None, chip: Chip | None = None
    ) -> dict[str, Any]:
        if board is None or board not in machine.places:
            raise JavaException(NO_BOARD)
        corner = ethernet_chip(board)
        x, y = corner if chip is None else chip
        job = self.jobs.sites[machine.name].holders.get(board)
        job_chip = None
        if job is not None and job.held is not None:
            # The server adds where it should subtract: right only of a job at the corner.
            origin_x, origin_y = ethernet_chip(job_origin(job.held.boards))
            job_chip = (x + origin_x, y + origin_y)
        return {
            "job_chip": job_chip,
            "job_id": None if job is None else job.job_id,
            "chip": (x, y),
            "logical": board,
            "machine": machine.name,
            "board_chip": corner,
            "physical": machine.places[board],
        }

    def report_problem(self, _asker: Asker, arguments: Arguments, /) -> None:
        """A bad board is noted; nobody comes to mend it.

        What stands behind the address is passed over; a chip has both its coordinates, a core
        has a chip, or they are passed over too. A board of a job is taken once.
        """
        address, told = str(arguments.at(0)), arguments.kwargs
        x, y, p = (arguments.integer(name) if name in told else None for name in "xyp")
        chip = None if x is None or y is None else (x, y)
        job = self.jobs.holder_of(address)
        if job is not None:
            if (address, job.job_id) in self._reported:
                raise JavaException("PreparedStatementCallback; Duplicate entry for key 'board_id'")
            self._reported.add((address, job.job_id))
        description = str(told.get("description", NO_DESCRIPTION))
        self.reports.append(ProblemReport(address, chip, chip and p, description))


def all_boards_are_on(job: SimulatedJob) -> bool:
    """True as well of a job that has lost its boards: none of them is off."""
    if job.released and job.state is not JobState.queued:
        return True
    return job.state is JobState.ready and bool(job.power)
