"""Simulated jobs: queued, given boards, powered, ready, destroyed.

The one state machine of both kinds of server. It is told what clients ask and when to look at
the clock, and collects what changed. How a job gets its boards, and how it loses them, is
in :mod:`~spalloc_gevent.simulator.queues` and :mod:`~spalloc_gevent.simulator.allocator`.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spalloc_gevent.deadline import Clock
from spalloc_gevent.geometry import Board, Chip, connections_in_job
from spalloc_gevent.simulator.java_options import JavaOptions
from spalloc_gevent.simulator.machine import Machine, MachineSpec
from spalloc_gevent.simulator.placement import HeldBoards, Placement, WantedBoards
from spalloc_gevent.simulator.timers import Timer, Timers
from spalloc_gevent.states import JobState

DEFAULT_TAGS = ("default",)


@dataclass(eq=False)
class SimulatedJob:
    """One job, living or remembered."""

    job_id: int
    owner: str
    keepalive_s: float | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    start_time: float
    keepalive_host: str | None
    keepalive_until: float = math.inf
    kept_alive_at: float = 0.0
    """Seconds since 1970."""
    expiry: Timer | None = None
    state: JobState = JobState.queued
    power: bool | None = None
    machine: Machine | None = None
    held: HeldBoards | None = None
    """Its boards, or those that it had when `released`."""
    released: bool = False
    busy_until: float = -math.inf
    """When the boards have carried out every power command so far."""
    power_commands: int = 0
    """How many of those are still under way."""
    request: WantedBoards | None = field(default=None, repr=False)
    ready_before: bool = False
    woken: bool = False
    """It was destroyed, and made ready once more by a power command."""
    reason: object = None
    """Why it was destroyed."""

    @property
    def boards(self) -> frozenset[Board] | None:
        """Those that it has now; None when it has none."""
        return None if self.held is None or self.released else self.held.boards

    @property
    def connections(self) -> dict[Chip, str]:
        """The hostname of each board, by its Ethernet chip's place in the job."""
        assert self.machine is not None
        hostnames = {board: self.machine.hostname_of(board) for board in self.boards or ()}
        return connections_in_job(hostnames)


