"""The commands as the Java server's version-1 service answers them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.geometry import (
    BOARD_CHIPS,
    Board,
    Chip,
    ethernet_chip,
    ethernet_chip_in_job,
    job_origin,
)
from spalloc_gevent.simulator.commands import Asker
from spalloc_gevent.simulator.java_arguments import (
    Arguments,
    Refusal,
    integer_from,
    is_plain_integer,
    keepalive_from,
    owner_from,
    size_from,
)
from spalloc_gevent.simulator.java_jobs import JavaJobs, JavaMachine, JavaRequest
from spalloc_gevent.simulator.jobs import Job
from spalloc_gevent.simulator.watches import JavaJobWatches, JavaMachineWatches
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Reply

HIDDEN = "<Hidden>"
NO_DESCRIPTION = "No description."
DATABASE_BUSY = (
    "PreparedStatementCallback; Deadlock found when trying to get lock; try restarting transaction",
    "PreparedStatementCallback; Lock wait timeout exceeded; try restarting transaction",
)
_NO_BOARDS = "no boards currently allocated"
_WITHOUT_DATABASE = ("version",)


class Report(NamedTuple):
    """A bad board, chip or core as a client has reported it."""

    address: str
    chip: tuple[int, int] | None
    core: int | None
    description: str


class JavaCommands:
    """Answers commands from jobs, and notes who watches what."""

    def __init__(self, jobs: JavaJobs, version: str) -> None:
        self._jobs = jobs
        self._version = version
        self.job_watches: JavaJobWatches[Asker] = JavaJobWatches(
            jobs.now, lambda: {job.job_id for job in jobs}
        )
        self.machine_watches: JavaMachineWatches[Asker] = JavaMachineWatches()
        self.reports: list[Report] = []
        self._reported: set[tuple[str, int]] = set()
        self._busy = 0

    def carry_out(self, asker: Asker, request: CommandRequest) -> Reply | ErrorReply:
        """What the server answers; ProtocolError when it hangs up instead."""
        if request.name not in COMMANDS:
            return ErrorReply(f"unknown command: {request.name}")
        if request.name not in _WITHOUT_DATABASE and self._jobs.strikes_database():
            self._busy += 1
            return ErrorReply(DATABASE_BUSY[self._busy % 2])
        method: Callable[[Asker, Arguments], object] = getattr(self, request.name)
        try:
            return Reply(method(asker, Arguments(request.args, request.kwargs)))
        except (TypeError, ValueError, OverflowError) as error:
            return ErrorReply(str(error))

    def must_wait(self, request: CommandRequest) -> bool:
        """Whether the allocator holds the job that a command names."""
        command = COMMANDS.get(request.name)
        named = request.args[:1] if command and command.parameters[:1] == ("job_id",) else []
        if request.name == "where_is":
            named = [request.kwargs.get("job_id")]
        return any(is_plain_integer(job_id) and self._jobs.is_locked(job_id) for job_id in named)

    def notifications(self) -> Iterator[tuple[Asker, dict[str, Any]]]:
        """Who is to be told what now."""
        times = 2 if self._jobs.options.notify_twice else 1
        for asker, ids in self.job_watches.concerned(self._jobs.take_changed_jobs()):
            yield from [(asker, {"jobs_changed": ids})] * times
        for asker, names in self.machine_watches.concerned(self._jobs.take_changed_machines()):
            yield from [(asker, {"machines_changed": names})] * times

    def next_due(self) -> float:
        """When, by the clock, somebody is to be told something again."""
        return self.job_watches.next_due

    def forget(self, asker: Asker) -> None:
        """The client is gone, and with it its watches; not its jobs."""
        self.job_watches.forget(asker)
        self.machine_watches.forget(asker)

    # -- jobs ---------------------------------------------------------------------------

    def _job(self, job_id: int) -> Job:
        job = self._jobs.find(job_id)
        if job is None:
            raise Refusal("no such job")
        return job

    def _kept_alive(self, asker: Asker, arguments: Arguments) -> Job:
        job = self._job(arguments.integer(0))
        self._jobs.keep_alive(job.job_id, asker.host)
        return job

    def version(self, _asker: Asker, _arguments: Arguments, /) -> str:
        return self._version

    def create_job(self, _asker: Asker, arguments: Arguments, /) -> int:
        args, kwargs = arguments.args, arguments.kwargs
        if len(args) > 3:
            raise Refusal(f"unsupported number of arguments: {len(args)}")
        numbers = [size_from(number) for number in args]
        owner, keepalive_s = (
            owner_from(kwargs.get("owner")),
            keepalive_from(kwargs.get("keepalive")),
        )
        tags, most_dead = kwargs.get("tags"), kwargs.get("max_dead_boards")
        if len(numbers) in (1, 2) and not math.prod(numbers):
            columns = "num_boards" if len(numbers) == 1 else "width, height"
            raise Refusal(
                f"PreparedStatementCallback; SQL [INSERT INTO job_request(job_id, {columns}"
            )
        request = JavaRequest(
            numbers,
            kwargs.get("machine"),
            [tags] if isinstance(tags, str) else tags,
            0 if most_dead is None else integer_from(most_dead),
        )
        job_id = self._jobs.admit(request, owner, keepalive_s, args, kwargs)
        if job_id is None:
            raise Refusal("no machine available which matches allocation request")
        return job_id

    def job_keepalive(self, asker: Asker, arguments: Arguments, /) -> None:
        self._kept_alive(asker, arguments)

    def get_job_state(self, asker: Asker, arguments: Arguments, /) -> dict[str, object]:
        job = self._job(arguments.integer(0))
        # Told before this command itself has kept it alive.
        state = {
            "state": int(job.state),
            "power": _all_boards_are_on(job),
            "start_time": float(int(job.start_time)),
            "reason": job.reason or "",
            "keepalivehost": job.keepalive_host or "",
            "keepalive": float(int(job.kept_alive_at)),
        }
        self._jobs.keep_alive(job.job_id, asker.host)
        return state

    def get_job_machine_info(self, asker: Asker, arguments: Arguments, /) -> dict[str, object]:
        job = self._kept_alive(asker, arguments)
        if job.allocation is None or job.machine is None:
            raise Refusal("boards not allocated")
        width, height = job.allocation.dimensions
        return {
            "width": width,
            "height": height,
            "connections": list(job.connections.items()),
            "machine_name": job.machine.name,
            "boards": list(job.boards or ()),
        }

    def power_on_job_boards(self, asker: Asker, arguments: Arguments, /) -> None:
        self._power(asker, arguments, on=True)

    def power_off_job_boards(self, asker: Asker, arguments: Arguments, /) -> None:
        self._power(asker, arguments, on=False)

    def _power(self, asker: Asker, arguments: Arguments, *, on: bool) -> None:
        job = self._kept_alive(asker, arguments)
        if job.allocation is None or job.pending:
            raise Refusal(_NO_BOARDS)
        self._jobs.set_power(job.job_id, asker.host, on=on)

    def destroy_job(self, _asker: Asker, arguments: Arguments, /) -> None:
        job = self._job(arguments.integer(0))
        self._jobs.destroy(job.job_id, str(arguments.kwargs.get("reason") or ""))

    def list_jobs(self, _asker: Asker, _arguments: Arguments, /) -> list[dict[str, Any]]:
        for job in self._jobs:
            if not all(is_plain_integer(number) for number in job.args):
                raise ProtocolError(f"the arguments of job {job.job_id} cannot be listed")
        return [_listed(job) for job in self._jobs]

    def notify_job(self, asker: Asker, arguments: Arguments, /) -> None:
        job = self._kept_alive(asker, arguments) if arguments.args else None
        self.job_watches.start(asker, None if job is None else job.job_id)

    def no_notify_job(self, asker: Asker, arguments: Arguments, /) -> None:
        job = self._kept_alive(asker, arguments) if arguments.args else None
        self.job_watches.stop(asker, None if job is None else job.job_id)

    # -- machines -----------------------------------------------------------------------

    def _machine(self, name: object) -> JavaMachine:
        machine = self._jobs.machine(name) if isinstance(name, str) else None
        if not isinstance(machine, JavaMachine):
            raise Refusal("no such machine")
        return machine

    def notify_machine(self, asker: Asker, arguments: Arguments, /) -> None:
        name = arguments.args[0] if arguments.args else None
        self.machine_watches.start(asker, None if name is None else self._machine(name).name)

    def no_notify_machine(self, _asker: Asker, arguments: Arguments, /) -> None:
        """Nothing: a watch of machines is never let go of."""
        if arguments.args and arguments.args[0] is not None:
            self._machine(arguments.args[0])

    def list_machines(self, _asker: Asker, _arguments: Arguments, /) -> list[dict[str, object]]:
        return [machine.described() for machine in sorted(self._jobs.machines, key=_name_of)]

    def get_board_position(self, _asker: Asker, arguments: Arguments, /) -> object:
        x, y, z = (arguments.integer(name) for name in "xyz")
        place = self._machine(arguments.kwargs.get("machine_name")).place_of((x, y, z))
        return _found(place)

    def get_board_at_position(self, _asker: Asker, arguments: Arguments, /) -> object:
        x, y, z = (arguments.integer(name) for name in "xyz")
        return _found(self._machine(arguments.kwargs.get("machine_name")).board_at((x, y, z)))

    # -- places -------------------------------------------------------------------------

    def where_is(self, asker: Asker, arguments: Arguments, /) -> dict[str, Any]:
        asked = arguments.kwargs
        if "job_id" in asked:
            return self._job_chip(asker, arguments)
        if "machine" not in asked:
            raise Refusal("missing parameter: machine")
        machine = self._machine(asked["machine"])
        if "chip_x" in asked:
            chip = arguments.integer("chip_x"), arguments.integer("chip_y")
            # Looked for on a board, whichever; so chips of other boards are nowhere.
            board = next(machine.boards) if chip in BOARD_CHIPS else None
            return self._located(machine, board, chip)
        if "x" in asked:
            x, y, z = (arguments.integer(name) for name in "xyz")
            return self._located(machine, (x, y, z))
        if "cabinet" in asked:
            place = [arguments.integer(name) for name in ("cabinet", "frame", "board")]
            return self._located(machine, machine.board_at((place[0], place[1], place[2])))
        raise Refusal("missing parameter: chip_x, x, or cabinet")

    def _job_chip(self, asker: Asker, arguments: Arguments) -> dict[str, Any]:
        job = self._job(arguments.integer("job_id"))
        chip = arguments.integer("chip_x"), arguments.integer("chip_y")
        self._jobs.keep_alive(job.job_id, asker.host)
        for board in job.boards or ():
            assert job.allocation is not None
            assert isinstance(job.machine, JavaMachine)
            corner = ethernet_chip_in_job(board, job_origin(job.allocation.boards))
            if _is_on_board(chip, corner, job.allocation.dimensions):
                return {**self._located(job.machine, board, chip), "board_chip": corner}
        raise Refusal(_NO_BOARDS)

    def _located(
        self, machine: JavaMachine, board: Board | None, chip: Chip | None = None
    ) -> dict[str, Any]:
        place = None if board is None else machine.place_of(board)
        if board is None or place is None:
            raise Refusal("no such board")
        corner = ethernet_chip(board)
        chip = corner if chip is None else chip
        job = self._jobs.holder(machine, board)
        return {
            "job_chip": None if job is None else _job_chip_as_told(job, chip),
            "job_id": None if job is None else job.job_id,
            "chip": chip,
            "logical": board,
            "machine": machine.name,
            "board_chip": corner,
            "physical": place,
        }

    def report_problem(self, _asker: Asker, arguments: Arguments, /) -> None:
        """A bad board is noted; nobody comes to mend it.

        What stands behind the address is passed over; a chip has both its coordinates, a core
        has a chip, or they are passed over too. A board of a job is taken once.
        """
        address, told = str(arguments.at(0)), arguments.kwargs
        x, y, p = (arguments.integer(name) if name in told else None for name in "xyp")
        chip = None if x is None or y is None else (x, y)
        job = self._jobs.holder_of(address)
        if job is not None:
            if (address, job.job_id) in self._reported:
                raise Refusal("PreparedStatementCallback; Duplicate entry for key 'board_id'")
            self._reported.add((address, job.job_id))
        description = str(told.get("description", NO_DESCRIPTION))
        self.reports.append(Report(address, chip, None if chip is None else p, description))


def _name_of(machine: object) -> str:
    assert isinstance(machine, JavaMachine)
    return machine.name


def _found(place: object) -> object:
    if place is None:
        raise Refusal("no such board")
    return place


def _all_boards_are_on(job: Job) -> bool:
    """True as well of a job that has lost its boards: none of them is off."""
    if job.released and not job.pending:
        return True
    return job.state is JobState.ready and bool(job.power)


def _is_on_board(chip: Chip, corner: Chip, dimensions: tuple[int, int]) -> bool:
    (x, y), (width, height) = chip, dimensions
    on_board = (x - corner[0]) % width, (y - corner[1]) % height
    return x < width and y < height and on_board in BOARD_CHIPS


def _job_chip_as_told(job: Job, chip: Chip) -> Chip:
    """The server adds where it should subtract: right only of a job at the machine's corner."""
    assert job.allocation is not None
    x, y = ethernet_chip(job_origin(job.allocation.boards))
    return chip[0] + x, chip[1] + y


def _listed(job: Job) -> dict[str, Any]:
    return {
        "owner": job.owner,
        "state": int(job.state),
        "power": job.boards is not None and _all_boards_are_on(job),
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
