"""Hundreds of jobs at once, made and destroyed, next to raw sockets, on the real server.

Run by ``python3 tools/bench.py``, or alone. ``--quick`` does it on a small scale and judges
outcomes alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent

from benchmarks.at_rest import POOL, big_server, empty, rest
from benchmarks.figures import Figure, Spread, ratio, ratio_at_most
from benchmarks.orders import Worker
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.running import run
from benchmarks.threads import Threads
from benchmarks.turns import in_turns, seconds_of
from spalloc_gevent import Job
from tools import existing_client
from tools.holding import create
from tools.real_server import RealServer

THREADS = 100
KEEPALIVE_S = 60.0


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    jobs: int = 300
    existing_jobs: int = 20
    repeats: int = 11


FULL = Scale()
QUICK = Scale(jobs=100, existing_jobs=2, repeats=1)


class Lives(NamedTuple):
    """Seconds for each of many jobs that are made, then destroyed, all at once."""

    creating_s: float
    destroying_s: float


class Allocation:
    """Makes and destroys jobs in one way or another, on a server that is empty and at rest."""

    def __init__(self, server: RealServer, existing: Worker, scale: Scale) -> None:
        self._server = server
        self._existing = existing
        self._scale = scale
        self._options: dict[str, Any] = {
            "hostname": server.host,
            "port": server.port,
            "owner": "bench",
            "keepalive": KEEPALIVE_S,
        }

    def from_greenlets(self) -> Lives:
        """As many greenlets as jobs. The pool's connections are opened by the first of them."""

        def make() -> tuple[float, list[Job]]:
            began = time.perf_counter()
            jobs = create(self._scale.jobs, self._options)
            return time.perf_counter() - began, jobs

        return self._lives(make)

    def from_threads(self) -> Lives:
        """THREADS native threads, each with its share of the jobs."""
        with Threads(THREADS) as threads:

            def make() -> tuple[float, list[Job]]:
                took_s, jobs = threads.each(self._some, self._scale.jobs // THREADS)
                return took_s, list(chain(*jobs))

            return self._lives(make)

    def _some(self, count: int) -> list[Job]:
        return [Job(**self._options) for _ in range(count)]

    def _lives(self, make: Callable[[], tuple[float, list[Job]]]) -> Lives:
        empty(self._server)
        creating_s, jobs = make()
        self._must_differ([job.id for job in jobs])
        rest(self._server.pid)
        return self._each(creating_s, seconds_of(lambda: _destroy(jobs)))

    def over_raw_sockets(self) -> Lives:
        """The same commands over POOL raw sockets that are open already."""
        empty(self._server)
        with RawSockets(self._server.host, self._server.port, POOL) as sockets:
            ids: list[int] = []
            commands = [_create_command()] * self._scale.jobs
            creating_s = seconds_of(lambda: ids.extend(sockets.run(commands)))
            self._must_differ(ids)
            rest(self._server.pid)
            ends: list[Command] = [("destroy_job", (job_id,), {}) for job_id in ids]
            return self._each(creating_s, seconds_of(lambda: sockets.run(ends)))

    def _must_differ(self, ids: Sequence[object]) -> None:
        if len(set(ids)) != self._scale.jobs:
            raise OSError(f"{self._scale.jobs} jobs were to be made, but {len(set(ids))} were")

    def _each(self, creating_s: float, destroying_s: float) -> Lives:
        return Lives(creating_s / self._scale.jobs, destroying_s / self._scale.jobs)

    def by_the_existing_client(self) -> Lives:
        """Fewer jobs: each has a process of its own."""
        empty(self._server)
        jobs = self._scale.existing_jobs
        creating_s = self._existing.ask("hold", jobs, KEEPALIVE_S)
        rest(self._server.pid)
        return Lives(creating_s / jobs, self._existing.ask("destroy") / jobs)


def _create_command() -> Command:
    """What ``Job(owner="bench", keepalive=KEEPALIVE_S)`` sends."""
    defaults: dict[str, object] = {
        "owner": "bench",
        "keepalive": KEEPALIVE_S,
        "machine": None,
        "tags": None,
        "min_ratio": 0.333,
        "max_dead_boards": 0,
        "max_dead_links": None,
        "require_torus": False,
    }
    return "create_job", (), defaults


def _destroy(jobs: list[Job]) -> None:
    gevent.joinall([gevent.spawn(job.destroy) for job in jobs], raise_error=True)


def measure(scale: Scale) -> Iterator[Figure]:
    with big_server() as server:
        where = server.host, server.port
        with Worker(existing_client.python(), "existing_program", *where) as existing:
            allocation = Allocation(server, existing, scale)
            found = in_turns(
                {
                    "floor": allocation.over_raw_sockets,
                    "greenlets": allocation.from_greenlets,
                    "threads": allocation.from_threads,
                    "existing": allocation.by_the_existing_client,
                },
                scale.repeats,
            )
            empty(server)
    yield from _figures(found, scale)


def _figures(found: dict[str, list[Lives]], scale: Scale) -> Iterator[Figure]:
    jobs = f"{scale.jobs} jobs at once"
    making = {name: [each.creating_s for each in lives] for name, lives in found.items()}
    ending = {name: [each.destroying_s for each in lives] for name, lives in found.items()}
    yield _figure(f"create {jobs}, per job", "greenlets", making, 1.25, scale)
    yield _figure(f"create {jobs} from {THREADS} threads, per job", "threads", making, 1.5, scale)
    yield _figure(f"destroy {jobs}, per job", "greenlets", ending, 1.25, scale)


def _figure(
    name: str, ours: str, took_s: dict[str, list[float]], limit: float, scale: Scale
) -> Figure:
    return Figure(
        name,
        "s",
        Spread.of(took_s[ours]),
        floor=Spread.of(took_s["floor"]),
        existing=Spread.of(took_s["existing"]),
        ratio=ratio(took_s[ours], took_s["floor"]),
        existing_ratio=ratio(took_s["existing"], took_s["floor"]),
        goal=ratio_at_most(limit),
        note=f"the existing client: {scale.existing_jobs} jobs, from a thread each",
    )


def main(argv: Sequence[str] | None = None) -> int:
    return run("Make and destroy jobs on the real server.", measure, FULL, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
