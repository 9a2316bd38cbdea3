"""What a program that holds jobs costs, measured from outside while it does nothing else.

Every process that the jobs bring with them counts: children, and the guardian, which is a child
of nobody's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.at_rest import rest
from benchmarks.orders import Worker
from tools.costs import connections, family, fine_cpu_s, pss_kib


@dataclass(frozen=True)
class Cost:
    """What a program and all that belongs to it takes while it holds `jobs`.

    anonymous_kib: what of its memory is no file's; other programs that run the same files, and
        so share in their pages, do not change it.
    cpu_s: CPU time in a second, window by window.
    """

    jobs: int
    pss_kib: int
    anonymous_kib: int
    processes: int
    connections: int
    cpu_s: tuple[float, ...] = ()


def held(
    program: Worker, port: int, jobs: int, keepalive_s: float, windows: Sequence[float] = ()
) -> tuple[Cost, set[int]]:
    """What a program costs that holds so many jobs, and their IDs if it tells them.

    Args:
        port: The server's.
        windows: For how many seconds each its CPU time is measured.
    """
    told = program.ask("hold", jobs, keepalive_s)
    for member in family(program.pid):
        rest(member)
    shares = [cpu_share(program.pid, seconds) for seconds in windows]
    return cost_now(program.pid, jobs, port, shares), set(told if isinstance(told, list) else ())


def cost_now(pid: int, jobs: int, port: int, cpu_s: Sequence[float] = ()) -> Cost:
    members = family(pid)
    return Cost(
        jobs=jobs,
        pss_kib=sum(pss_kib(member) for member in members),
        anonymous_kib=sum(pss_kib(member, "Pss_Anon") for member in members),
        processes=len(members),
        connections=connections(members, port),
        cpu_s=tuple(cpu_s),
    )


def cpu_share(pid: int, seconds: float) -> float:
    """The CPU time that a program and all that belongs to it takes in a second."""
    before = {member: fine_cpu_s(member) for member in family(pid)}
    began = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - began
    return sum(fine_cpu_s(member) - before.get(member, 0.0) for member in family(pid)) / took_s


def growth(costs: tuple[Cost, Cost], what: str) -> float:
    """How much more of one of a cost's fields each further job took."""
    first, last = costs
    more: float = getattr(last, what) - getattr(first, what)
    return more / (last.jobs - first.jobs)
