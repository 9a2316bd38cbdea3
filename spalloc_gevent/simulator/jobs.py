"""Jobs on simulated machines: queued, given boards, powered, expired, destroyed.

Pure: it is told what clients ask and when to look at the clock, and collects
what changed. Behaviour follows ``spalloc_server`` 1!7.0.0; its facts are in
PROTOCOL.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spalloc_gevent.deadline import Clock
from spalloc_gevent.geometry import Board, Chip, connections_in_job
from spalloc_gevent.simulator.java_options import JavaOptions
from spalloc_gevent.simulator.machine import Machine, MachineSpec
from spalloc_gevent.simulator.placement import Allocation, Placement, Request, request_from
from spalloc_gevent.states import JobState

MOST_RETIRED_JOBS = 1200
DEFAULT_KEEPALIVE_S = 60.0
DEFAULT_TAGS = ("default",)
TIMED_OUT = "Job timed out."
IMPOSSIBLE = "No suitable machines available."

_NEVER = float("inf")
_SPARE_EXPIRIES = 1000


@dataclass(eq=False)
class Job:
    """One job, living or remembered."""

    job_id: int
    owner: str
    keepalive_s: float | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    start_time: float
    keepalive_host: str | None
    keepalive_until: float = _NEVER
    kept_alive_at: float = 0.0
    """Seconds since 1970."""
    state: JobState = JobState.queued
    power: bool | None = None
    machine: Machine | None = None
    allocation: Allocation | None = None
    busy_until: float = -_NEVER
    """When the boards have carried out every power command so far."""
    power_commands: int = 0
    """How many of those are still under way."""
    request: Request | None = field(default=None, repr=False)
    released: bool = False
    """It has no boards any more; `allocation` are those that it had."""
    ready_before: bool = False
    woken: bool = False
    """It was destroyed, and made ready once more by a power command."""
    reason: object = None
    """Why it was destroyed."""

    @property
    def pending(self) -> bool:
        """Still waiting in the queues."""
        return self.state is JobState.queued

    @property
    def boards(self) -> frozenset[Board] | None:
        return None if self.allocation is None or self.released else self.allocation.boards

    @property
    def connections(self) -> dict[Chip, str]:
        """The hostname of each board, by its Ethernet chip's place in the job."""
        assert self.machine is not None
        return connections_in_job(
            {board: self.machine.hostname_of(board) for board in self.boards or ()}
        )


