"""Jobs as the Java server has them: an allocator that works on all queued jobs at once.

One run works for a while and stores what it found at its end, whatever has happened to the
jobs meanwhile.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.geometry import BOARDS_PER_TRIAD, Board
from spalloc_gevent.simulator.java_options import JavaOptions
from spalloc_gevent.simulator.jobs import Jobs, SimulatedJob, Site
from spalloc_gevent.simulator.machine import Machine, MachineSpec
from spalloc_gevent.simulator.placement import HeldBoards, WantedBoards
from spalloc_gevent.simulator.timers import Timer
from spalloc_gevent.states import JobState

EXPIRED = "keepalive expired"
LEAST_RUN_S = 0.02
STORING_SHARE = 0.4
"""Commands that name a job of a run have been seen to wait for up to 4 of its 10 s."""
# When the real server checks first is chance; this is when it did so in tests/recordings/expiry.
FIRST_EXPIRY_CHECK_S = 5.5
ROUNDING_S = 1.0
"""Times are whole seconds there, so that a keepalive may last so much longer."""


@dataclass(frozen=True)
class AllocatorRun:
    """The allocator at work on the jobs that were queued when it began."""

    jobs: Sequence[SimulatedJob]
    stores_from: float
    """When it begins to store what it has found."""


class AllocatedJobs(Jobs):
    """All jobs of a Java server; `options` says what is chance there."""

    java = True
    most_remembered = 100_000
    numbers_come_again = False

    def __init__(self, machines: Sequence[MachineSpec], **options: Any) -> None:
        super().__init__(machines, **options)
        self._run: AllocatorRun | None = None
        self._needs_run = False
        self._expiry_check: Timer | None = None
        self._rested: dict[tuple[str, Board], float] = {}
        """When a board that was freed may be powered again."""
        self._set_aside: dict[SimulatedJob, HeldBoards] = {}
        """The boards on which jobs have failed, until those have had a run to get others."""
        self._met: Counter[str] = Counter()

    def set_options(self, options: JavaOptions) -> None:
        super().set_options(options)
        self._met.clear()

    def strikes_database(self) -> bool:
        """Whether the database refuses the command that has come now."""
        one_in = self.options.database_refusals
        self._met["command"] += 1
        return bool(one_in) and self._met["command"] % one_in == 0

    # -- from request to boards ---------------------------------------------------------

    def create(
        self,
        numbers: Sequence[int],
        owner: str,
        keepalive_s: float,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        max_dead_boards: int,
    ) -> int | None:
        """A new job's number; None if no machine suits it.

        It gets the first machine that has enough boards. Whether the shape fits is not checked.
        """
        name, tags = kwargs.get("machine"), kwargs.get("tags")
        if name is None:
            sites = self.sites_with_tags([tags] if isinstance(tags, str) else tags)
        else:
            sites = [site for site in self.sites.values() if site.machine.name == name]
        suitable = [site.machine for site in sites if suits(site.machine, numbers)]
        if not suitable:
            return None
        if not self.living:
            first_s = min(FIRST_EXPIRY_CHECK_S, self.options.expiry_check_seconds)
            self.timers.cancel(self._expiry_check)
            self._check_expiry_at(self.timers.clock() + first_s)
        job = self.add(owner, keepalive_s, args, kwargs, None)
        job.machine = suitable[0]
        job.request = java_request(job.machine, numbers, max_dead_boards)
        self._start_run()
        return job.job_id

    def _start_run(self) -> None:
        """Have the allocator work; after its run, if there is one."""
        self._needs_run = True
        if self._run is not None:
            return
        self._needs_run = False
        queued = [job for job in self.living.values() if job.state is JobState.queued]
        if queued:
            now = self.timers.clock()
            works_s = len(queued) * self.options.allocator_seconds
            ends = now + max(works_s, LEAST_RUN_S)
            self._run = run = AllocatorRun(queued, ends - STORING_SHARE * works_s)
            self.timers.at(ends, lambda: self._finish_run(run))

    def is_locked(self, job_id: int) -> bool:
        """Whether a command that names the job has to wait for the allocator."""
        job, run = self.living.get(job_id), self._run
        return run is not None and run.stores_from <= self.timers.clock() and job in run.jobs

    def _finish_run(self, run: AllocatorRun) -> None:
        self._run = None
        # A job that is larger than its machine stops the whole allocator.
        if all(job.request and fits(job) for job in run.jobs):
            for job in run.jobs:
                self._allocate(job)
        given_back = [
            job for job in self._set_aside if job in run.jobs or job.state is not JobState.queued
        ]
        for job in given_back:
            self.site_of(job).placement.free(self._set_aside.pop(job))
        if given_back or self._needs_run:
            self._start_run()

    def _allocate(self, job: SimulatedJob) -> None:
        was_destroyed = job.state is JobState.destroyed
        if was_destroyed and not self._revives_next():
            return
        site = self.site_of(job)
        if not site.place(job):
            return
        if was_destroyed:
            job.reason = None
            self.revive(job)
        assert job.held is not None
        rested = (self._rested.pop((site.machine.name, b), 0.0) for b in job.held.boards)
        job.busy_until = max(job.busy_until, *rested)
        self.power(job, on=True)

    def _revives_next(self) -> bool:
        if self.options.revive == "half":
            self._met["destroyed"] += 1
            return self._met["destroyed"] % 2 == 0
        return self.options.revive == "always"

    # -- power --------------------------------------------------------------------------

    def power(self, job: SimulatedJob, *, on: bool) -> None:
        super().power(job, on=on)
        self.changed_machines.add(self.site_of(job).machine.name)

    def set_power(self, job_id: int, host: str | None, *, on: bool) -> None:
        """Power a job's boards; one that was destroyed is ready after it, without boards."""
        job = self.keep_alive(job_id, host) or self.find(job_id)
        if job is None or job.held is None or job.state is JobState.queued:
            return
        if not job.released:
            self.power(job, on=on)
        elif not job.woken:
            # Once: so it was in tests/recordings/life.
            job.woken, job.state = True, JobState.ready
            self.revive(job)
            self.changed_jobs.add(job_id)
            self.extend(job)

    def when_ready(self, job: SimulatedJob) -> None:
        self.changed_jobs.add(job.job_id)
        if job.state is not JobState.power:
            return
        if job.ready_before or self._met["power on"] >= self.options.failing_power_ons:
            job.state, job.ready_before = JobState.ready, True
            return
        self._met["power on"] += 1
        self._set_aside[job] = self.take_from_holder(job)
        job.released, job.state = True, JobState.queued
        self._start_run()

    @functools.cached_property
    def _boards_by_address(self) -> Mapping[str, tuple[Site, Board]]:
        return {
            without_network(site.machine.hostname_of(board)): (site, board)
            for site in self.sites.values()
            for board in site.machine.places
        }

    def holder_of(self, address: str) -> SimulatedJob | None:
        """The job that has the board with this address, whatever the first of its numbers is."""
        found = self._boards_by_address.get(without_network(address))
        return None if found is None else found[0].holders.get(found[1])

    # -- the end ------------------------------------------------------------------------

    def when_destroyed(self, job: SimulatedJob) -> None:
        """Its boards are free at once, but whoever gets them waits for them to rest."""
        job.state = JobState.destroyed
        if job.boards is not None:
            held, name = self.take_from_holder(job), self.site_of(job).machine.name
            job.released = True
            self.site_of(job).placement.free(held)
            now = self.timers.clock()
            rested = now + self.seconds_before_free
            self._rested.update(((name, board), rested) for board in held.boards)
            self.wait_for_boards(job, now)
        self._start_run()

    def _check_expiry_at(self, when: float) -> None:
        """Destroy, then and now and then, the jobs that nobody cared for in time."""

        def check() -> None:
            now, following = self.timers.clock(), when
            while following <= now:
                following += self.options.expiry_check_seconds
            self._check_expiry_at(following)
            for job in list(self.living.values()):
                if job.keepalive_until + ROUNDING_S <= now:
                    self.destroy(job.job_id, EXPIRED)

        self._expiry_check = self.timers.at(when, check)


