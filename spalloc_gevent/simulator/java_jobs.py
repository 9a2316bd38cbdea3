"""Jobs and machines as the Java server has them.

It differs from the Python server by its allocator: one run works on all queued jobs for a
while and stores what it found at its end, whatever has happened to the jobs meanwhile.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.geometry import (
    BOARDS_PER_TRIAD,
    LINKS_CLOCKWISE,
    Board,
    Link,
    boards_of_triads,
    ends_of_link,
)
from spalloc_gevent.simulator.java_options import JavaOptions
from spalloc_gevent.simulator.jobs import DEFAULT_TAGS, Job, Jobs, Site
from spalloc_gevent.simulator.machine import (
    FRAMES_PER_CABINET,
    BoardLink,
    Machine,
    MachineSpec,
    Place,
    placed,
)
from spalloc_gevent.simulator.placement import Allocation, Limits, OneBoard, Request, Triads
from spalloc_gevent.states import JobState

EXPIRED = "keepalive expired"
MOST_REMEMBERED_JOBS = 100_000
_LEAST_RUN_S = 0.02
_STORING_SHARE = 0.4
"""Commands that name a job of a run have been seen to wait for up to 4 of its 10 s."""
# When the real server checks first is chance; this is when it did so in tests/recordings/expiry.
_FIRST_EXPIRY_CHECK_S = 5.5
_ROUNDING_S = 1.0
"""Times are whole seconds there, so that a keepalive may last so much longer."""


class JavaMachine(Machine):
    """A machine whose boards are numbered by rows, and whose absent boards nobody tells of."""

    def __init__(self, spec: MachineSpec, number: int = 0) -> None:
        super().__init__(spec, number)
        self._dead = sorted((x, y, z) for x, y, z in spec.dead_boards)
        given = [*self.dead_links, *((*board, link) for board in self._dead for link in Link)]
        self.dead_links = frozenset(end for link in given for end in self._ends(link))

    def _placed(self, spec: MachineSpec) -> Mapping[Board, Place]:
        rows = (
            board
            for y in range(spec.height)
            for x in range(spec.width)
            for board in boards_of_triads(x, y)
        )
        return placed(rows, frozenset((x, y, z) for x, y, z in spec.absent))

    def _ends(self, link: BoardLink) -> list[tuple[int, int, int, Link]]:
        """Both ends of a link; none of one that leads to where no board ever was."""
        ends = ends_of_link(link, (self.width, self.height))
        return [(*board, down) for board, down in ends if all(b in self._places for b, _ in ends)]

    @property
    def usable_boards(self) -> int:
        return self.width * self.height * BOARDS_PER_TRIAD - len(self.unusable)

    def described(self) -> dict[str, object]:
        return {
            **super().described(),
            "dead_boards": self._dead,
            "dead_links": sorted(
                (x, y, z, LINKS_CLOCKWISE.index(n)) for x, y, z, n in self.dead_links
            ),
        }

    @property
    def boards(self) -> Iterator[Board]:
        """Every board that is there, the dead ones too."""
        return iter(self._places)

    def hostname_of(self, board: Board) -> str:
        """As in tests/recordings, but for the first number: these are the loopback's own."""
        cabinet, frame, slot = self._places[board]
        over, frame = divmod(cabinet * FRAMES_PER_CABINET + frame, 256)
        return f"127.{(self._number + 10) % 254 + 1}.{frame}.{8 * slot + 1 + over}"


@dataclass(frozen=True)
class JavaRequest:
    """What a job asks for: numbers as in ``create_job``, and where it may be."""

    numbers: Sequence[int]
    machine: object = None
    tags: Sequence[object] | None = None
    max_dead_boards: int = 0

    def candidates(self, sites: Mapping[str, Site]) -> list[Site]:
        """The machines that it names, by name or by tags."""
        if self.machine is not None:
            return [site for name, site in sites.items() if name == self.machine]
        wanted = set(DEFAULT_TAGS if self.tags is None else self.tags)
        return [site for site in sites.values() if wanted <= site.machine.tags]

    def suits(self, machine: JavaMachine) -> bool:
        """What the server checks: numbers of boards, but not whether a shape fits."""
        if len(self.numbers) == 3:
            board = tuple(self.numbers)
            return board in set(machine.boards) - machine.unusable
        if len(self.numbers) == 2:
            return math.prod(self.numbers) <= machine.width * machine.height
        return (self.numbers[0] if self.numbers else 1) <= machine.usable_boards

    def on(self, machine: Machine) -> Request:
        """The request in boards or triads of a machine; it may be larger than the machine."""
        numbers = self.numbers
        if len(numbers) == 3:
            return Request(OneBoard((numbers[0], numbers[1], numbers[2])), Limits())
        if len(numbers) == 2:
            return Request(Triads(numbers[0], numbers[1]), Limits())
        if not numbers or numbers[0] == 1:
            return Request(OneBoard(), Limits())
        triads = math.ceil(numbers[0] / BOARDS_PER_TRIAD)
        width = min(math.ceil(math.sqrt(triads)), machine.width)
        height = math.ceil(triads / width)
        spare = width * height * BOARDS_PER_TRIAD - numbers[0]
        return Request(Triads(width, height), Limits(max_dead_boards=spare + self.max_dead_boards))