class Site:
    """A machine with its queue and its free boards."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.placement = Placement(machine)
        self.queue: deque[SimulatedJob] = deque()
        self.holders: dict[Board, SimulatedJob] = {}
        """The job that has a board; none once it is destroyed, even while the board is busy."""
        self._stuck: tuple[SimulatedJob, int] | None = None

    def head(self) -> SimulatedJob | None:
        """The job whose turn it is: others wait behind it even if they would fit."""
        while self.queue and self.queue[0].state is not JobState.queued:
            self.queue.popleft()
        return self.queue[0] if self.queue else None

    def place(self, job: SimulatedJob) -> bool:
        """Give the job boards, if there are any; not tried again before some came back."""
        attempt = (job, self.placement.frees)
        if self._stuck == attempt:
            return False
        assert job.request is not None
        held = self.placement.place(job.request)
        if held is None:
            self._stuck = attempt
            return False
        job.machine, job.held, job.released = self.machine, held, False
        self.holders.update(dict.fromkeys(held.boards, job))
        return True


class Jobs:
    """All jobs of a server, and the machines they run on."""

    java: bool
    most_remembered: int
    """How many destroyed jobs are remembered."""
    numbers_come_again: bool
    """After the jobs are lost, numbers begin at 1 once more."""

    def __init__(
        self,
        machines: Sequence[MachineSpec],
        *,
        power_seconds: float = 0.0,
        seconds_before_free: float = 0.0,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        first_id: int = 1,
        options: JavaOptions | None = None,
    ) -> None:
        """Have no jobs yet.

        Args:
            machines: highest priority first.
            power_seconds: how long each power-on takes; those of one job take place one
                after another, those of several jobs at the same time.
            seconds_before_free: how long the boards of a destroyed job stay unavailable
                once they have been powered off.
            clock: seconds, for what lasts.
            wall_clock: seconds since 1970, for ``start_time``.
            first_id: the number of the first job.
            options: what is chance on the Java server.

        Raises:
            ValueError: two machines have the same name.
        """
        self.timers = Timers(clock)
        self.options = JavaOptions() if options is None else options
        self.power_seconds = power_seconds
        self.seconds_before_free = seconds_before_free
        self.wall_clock = wall_clock
        self.sites = {
            spec.name: Site(Machine(spec, number, java=self.java))
            for number, spec in enumerate(machines)
        }
        """By name, highest priority first."""
        if len(self.sites) < len(machines):
            raise ValueError("two machines have the same name: give each one of its own")
        self.living: dict[int, SimulatedJob] = {}
        """Every job that has not been destroyed, oldest first."""
        self.destroyed: OrderedDict[int, SimulatedJob] = OrderedDict()
        """Those of the others that are remembered."""
        self.next_id = first_id
        self.changed_jobs: set[int] = set()
        self.changed_machines: set[str] = set()
        """The names of those whose boards were given out or taken back."""

    # -- what the kinds of server do in their own way -----------------------------------

    def when_ready(self, job: SimulatedJob) -> None:
        """The job's boards have carried out every power command."""
        raise NotImplementedError

    def when_destroyed(self, job: SimulatedJob) -> None:
        """The job is destroyed: its boards go back."""
        raise NotImplementedError

    def set_power(self, job_id: int, host: str | None, *, on: bool) -> None:
        """Power a job's boards on (again, which resets them) or off; keeps it alive as well."""
        raise NotImplementedError

    def set_options(self, options: JavaOptions) -> None:
        """What is chance from now on; nothing for the Python server."""
        self.options = options

    def recover(self) -> None:
        """Go on after a restart."""

    # -- what they share ----------------------------------------------------------------

    def machine(self, name: str) -> Machine | None:
        """The machine of that name."""
        site = self.sites.get(name)
        return None if site is None else site.machine

    def site_of(self, job: SimulatedJob) -> Site:
        """Where the job is."""
        assert job.machine is not None
        return self.sites[job.machine.name]

    def find(self, job_id: int) -> SimulatedJob | None:
        """The job, living or remembered."""
        return self.living.get(job_id) or self.destroyed.get(job_id)

    def take_changes(self) -> tuple[set[int], set[str]]:
        """The jobs and machines that changed since this was last asked."""
        changes = self.changed_jobs, self.changed_machines
        if any(changes):
            self.changed_jobs, self.changed_machines = set(), set()
        return changes

    def add(
        self,
        owner: str,
        keepalive_s: float | None,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        host: str | None,
    ) -> SimulatedJob:
        """A new job, asked for from `host`; not yet in any queue."""
        job = SimulatedJob(self.next_id, owner, keepalive_s, args, kwargs, self.wall_clock(), host)
        self.next_id += 1
        self.living[job.job_id] = job
        self.extend(job)
        return job

    def keep_alive(self, job_id: int, host: str | None) -> SimulatedJob | None:
        """Note that somebody cares for the job; return it, or None when there is none."""
        job = self.living.get(job_id)
        if job is not None:
            if host is not None:
                job.keepalive_host = host
            self.extend(job)
        return job

    def extend(self, job: SimulatedJob) -> None:
        """Give the job its whole keepalive."""
        job.kept_alive_at = self.wall_clock()
        if job.keepalive_s is not None:
            job.keepalive_until = self.timers.clock() + job.keepalive_s

    def power(self, job: SimulatedJob, *, on: bool) -> None:
        """Set a job's boards to work; what was asked before is done first."""
        start = max(job.busy_until, self.timers.clock())
        job.busy_until = start + (self.power_seconds if on else 0.0)
        job.state, job.power = JobState.power, on
        self.changed_jobs.add(job.job_id)
        self.wait_for_boards(job, job.busy_until)

    def wait_for_boards(self, job: SimulatedJob, until: float) -> None:
        """Count a power command that takes until then."""

        def done() -> None:
            job.power_commands -= 1
            if not job.power_commands:
                self.when_ready(job)

        job.power_commands += 1
        self.timers.at(until, done)

    def destroy(self, job_id: int, reason: object = None) -> None:
        """Destroy a job, if there is one."""
        job = self.living.get(job_id)
        if job is None:
            return
        del self.living[job_id]
        self.timers.cancel(job.expiry)
        job.reason = reason
        self.destroyed[job_id] = job
        if len(self.destroyed) > self.most_remembered:
            self.destroyed.popitem(last=False)
        self.changed_jobs.add(job_id)
        self.when_destroyed(job)

    def revive(self, job: SimulatedJob) -> None:
        """Have a destroyed job live again."""
        self.destroyed.pop(job.job_id, None)
        self.living[job.job_id] = job

    def take_from_holder(self, job: SimulatedJob) -> HeldBoards:
        """The job has its boards no more; others cannot have them yet."""
        assert job.held is not None
        site = self.site_of(job)
        for board in job.held.boards:
            del site.holders[board]
        self.changed_machines.add(site.machine.name)
        return job.held

    def sites_with_tags(self, tags: Sequence[object] | None) -> list[Site]:
        """The machines that have all of these tags; None: the tag ``default``."""
        wanted = set(DEFAULT_TAGS if tags is None else tags)
        return [site for site in self.sites.values() if wanted <= site.machine.tags]