def without_network(address: str) -> str:
    """An IPv4 address without the first of its numbers."""
    return address.partition(".")[2]


def suits(machine: Machine, numbers: Sequence[int]) -> bool:
    """What the server checks: numbers of boards, but not whether a shape fits."""
    if len(numbers) == 3:
        return tuple(numbers) in machine.places.keys() - machine.unusable
    if len(numbers) == 2:
        return math.prod(numbers) <= machine.width * machine.height
    usable = machine.width * machine.height * BOARDS_PER_TRIAD - len(machine.unusable)
    return (numbers[0] if numbers else 1) <= usable


def java_request(machine: Machine, numbers: Sequence[int], max_dead_boards: int) -> WantedBoards:
    """The numbers of ``create_job`` in boards or triads of a machine, or of a larger one."""
    if len(numbers) == 3:
        return WantedBoards(board=(numbers[0], numbers[1], numbers[2]))
    if len(numbers) == 2:
        return WantedBoards(shape=(numbers[0], numbers[1]))
    if not numbers or numbers[0] == 1:
        return WantedBoards()
    triads = math.ceil(numbers[0] / BOARDS_PER_TRIAD)
    width = min(math.ceil(math.sqrt(triads)), machine.width)
    height = math.ceil(triads / width)
    spare = width * height * BOARDS_PER_TRIAD - numbers[0]
    return WantedBoards(shape=(width, height), max_dead_boards=spare + max_dead_boards)


def fits(job: SimulatedJob) -> bool:
    """Whether the job's rectangle is no larger than its machine."""
    assert job.machine is not None
    assert job.request is not None
    width, height = job.request.shape or (1, 1)
    return width <= job.machine.width and height <= job.machine.height
