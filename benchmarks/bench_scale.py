"""Thousands of jobs in one program: that none is lost, and that each costs what one of a few costs.

On the simulated server, in a process of its own: the real one takes no such number.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.at_rest import live_jobs
from benchmarks.costs_of_holding import Cost, growth, held
from benchmarks.figures import Figure, Spread, at_most, one, outcome, ratio_at_most
from benchmarks.orders import Worker
from benchmarks.raw_sockets import RawSockets
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
    port, keepalive_s = where[1], scale.keepalive_s
    windows = [scale.window_s] * scale.windows
    with Worker(sys.executable, "our_jobs", *where) as program, RawSockets(*where, 1) as sockets:
        first, _ = held(program, port, 1, keepalive_s)
        few, _ = held(program, port, scale.few, keepalive_s, [scale.hold_few_s])
        many, jobs = held(program, port, scale.many, keepalive_s, windows)
        return Held(first, few, many, len(jobs - live_jobs(sockets)))


def measure(scale: Scale) -> Iterator[Figure]:
    with simulated_server(scale.many + SPARE_BOARDS) as where:
        costs = hold(where, scale)
    yield from _figures(costs, scale)


def _figures(costs: Held, scale: Scale) -> Iterator[Figure]:
    what = f"{scale.many:,} jobs held for {scale.hold_s:g} s"
    note = f"keepalive {scale.keepalive_s:g} s, simulated server; guardian included"
    yield Figure(f"{what}: lost", "", one(costs.lost), goal=outcome("==", 0), note=note)
    yield Figure(f"{what}: memory (PSS)", "KiB", one(costs.many.pss_kib),
                 goal=at_most(MOST_MEMORY_KIB))  # fmt: skip
    yield Figure(f"{what}: CPU of one core", "%", Spread.of(costs.many.cpu_s).times(100.0),
                 goal=at_most(4.0))  # fmt: skip
    yield Figure(f"{what}: connections", "", one(costs.many.connections),
                 goal=outcome("<=", 9))  # fmt: skip
    yield from _comparisons(costs, scale)


def _comparisons(costs: Held, scale: Scale) -> Iterator[Figure]:
    than = f"at {scale.many:,} held against at {scale.few}"
    many, few = (Spread.of(cost.cpu_s).times(1e6 / cost.jobs) for cost in (costs.many, costs.few))
    yield _beside(f"CPU of a job {than}", "us/s", many, few.median)
    many = one(growth((costs.few, costs.many), "pss_kib"))
    few_kib = growth((costs.first, costs.few), "pss_kib")
    yield _beside(f"memory of a job {than}", "KiB", many, few_kib)


def _beside(name: str, unit: str, many: Spread, few: float) -> Figure:
    if few <= 0:
        return Figure(name, unit, many, note="the few cost too little to be measured")
    return Figure(name, unit, many, floor=one(few), ratio=many.times(1 / few),
                  goal=ratio_at_most(1.2), note="the floor is the cost at the few")  # fmt: skip
