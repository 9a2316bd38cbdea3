"""Thousands of jobs in one program: that none is lost, and that each costs what one of a few costs.

On the simulated server, in a process of its own: the real one takes no such number. Run by
``python3 tools/bench.py``, or alone. ``--quick`` holds hundreds for seconds and judges outcomes
alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.at_rest import live_jobs
from benchmarks.costs_of_holding import Cost, cost_now, cpu_share, growth, settle
from benchmarks.figures import Figure, Spread, at_most, one, outcome, ratio_at_most
from benchmarks.orders import Worker
from benchmarks.raw_sockets import RawSockets
from benchmarks.running import run
from benchmarks.simulated import simulated_server

SPARE_BOARDS = 200
MOST_MEMORY_KIB = 120e6 / 1024


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    few: int = 100
    many: int = 10_000
    keepalive_s: float = 60.0
    hold_few_s: float = 30.0
    windows: int = 3
    window_s: float = 30.0

    @property
    def hold_s(self) -> float:
        return self.windows * self.window_s


FULL = Scale()
QUICK = Scale(few=20, many=500, keepalive_s=4.0, hold_few_s=2.0, windows=1, window_s=3.0)


@dataclass(frozen=True)
class Held:
    """What holding one job, a few and many has cost, and how many of the many are lost."""

    first: Cost
    few: Cost
    many: Cost
    lost: int


def hold(where: tuple[str, int], scale: Scale) -> Held:
    port = where[1]
    with Worker(sys.executable, "our_jobs", *where) as program, RawSockets(*where, 1) as sockets:
        pid = program.pid
        program.ask("hold", 1, scale.keepalive_s)
        settle(pid)
        first = cost_now(pid, 1, port)
        program.ask("hold", scale.few, scale.keepalive_s)
        settle(pid)
        few = cost_now(pid, scale.few, port, [cpu_share(pid, scale.hold_few_s)])
        held = set(program.ask("hold", scale.many, scale.keepalive_s))
        settle(pid)
        shares = [cpu_share(pid, scale.window_s) for _ in range(scale.windows)]
        many = cost_now(pid, scale.many, port, shares)
        return Held(first, few, many, len(held - live_jobs(sockets)))


def measure(scale: Scale) -> Iterator[Figure]:
    with simulated_server(scale.many + SPARE_BOARDS) as where:
        held = hold(where, scale)
    yield from _figures(held, scale)


def _figures(held: Held, scale: Scale) -> Iterator[Figure]:
    what = f"{scale.many:,} jobs held for {scale.hold_s:g} s"
    note = f"keepalive {scale.keepalive_s:g} s, simulated server; guardian included"
    yield Figure(f"{what}: lost", "", one(held.lost), goal=outcome("==", 0), note=note)
    yield Figure(f"{what}: memory (PSS)", "KiB", one(held.many.pss_kib),
                 goal=at_most(MOST_MEMORY_KIB))  # fmt: skip
    yield Figure(f"{what}: CPU of one core", "%", Spread.of(held.many.cpu_s).times(100.0),
                 goal=at_most(4.0))  # fmt: skip
    yield Figure(f"{what}: connections", "", one(held.many.connections),
                 goal=outcome("<=", 9))  # fmt: skip
    yield from _comparisons(held, scale)


def _comparisons(held: Held, scale: Scale) -> Iterator[Figure]:
    than = f"at {scale.many:,} held against at {scale.few}"
    many, few = (Spread.of(cost.cpu_s).times(1e6 / cost.jobs) for cost in (held.many, held.few))
    yield _beside(f"CPU of a job {than}", "us/s", many, few.median)
    many = one(growth((held.few, held.many), "pss_kib"))
    few_kib = growth((held.first, held.few), "pss_kib")
    yield _beside(f"memory of a job {than}", "KiB", many, few_kib)


def _beside(name: str, unit: str, many: Spread, few: float) -> Figure:
    if few <= 0:
        return Figure(name, unit, many, note="the few cost too little to be measured")
    return Figure(name, unit, many, floor=one(few), ratio=many.times(1 / few),
                  goal=ratio_at_most(1.2), note="the floor is the cost at the few")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    return run("Hold thousands of jobs on a simulated server.", measure, FULL, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
