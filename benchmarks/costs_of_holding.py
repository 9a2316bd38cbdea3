"""What a program that holds jobs costs, measured from outside while it does nothing else.

Every process that the jobs bring with them counts: children, and the guardian, which is a child
of nobody's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.at_rest import rest
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


def settle(pid: int) -> None:
    """Wait until a program, and all that belongs to it, has nothing left to do but to hold."""
    for member in family(pid):
        rest(member)


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
