"""Jobs made and destroyed, hundreds at once or one by one, beside raw sockets, on real servers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import gevent

from benchmarks.at_rest import POOL, big_server, destroy_all, empty, rest
from benchmarks.figures import Figure, at_most, compared, ratio_at_most
from benchmarks.orders import Worker
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.simulated import simulated_server
from benchmarks.threads import Threads, in_a_thread
from benchmarks.turns import in_turns, seconds_of
from spalloc_gevent import Job
from tools import existing_client
from tools.holding import create
from tools.real_server import RealServer

THREADS = 100
KEEPALIVE_S = 60.0

T = TypeVar("T")
Where = tuple[str, int]


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    jobs: int = 300
    existing_jobs: int = 20
    one_by_one: int = 50
    repeats: int = 7


FULL = Scale()
QUICK = Scale(jobs=100, existing_jobs=2, one_by_one=10, repeats=1)


class Phase(NamedTuple):
    """What a job costs that is made, or destroyed, together with many others.

    seconds: until all calls have returned.
    cpu_s: of this process alone, until nothing is left to do in the background either.
    """

    seconds: float
    cpu_s: float = math.nan


class Lives(NamedTuple):
    """Of many jobs that are made, then destroyed, all at once."""

    creating: Phase
    destroying: Phase


class Allocation:
    """Makes and destroys jobs in one way or another, on a server that is empty and at rest."""

    def __init__(self, server: RealServer, existing: Worker, scale: Scale) -> None:
        self._server = server
        self._existing = existing
        self._jobs = scale.jobs
        self._existing_jobs = scale.existing_jobs
        self._options = _options((server.host, server.port))

    def from_greenlets(self) -> Lives:
        """As many greenlets as jobs. The pool's connections are opened by the first of them."""
        return self._lives(lambda: create(self._jobs, self._options), _destroy)

    def from_threads(self) -> Lives:
        """THREADS native threads, each with its share of the jobs."""
        with Threads(THREADS) as threads:

            def make() -> list[Job]:
                _, jobs = threads.each(_some, self._jobs // THREADS, self._options)
                return list(chain(*jobs))

            return self._lives(make, _destroy)

    def over_raw_sockets(self) -> Lives:
        """The same commands over POOL raw sockets that are open already."""
        with RawSockets(self._server.host, self._server.port, POOL) as sockets:

            def destroy(ids: Sequence[int]) -> None:
                sockets.run([("destroy_job", (job_id,), {}) for job_id in ids])

            return self._lives(lambda: sockets.run([_create_command()] * self._jobs), destroy)

    def by_the_existing_client(self) -> Lives:
        """Fewer jobs: each has a process of its own."""
        empty(self._server)
        jobs = self._existing_jobs
        creating_s = self._existing.ask("hold", jobs, KEEPALIVE_S)
        rest(self._server.pid)
        return Lives(Phase(creating_s / jobs), Phase(self._existing.ask("destroy") / jobs))

    def _lives(self, make: Callable[[], list[T]], destroy: Callable[[list[T]], None]) -> Lives:
        empty(self._server)
        made: list[T] = []
        creating = self._phase(lambda: made.extend(make()))
        ids = {job.id if isinstance(job, Job) else job for job in made}
        if len(ids) != self._jobs:
            raise OSError(f"{self._jobs} jobs were to be made, but {len(ids)} were")
        return Lives(creating, self._phase(lambda: destroy(made)))

    def _phase(self, work: Callable[[], object]) -> Phase:
        """What `work` costs a job."""
        used_s = time.process_time()
        took_s = seconds_of(work)
        rest(self._server.pid)
        return Phase(took_s / self._jobs, (time.process_time() - used_s) / self._jobs)


def _options(where: Where) -> dict[str, Any]:
    host, port = where
    return {"hostname": host, "port": port, "owner": "bench", "keepalive": KEEPALIVE_S}


def _some(count: int, options: dict[str, Any]) -> list[Job]:
    return [Job(**options) for _ in range(count)]


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


# -- one after the other ----------------------------------------------------------


def one_by_one(where: Where, clear: Callable[[], None], scale: Scale) -> dict[str, list[float]]:
    """Seconds for each of some jobs: by one plain thread, and over a raw socket that is open."""
    options = _options(where)

    def ours() -> float:
        clear()
        jobs: list[Job] = []
        took_s = in_a_thread(seconds_of, lambda: jobs.extend(_some(scale.one_by_one, options)))
        _destroy(jobs)
        return took_s / scale.one_by_one

    def floor() -> float:
        clear()
        with RawSockets(*where, 1) as socket:
            took_s = in_a_thread(seconds_of, lambda: _make_and_ask(socket, scale.one_by_one))
        return took_s / scale.one_by_one

    return in_turns({"floor": floor, "ours": ours}, scale.repeats)


def _make_and_ask(socket: RawSockets, count: int) -> None:
    for _ in range(count):
        (job_id,) = socket.run_blocking([_create_command()])
        socket.run_blocking([("get_job_state", (job_id,), {})])


def one_by_one_figures(server: RealServer, scale: Scale) -> Iterator[Figure]:
    what = f"{scale.one_by_one} jobs made one after the other, per job"
    note = "by one plain thread; the floor: create_job and get_job_state over one raw socket"
    took_s = one_by_one((server.host, server.port), partial(empty, server), scale)
    yield compared(what, "s", "ours", took_s, ratio_at_most(1.6), note)
    # A real server takes most of the time itself; here it is mostly the client's.
    with simulated_server(scale.one_by_one) as where:
        took_s = one_by_one(where, partial(destroy_all, *where), scale)
    yield compared(f"  {what}, simulated server", "s", "ours", took_s, None, note)


# -- the whole --------------------------------------------------------------------


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
        making = {name: [each.creating for each in lives] for name, lives in found.items()}
        ending = {name: [each.destroying for each in lives] for name, lives in found.items()}
        yield from _at_once_figures(making, ending, scale)
        yield from one_by_one_figures(server, scale)
        empty(server)


Phases = Mapping[str, Sequence[Phase]]
"""Turn by turn, of each way to make or to destroy jobs."""


def _at_once_figures(making: Phases, ending: Phases, scale: Scale) -> Iterator[Figure]:
    jobs = f"{scale.jobs} jobs at once"
    note = f"the existing client: {scale.existing_jobs} jobs, from a thread each"
    for name, who, phases, limit in (
        (f"create {jobs}, per job", "greenlets", making, 1.25),
        (f"create {jobs} from {THREADS} threads, per job", "threads", making, 1.5),
        (f"destroy {jobs}, per job", "greenlets", ending, 1.25),
    ):
        seconds = {way: [phase.seconds for phase in turns] for way, turns in phases.items()}
        yield compared(name, "s", who, seconds, ratio_at_most(limit), note)
    note = "this process alone, until nothing is left to do; no server's, no guardian's"
    for what, phases, most_s in (("made", making, 0.5e-3), ("destroyed", ending, 0.3e-3)):
        cpu_s = {way: [phase.cpu_s for phase in phases[way]] for way in ("greenlets", "floor")}
        name = f"CPU of the client for one job {what}, {jobs}"
        yield compared(name, "s", "greenlets", cpu_s, at_most(most_s), note)