class Site:
    """A machine with its queue and its free boards."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.placement = Placement(machine)
        self.queue: deque[Job] = deque()
        self.holders: dict[Board, Job] = {}
        self._stuck: tuple[Job, int] | None = None

    def head(self) -> Job | None:
        """The job whose turn it is: others wait behind it even if they would fit."""
        while self.queue and not self.queue[0].pending:
            self.queue.popleft()
        return self.queue[0] if self.queue else None

    def place(self, job: Job) -> Allocation | None:
        """Boards for `job`; not tried again before some came back."""
        attempt = (job, self.placement.frees)
        if self._stuck == attempt:
            return None
        assert job.request is not None
        allocation = self.placement.place(job.request)
        self._stuck = attempt if allocation is None else None
        return allocation


class Jobs:
    """All jobs of a server, and the machines they run on.

    machines: highest priority first.
    power_seconds: how long each power-on takes; those of one job take place one
        after another, those of several jobs at the same time.
    seconds_before_free: how long the boards of a destroyed job stay unavailable
        once they have been powered off.
    clock: seconds, for what lasts; wall_clock: seconds since 1970, for ``start_time``.
    first_id: the number of the first job.
    """

    machine_type: type[Machine] = Machine
    numbers_come_again: bool = True
    """After the jobs are lost, numbers begin at 1 once more."""

    def __init__(
        self,
        machines: Sequence[MachineSpec],
        *,
        power_seconds: float = 0.0,
        seconds_before_free: float = 0.0,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        most_retired: int = MOST_RETIRED_JOBS,
        first_id: int = 1,
    ) -> None:
        self.options = JavaOptions()
        self._power_seconds = power_seconds
        self._seconds_before_free = seconds_before_free
        self._clock = clock
        self._wall_clock = wall_clock
        self._most_retired = most_retired
        self._sites = _sites(machines, self.machine_type)
        self._jobs: dict[int, Job] = {}
        self._retired: OrderedDict[int, Job] = OrderedDict()
        self.next_id = first_id
        self._order = itertools.count()
        self._expiries: list[tuple[float, int]] = []
        self._powering: list[tuple[float, int, Job]] = []
        self._resting: deque[tuple[float, Site, Allocation]] = deque()
        self._changed_jobs: set[int] = set()
        self._changed_machines: set[str] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Every job that has not been destroyed, oldest first."""
        return iter(self._jobs.values())

    @property
    def machines(self) -> list[Machine]:
        """Highest priority first."""
        return [site.machine for site in self._sites.values()]

    def machine(self, name: str) -> Machine | None:
        site = self._sites.get(name)
        return None if site is None else site.machine

    def get(self, job_id: int) -> Job | None:
        """The job; None when it was destroyed or never was."""
        return self._jobs.get(job_id)

    def holder(self, machine: Machine, board: Board) -> Job | None:
        """The job that has `board`; None once it is destroyed, even while the board is busy."""
        return self._sites[machine.name].holders.get(board)

    def was_destroyed(self, job_id: int) -> bool:
        """Whether the job is among the destroyed ones that are remembered."""
        return job_id in self._retired

    def reason(self, job_id: int) -> object:
        """Why a remembered job was destroyed; None when no reason was given."""
        job = self._retired.get(job_id)
        return None if job is None else job.reason

    def find(self, job_id: int) -> Job | None:
        """The job, living or remembered."""
        return self._jobs.get(job_id) or self._retired.get(job_id)

    def now(self) -> float:
        """Seconds, by the clock."""
        return self._clock()

    def set_options(self, options: JavaOptions) -> None:
        """What happens from now on; nothing for the Python server."""
        self.options = options

    def take_changed_jobs(self) -> set[int]:
        """The jobs that changed since this was last asked."""
        changed, self._changed_jobs = self._changed_jobs, set()
        return changed

    def take_changed_machines(self) -> set[str]:
        """The names of the machines whose boards were given out or taken back since last asked."""
        changed, self._changed_machines = self._changed_machines, set()
        return changed

    def create(self, host: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """A new job's ID, asked for from `host`.

        Raises TypeError or ValueError for bad arguments. As on the Python server, a
        job may be left behind even so: when owner, keepalive and tags were in order.
        """
        job = self._new_job(host, args, dict(kwargs))
        self._enqueue(job)
        self._changed_jobs.add(job.job_id)
        return job.job_id

    def _new_job(self, host: str | None, args: Sequence[Any], kwargs: dict[str, Any]) -> Job:
        if kwargs.get("tags") is not None:
            kwargs["tags"] = list(dict.fromkeys(kwargs["tags"]))
        owner = kwargs.pop("owner", None)
        if owner is None:
            raise TypeError("owner must be specified for all jobs")
        keepalive = kwargs.pop("keepalive", DEFAULT_KEEPALIVE_S)
        keepalive_s = None if keepalive is None else float(keepalive)
        return self._add(str(owner), keepalive_s, args, kwargs, host)

    def _add(
        self,
        owner: str,
        keepalive_s: float | None,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        host: str | None,
    ) -> Job:
        job = Job(self.next_id, owner, keepalive_s, args, kwargs, self._wall_clock(), host)
        self.next_id += 1
        self._jobs[job.job_id] = job
        self._start_keepalive(job)
        return job

    def _enqueue(self, job: Job) -> None:
        """Into the queue of every machine on which the job could ever run; the first one has it."""
        possible = [site for site in self._candidates(job) if self._possible(site, job)]
        for site in possible:
            site.queue.append(job)
        if not possible:
            self.destroy(job.job_id, IMPOSSIBLE)
        self._start_queued_jobs()

    def _candidates(self, job: Job) -> list[Site]:
        machine, tags = job.kwargs.get("machine"), job.kwargs.get("tags")
        if machine is not None and tags is not None:
            raise TypeError("Only one of machine and tags may be specified for a job.")
        if machine is not None:
            site = self._sites.get(machine)
            return [] if site is None else [site]
        wanted = set(DEFAULT_TAGS if tags is None else tags)
        return [site for site in self._sites.values() if wanted <= site.machine.tags]

    @staticmethod
    def _possible(site: Site, job: Job) -> bool:
        if job.request is None:
            limits = {k: v for k, v in job.kwargs.items() if k not in ("machine", "tags")}
            job.request = request_from(job.args, limits)
        return site.placement.possible(job.request)

    def _start_queued_jobs(self) -> None:
        """Give boards to the jobs whose turn it is, until nobody can be helped any more."""
        started = [True]
        while any(started):
            started = [self._start_head(site) for site in self._sites.values()]

    def _start_head(self, site: Site) -> bool:
        job = site.head()
        allocation = None if job is None else site.place(job)
        if job is None or allocation is None:
            return False
        job.machine, job.allocation = site.machine, allocation
        site.holders.update(dict.fromkeys(allocation.boards, job))
        self._changed_machines.add(site.machine.name)
        self._power(job, on=True)
        return True

    def _power(self, job: Job, *, on: bool) -> None:
        """Set a job's boards to work; what was asked before is done first."""
        now = self._clock()
        job.busy_until = max(job.busy_until, now) + (self._power_seconds if on else 0.0)
        job.power_commands += 1
        heapq.heappush(self._powering, (job.busy_until, next(self._order), job))
        job.state, job.power = JobState.power, on
        self._changed_jobs.add(job.job_id)

    def keep_alive(self, job_id: int, host: str | None) -> Job | None:
        """Note that somebody cares for the job; return it, or None when there is none."""
        job = self._jobs.get(job_id)
        if job is not None:
            if host is not None:
                job.keepalive_host = host
            self._extend(job)
        return job

    def _extend(self, job: Job) -> None:
        # The heap keeps the old time; `expire` looks here before it believes it.
        job.kept_alive_at = self._wall_clock()
        if job.keepalive_s is not None:
            job.keepalive_until = self._clock() + job.keepalive_s

    def _start_keepalive(self, job: Job) -> None:
        self._extend(job)
        # One that is no number never passes, as on the Python server.
        if job.keepalive_until < _NEVER:
            heapq.heappush(self._expiries, (job.keepalive_until, job.job_id))
        if len(self._expiries) > 2 * len(self._jobs) + _SPARE_EXPIRIES:
            self._forget_expiries_of_the_destroyed()

    def _forget_expiries_of_the_destroyed(self) -> None:
        self._expiries = [expiry for expiry in self._expiries if expiry[1] in self._jobs]
        heapq.heapify(self._expiries)

    def set_power(self, job_id: int, host: str | None, *, on: bool) -> None:
        """Power a job's boards on (again, which resets them) or off; keeps it alive as well."""
        job = self.keep_alive(job_id, host)
        if job is not None and job.allocation is not None:
            self._power(job, on=on)

    def destroy(self, job_id: int, reason: object = None) -> None:
        """Destroy a job, if there is one; its boards come free later."""
        job = self._jobs.get(job_id)
        if job is None:
            return
        del self._jobs[job_id]
        if job.allocation is None:
            self._retire(job, f"Cancelled: {reason or ''}")
        else:
            self._retire(job, reason)
            self._withdraw(job)
        self._start_queued_jobs()

    def _retire(self, job: Job, reason: object) -> None:
        job.state = JobState.destroyed
        job.reason = reason
        self._retired[job.job_id] = job
        self._changed_jobs.add(job.job_id)
        if len(self._retired) > self._most_retired:
            self._retired.popitem(last=False)

    def _withdraw(self, job: Job) -> None:
        assert job.machine is not None
        assert job.boards is not None
        holders = self._sites[job.machine.name].holders
        for board in job.boards:
            del holders[board]
        self._changed_machines.add(job.machine.name)
        self._power(job, on=False)

    def expire(self) -> None:
        """Destroy the jobs that nobody cared for in time, and free the boards that have rested."""
        now = self._clock()
        self._destroy_timed_out(now)
        self._free_rested(now)

    def _destroy_timed_out(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            _, job_id = heapq.heappop(self._expiries)
            job = self._jobs.get(job_id)
            if job is None:
                continue
            if job.keepalive_until <= now:
                self.destroy(job_id, TIMED_OUT)
            else:
                heapq.heappush(self._expiries, (job.keepalive_until, job_id))

    def _free_rested(self, now: float) -> None:
        freed = False
        while self._resting and self._resting[0][0] <= now:
            _, site, allocation = self._resting.popleft()
            site.placement.free(allocation)
            freed = True
        if freed:
            self._start_queued_jobs()

    def finish_powering(self) -> None:
        """Settle the jobs whose boards have done what they were told."""
        now = self._clock()
        while self._powering and self._powering[0][0] <= now:
            job = heapq.heappop(self._powering)[2]
            job.power_commands -= 1
            if not job.power_commands:
                self._settle(job, now)

    def _settle(self, job: Job, now: float, /) -> None:
        if job.job_id in self._jobs:
            job.state = JobState.ready
            self._changed_jobs.add(job.job_id)
            return
        assert job.machine is not None
        assert job.allocation is not None
        site = self._sites[job.machine.name]
        self._resting.append((now + self._seconds_before_free, site, job.allocation))

    def next_due(self) -> float | None:
        """When, by the clock, something is to be looked at next; None when nothing is."""
        return min(self._due_times(), default=None)

    def _due_times(self) -> Iterator[float]:
        queues: tuple[Sequence[tuple[Any, ...]], ...] = (
            self._expiries,
            self._powering,
            self._resting,
        )
        return (queue[0][0] for queue in queues if queue)

    def recover(self) -> None:
        """Go on after a restart: clients have their whole keepalive to come back."""
        for job in self._jobs.values():
            self._extend(job)


def _sites(machines: Sequence[MachineSpec], kind: type[Machine]) -> dict[str, Site]:
    sites = {spec.name: Site(kind(spec, n)) for n, spec in enumerate(machines)}
    if len(sites) < len(machines):
        raise ValueError("two machines have the same name: give each one of its own")
    return sites
