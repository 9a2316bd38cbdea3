"""What it costs to hold hundreds of jobs, and that none is lost, on the real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.at_rest import big_server, empty, live_jobs
from benchmarks.costs_of_holding import Cost, growth, held
from benchmarks.figures import Figure, Spread, at_most, one, outcome
from benchmarks.orders import Worker, WorkerError
from benchmarks.raw_sockets import Command, RawSockets
from tools import existing_client
from tools.costs import family, pss_kib
from tools.real_server import RealServer

MOST_CONNECTIONS = 9
OBSERVERS = 3
BUSY_GREENLETS = 100
_VERSION: Command = ("version", (), {})


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    jobs: int = 1000
    existing_jobs: int = 20
    keepalive_s: float = 20.0
    windows: int = 2
    window_s: float = 10.0
    watched_jobs: int = 300
    short_keepalive_s: float = 10.0
    busy_s: float = 25.0
    kills: int = 20


FULL = Scale()
QUICK = Scale(
    jobs=200,
    existing_jobs=3,
    windows=1,
    window_s=2.0,
    watched_jobs=100,
    short_keepalive_s=3.0,
    busy_s=4.0,
    kills=2,
)


# -- what it costs --------------------------------------------------------------


def costs_of(program: Worker, server: RealServer, jobs: int, scale: Scale) -> tuple[Cost, Cost]:
    """Of holding one job, and of holding `jobs` for a while."""
    first, _ = held(program, server.port, 1, scale.keepalive_s)
    windows = [scale.window_s] * scale.windows
    return first, held(program, server.port, jobs, scale.keepalive_s, windows)[0]


def cost_figures(server: RealServer, scale: Scale) -> Iterator[Figure]:
    # One after the other: programs that run at once share pages, which makes both look smaller.
    where = server.host, server.port
    with Worker(existing_client.python(), "existing_program", *where) as program:
        existing = costs_of(program, server, scale.existing_jobs, scale)
        program.ask("destroy")
    with Worker(sys.executable, "our_jobs", *where) as program:
        ours = costs_of(program, server, scale.jobs, scale)
        parts = {
            "program": pss_kib(program.pid),
            "guardian": sum(pss_kib(pid) for pid in family(program.pid) - {program.pid}),
        }
        program.ask("destroy")
    yield from _cost_figures(ours, existing, parts, scale)


def _cost_figures(
    ours: tuple[Cost, Cost], existing: tuple[Cost, Cost], parts: dict[str, int], scale: Scale
) -> Iterator[Figure]:
    jobs, theirs = ours[1].jobs, f"the existing client: {existing[1].jobs} jobs"
    yield Figure(
        "memory (PSS) that a held job adds, guardian included",
        "KiB",
        one(growth(ours, "pss_kib")),
        existing=one(growth(existing, "pss_kib")),
        goal=at_most(14.0),
        note=f"all processes of the program together, from 1 job to {jobs:,}; {theirs}",
    )
    yield Figure("  of it, in no file's pages", "KiB", one(growth(ours, "anonymous_kib")),
                 existing=one(growth(existing, "anonymous_kib")))  # fmt: skip
    yield Figure("  memory of the program with 1 job, guardian included", "KiB",
                 one(ours[0].pss_kib), existing=one(existing[0].pss_kib))  # fmt: skip
    yield Figure(f"  memory of the program with {jobs:,} jobs", "KiB", one(parts["program"]))
    yield Figure(f"  memory of its guardian with {jobs:,} jobs", "KiB", one(parts["guardian"]))
    yield Figure(
        f"processes for {jobs:,} held jobs, guardian included",
        "",
        one(ours[1].processes),
        existing=one(_scaled(existing, "processes", jobs)),
        goal=outcome("<=", 2),
        note=f"{theirs}, scaled up",
    )
    yield Figure(
        f"connections for {jobs:,} held jobs",
        "",
        one(ours[1].connections),
        existing=one(_scaled(existing, "connections", jobs)),
        goal=outcome("<=", MOST_CONNECTIONS),
        note=f"{theirs}, scaled up",
    )
    yield Figure(
        f"CPU for holding a job, keepalive {scale.keepalive_s:g} s",
        "us/s",
        Spread.of(ours[1].cpu_s).times(1e6 / jobs),
        existing=Spread.of(existing[1].cpu_s).times(1e6 / existing[1].jobs),
        goal=at_most(35.0),
        note=f"guardian included, {jobs} jobs; {theirs}; "
        f"{scale.windows} windows of {scale.window_s:g} s",
    )


def _scaled(costs: tuple[Cost, Cost], what: str, jobs: int) -> float:
    """What so many jobs would take, where each takes as much as the next."""
    first = costs[0]
    at_first: int = getattr(first, what)
    return at_first + growth(costs, what) * (jobs - first.jobs)


# -- that none is lost ------------------------------------------------------------


def loss_figures(server: RealServer, scale: Scale) -> Iterator[Figure]:
    empty(server)
    where = server.host, server.port
    spell = f"{scale.watched_jobs} jobs, {scale.busy_s:g} s, keepalive {scale.short_keepalive_s:g}"
    with Worker(sys.executable, "our_jobs", *where) as program, RawSockets(*where, 1) as sockets:
        jobs = set(program.ask("hold", scale.watched_jobs, scale.short_keepalive_s))
        for order, doing in (("sleep", "asleep"), ("burn", "burning CPU")):
            program.ask(order, scale.busy_s)
            lost = len(jobs - live_jobs(sockets))
            yield Figure(f"jobs lost while {doing}: {spell} s", "", one(lost),
                         goal=outcome("==", 0))  # fmt: skip
        program.ask("destroy")


# -- killing ------------------------------------------------------------------


def kill_figures(server: RealServer, scale: Scale) -> Iterator[Figure]:
    empty(server)
    answered = sum(_answers_after_a_kill(server) for _ in range(scale.kills))
    yield Figure(
        f"{scale.kills} times SIGKILL amid {BUSY_GREENLETS} busy greenlets: server dead after",
        "",
        one(scale.kills - answered),
        goal=outcome("==", 0),
    )


def _answers_after_a_kill(server: RealServer) -> bool:
    """Whether those who were connected all along, and one who comes after, get their answers."""
    where = server.host, server.port
    try:
        with RawSockets(*where, OBSERVERS) as observers:
            with Worker(sys.executable, "our_jobs", *where) as client:
                if not client.ask("stay busy", BUSY_GREENLETS):
                    raise WorkerError("the client that was to be killed is not busy")
                client.kill()
            answers = observers.run([_VERSION] * OBSERVERS)
        with RawSockets(*where, 1) as newcomer:
            answers += newcomer.run([_VERSION])
        empty(server)
    except OSError as error:
        print(f"after a SIGKILL: {error}; the server's log says:\n{server.log_tail()}")
        return False
    return len(answers) == OBSERVERS + 1


# -- the whole ------------------------------------------------------------------


def measure(scale: Scale) -> Iterator[Figure]:
    with big_server() as server:
        for part in (cost_figures, loss_figures, kill_figures):
            yield from part(server, scale)
