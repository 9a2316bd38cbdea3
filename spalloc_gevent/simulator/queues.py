"""Jobs as the Python server has them: a queue for each machine, first come first served.

Behaviour follows ``spalloc_server`` 1!7.0.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from spalloc_gevent.simulator.jobs import Jobs, SimulatedJob, Site
from spalloc_gevent.simulator.placement import request_from
from spalloc_gevent.states import JobState

DEFAULT_KEEPALIVE_S = 60.0
TIMED_OUT = "Job timed out."
IMPOSSIBLE = "No suitable machines available."


class QueuedJobs(Jobs):
    """All jobs of a Python server."""

    java = False
    most_remembered = 1200
    numbers_come_again = True

    def create(self, host: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """A new job's ID, asked for from `host`.

        Raises TypeError or ValueError for bad arguments. As on the Python server, a
        job may be left behind even so: when owner, keepalive and tags were in order.
        """
        options = dict(kwargs)
        if options.get("tags") is not None:
            options["tags"] = list(dict.fromkeys(options["tags"]))
        owner = options.pop("owner", None)
        if owner is None:
            raise TypeError("owner must be specified for all jobs")
        keepalive = options.pop("keepalive", DEFAULT_KEEPALIVE_S)
        keepalive_s = None if keepalive is None else float(keepalive)
        job = self.add(str(owner), keepalive_s, args, options, host)
        self._expire_later(job)
        sites = self._possible_sites(job)
        self.changed_jobs.add(job.job_id)
        for site in sites:
            site.queue.append(job)
        if not sites:
            self.destroy(job.job_id, IMPOSSIBLE)
        self._start_queued_jobs()
        return job.job_id

    def _possible_sites(self, job: SimulatedJob) -> list[Site]:
        """Every machine on which the job could ever run; the first one with room has it."""
        limits = dict(job.kwargs)
        name, tags = limits.pop("machine", None), limits.pop("tags", None)
        if name is not None and tags is not None:
            raise TypeError("Only one of machine and tags may be specified for a job.")
        if name is None:
            sites = self.sites_with_tags(tags)
        else:
            sites = [self.sites[name]] if name in self.sites else []
        if sites:
            request = job.request = request_from(job.args, limits)
            sites = [site for site in sites if site.placement.possible(request)]
        return sites

    def _start_queued_jobs(self) -> None:
        """Give boards to the jobs whose turn it is, until nobody can be helped any more."""
        helped = True
        while helped:
            helped = False
            for site in self.sites.values():
                job = site.head()
                if job is not None and site.place(job):
                    self.changed_machines.add(site.machine.name)
                    self.power(job, on=True)
                    helped = True

    def set_power(self, job_id: int, host: str | None, *, on: bool) -> None:
        job = self.keep_alive(job_id, host)
        if job is not None and job.held is not None:
            self.power(job, on=on)

    def when_ready(self, job: SimulatedJob) -> None:
        if job.job_id in self.living:
            job.state = JobState.ready
            self.changed_jobs.add(job.job_id)
            return
        rested = self.timers.clock() + self.seconds_before_free
        self.timers.at(rested, lambda: self._free_boards(job))

    def _free_boards(self, job: SimulatedJob) -> None:
        assert job.held is not None
        self.site_of(job).placement.free(job.held)
        self._start_queued_jobs()

    def when_destroyed(self, job: SimulatedJob) -> None:
        if job.held is None:
            job.reason = f"Cancelled: {job.reason or ''}"
        else:
            self.take_from_holder(job)
            self.power(job, on=False)
        job.state = JobState.destroyed
        self._start_queued_jobs()

    def _expire_later(self, job: SimulatedJob) -> None:
        """Look at the job again when its keepalive is over, if nobody has cared for it by then."""

        def look() -> None:
            if job.keepalive_until <= self.timers.clock():
                self.destroy(job.job_id, TIMED_OUT)
            else:
                self._expire_later(job)

        # One that is no number never passes, as on the Python server.
        if job.keepalive_until < math.inf:
            job.expiry = self.timers.at(job.keepalive_until, look)

    def recover(self) -> None:
        """Clients have their whole keepalive to come back."""
        for job in self.living.values():
            self.extend(job)