@dataclass(frozen=True)
class _Run:
    """The allocator at work on the jobs that were queued when it began."""

    jobs: Sequence[Job]
    stores_from: float
    """When it begins to store what it has found."""
    ends: float


class JavaJobs(Jobs):
    """All jobs of a Java server; `options` says what is chance there."""

    machine_type = JavaMachine
    numbers_come_again = False

    def __init__(self, machines: Sequence[MachineSpec], **options: Any) -> None:
        super().__init__(machines, **{"most_retired": MOST_REMEMBERED_JOBS, **options})
        self._run: _Run | None = None
        self._needs_run = False
        self._next_check = 0.0
        self._rested: dict[tuple[str, Board], float] = {}
        self._set_aside: dict[Job, tuple[Site, Allocation]] = {}
        """The boards on which jobs have failed, until those have had a run to get others."""
        self._met: dict[str, int] = {}
        self._addresses: dict[str, tuple[Machine, Board]] = {}

    def set_options(self, options: JavaOptions) -> None:
        """What happens from now on."""
        self.options = options
        self._met.clear()

    def _count(self, occasion: str) -> int:
        self._met[occasion] = self._met.get(occasion, 0) + 1
        return self._met[occasion]

    def strikes_database(self) -> bool:
        """Whether the database refuses the command that has come now."""
        one_in = self.options.database_refusals
        return bool(one_in) and self._count("command") % one_in == 0

    # -- from request to boards ---------------------------------------------------------

    def admit(
        self,
        request: JavaRequest,
        owner: str,
        keepalive_s: float,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> int | None:
        """A new job's number; None if no machine suits it."""
        for site in request.candidates(self._sites):
            assert isinstance(site.machine, JavaMachine)
            if request.suits(site.machine):
                if not self._jobs:
                    first = min(_FIRST_EXPIRY_CHECK_S, self.options.expiry_check_seconds)
                    self._next_check = self._clock() + first
                job = self._add(owner, keepalive_s, args, kwargs, None)
                job.machine, job.request = site.machine, request.on(site.machine)
                self._needs_run = True
                self._start_run()
                return job.job_id
        return None

    def _start_run(self) -> None:
        if self._run is not None or not self._needs_run:
            return
        self._needs_run = False
        queued = [job for job in self._jobs.values() if job.pending]
        if queued:
            now = self._clock()
            works = len(queued) * self.options.allocator_seconds
            ends = now + max(works, _LEAST_RUN_S)
            self._run = _Run(queued, ends - _STORING_SHARE * works, ends)

    def is_locked(self, job_id: int) -> bool:
        """Whether a command that names the job has to wait for the allocator."""
        job, run = self._jobs.get(job_id), self._run
        return run is not None and run.stores_from <= self._clock() and job in run.jobs

    def _finish_run(self, run: _Run) -> None:
        self._run = None
        if all(map(_fits, run.jobs)):
            for job in run.jobs:
                self._allocate(job)
        for job in [job for job in self._set_aside if job in run.jobs or not job.pending]:
            site, allocation = self._set_aside.pop(job)
            site.placement.free(allocation)
            self._needs_run = True
        self._start_run()

    def _allocate(self, job: Job) -> None:
        destroyed = job.state is JobState.destroyed
        if destroyed and not self._revives():
            return
        assert job.machine is not None
        site = self._sites[job.machine.name]
        allocation = site.place(job)
        if allocation is None:
            return
        if destroyed:
            self._retired.pop(job.job_id, None)
            self._jobs[job.job_id], job.reason = job, None
        job.allocation, job.released = allocation, False
        site.holders.update(dict.fromkeys(allocation.boards, job))
        rested = (self._rested.pop((site.machine.name, b), 0.0) for b in allocation.boards)
        job.busy_until = max(job.busy_until, *rested)
        self._power(job, on=True)

    def _revives(self) -> bool:
        choice = self.options.revive
        return choice == "always" or (choice == "half" and self._count("destroyed") % 2 == 0)

    # -- power --------------------------------------------------------------------------

    def _power(self, job: Job, *, on: bool) -> None:
        super()._power(job, on=on)
        assert job.machine is not None
        self._changed_machines.add(job.machine.name)

    def set_power(self, job_id: int, host: str | None, *, on: bool) -> None:
        """Power a job's boards; one that was destroyed is ready after it, without boards."""
        job = self.keep_alive(job_id, host) or self.find(job_id)
        if job is None or job.allocation is None or job.pending:
            return
        if job.boards is not None:
            self._power(job, on=on)
        elif not job.woken:
            # Once: so it was in tests/recordings/life.
            job.woken = True
            self._retired.pop(job_id, None)
            self._jobs[job_id] = job
            job.state = JobState.ready
            self._changed_jobs.add(job_id)
            self._extend(job)

    def _settle(self, job: Job, _now: float, /) -> None:
        self._changed_jobs.add(job.job_id)
        if job.state is not JobState.power:
            return
        if job.ready_before or self._met.get("power on", 0) >= self.options.failing_power_ons:
            job.state, job.ready_before = JobState.ready, True
            return
        self._count("power on")
        self._set_aside[job] = self._take_boards(job)
        job.state = JobState.queued
        self._needs_run = True
        self._start_run()

    def holder_of(self, address: str) -> Job | None:
        """The job that has the board with this address, whatever the first of its numbers is."""
        if not self._addresses:
            self._addresses.update(
                (_without_network(machine.hostname_of(board)), (machine, board))
                for machine in self.machines
                if isinstance(machine, JavaMachine)
                for board in machine.boards
            )
        place = self._addresses.get(_without_network(address))
        return None if place is None else self.holder(*place)

    # -- the end ------------------------------------------------------------------------

    def destroy(self, job_id: int, reason: object = None) -> None:
        job = self._jobs.pop(job_id, None)
        if job is None:
            return
        self._retire(job, reason)
        if job.boards is not None:
            site, allocation = self._take_boards(job)
            site.placement.free(allocation)
            now = self._clock()
            rested = now + self._seconds_before_free
            self._rested.update(((site.machine.name, b), rested) for b in allocation.boards)
            job.power_commands += 1
            heapq.heappush(self._powering, (now, next(self._order), job))
        self._needs_run = True
        self._start_run()

    def _take_boards(self, job: Job) -> tuple[Site, Allocation]:
        assert job.machine is not None
        assert job.allocation is not None
        site = self._sites[job.machine.name]
        for board in job.allocation.boards:
            del site.holders[board]
        job.released = True
        self._changed_machines.add(site.machine.name)
        return site, job.allocation

    # -- time ---------------------------------------------------------------------------

    def _start_keepalive(self, job: Job) -> None:
        self._extend(job)

    def expire(self) -> None:
        now = self._clock()
        if self._jobs and self._next_check <= now:
            while self._next_check <= now:
                self._next_check += self.options.expiry_check_seconds
            for job in [
                job for job in self._jobs.values() if job.keepalive_until + _ROUNDING_S <= now
            ]:
                self.destroy(job.job_id, EXPIRED)
        if self._run is not None and self._run.ends <= now:
            self._finish_run(self._run)

    def _due_times(self) -> Iterator[float]:
        yield from super()._due_times()
        if self._jobs:
            yield self._next_check
        if self._run is not None:
            yield self._run.ends

    def recover(self) -> None:
        """Nothing: the time for which the server was away counts."""


def _without_network(address: str) -> str:
    return address.partition(".")[2]


def _fits(job: Job) -> bool:
    """Whether the machine is large enough; a job that is larger stops the whole allocator."""
    assert job.machine is not None
    assert job.request is not None
    wanted = job.request.wanted
    return not isinstance(wanted, Triads) or (
        wanted.width <= job.machine.width and wanted.height <= job.machine.height
    )
