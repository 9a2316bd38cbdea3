"""Hundreds of jobs made at once until all are ready, on a simulated server as the Java one is.

That one has its jobs ready when its allocator has been through them; the floor are raw sockets that
make the same jobs and look at the list until it says so.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent

from benchmarks.at_rest import POOL, destroy_all
from benchmarks.figures import Figure, at_most, compared
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.simulated import simulated_server
from benchmarks.turns import in_turns, seconds_of
from spalloc_gevent import Job, JobState

KEEPALIVE_S = 60.0
LOOK_S = 0.1
PATIENCE_S = 120.0
SPARE_BOARDS = 100
_SERVER = ("--dialect=java", "--allocator-seconds=0.036", "--notify-twice")
"""The times are those measured on the real one."""

Where = tuple[str, int]


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    jobs: int = 300
    repeats: int = 2


FULL = Scale()
QUICK = Scale(jobs=20, repeats=1)


def by_jobs(where: Where, count: int) -> float:
    """Seconds until each of so many greenlets has made a job and found it ready."""
    host, port = where
    options: dict[str, Any] = {"owner": "bench", "keepalive": KEEPALIVE_S}
    jobs: list[Job] = []

    def make() -> None:
        job = Job(hostname=host, port=port, **options)
        jobs.append(job)
        job.wait_until_ready(timeout=PATIENCE_S)

    def make_all() -> None:
        gevent.joinall([gevent.spawn(make) for _ in range(count)], raise_error=True)

    took_s = seconds_of(make_all)
    gevent.joinall([gevent.spawn(job.destroy) for job in jobs], raise_error=True)
    destroy_all(*where)
    return took_s


def over_raw_sockets(where: Where, count: int) -> float:
    """Seconds until as many jobs that raw sockets have made are ready in the server's list."""
    create: Command = ("create_job", (), {"owner": "bench", "keepalive": KEEPALIVE_S})
    with RawSockets(*where, POOL) as sockets:

        def make_all() -> None:
            sockets.run([create] * count)
            while set(_states(sockets).values()) != {JobState.ready}:
                time.sleep(LOOK_S)

        took_s = seconds_of(make_all)
    destroy_all(*where)
    return took_s


def _states(sockets: RawSockets) -> dict[int, int]:
    (jobs,) = sockets.run([("list_jobs", (), {})])
    return {job["job_id"]: job["state"] for job in jobs}


def measure(scale: Scale) -> Iterator[Figure]:
    with simulated_server(scale.jobs + SPARE_BOARDS, *_SERVER) as where:
        took_s = in_turns(
            {
                "floor": partial(over_raw_sockets, where, scale.jobs),
                "ours": partial(by_jobs, where, scale.jobs),
            },
            scale.repeats,
        )
    name = f"{scale.jobs} jobs at once until ready, Java dialect"
    goal = at_most(1.2 * statistics.median(took_s["floor"]) + 1.0)
    note = "to reach: 1.2 times the floor and a second; a simulated server"
    yield compared(name, "s", "ours", took_s, goal, note)
