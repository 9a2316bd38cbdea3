"""Calls of one client from many native threads, beside raw sockets.

On the real server, and on one that answers at once. Run by ``python3 tools/bench.py``, or alone.
``--quick`` does it on a small scale and judges outcomes alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.at_rest import POOL
from benchmarks.calling import (
    EXISTING_THREADS,
    VERSION,
    Callee,
    Rates,
    figure_of,
    real_server,
    server_that_answers_at_once,
    some,
)
from benchmarks.figures import Figure, ratio_at_least
from benchmarks.raw_sockets import RawSockets
from benchmarks.running import run
from benchmarks.threads import Threads
from benchmarks.turns import in_turns, rate_of
from spalloc_gevent import ProtocolClient

MANY, FEWER = 100, 30


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    repeats: int = 11
    calls: int = 9_000


FULL = Scale()
QUICK = Scale(repeats=1, calls=1_800)


def rates_of(callee: Callee, count: int, scale: Scale) -> Rates:
    """Calls a second: those of `count` threads with ours, and with raw sockets that they share."""
    with ExitStack() as opened:
        client = opened.enter_context(ProtocolClient(*callee.where))
        eight = opened.enter_context(RawSockets(*callee.where, POOL))
        threads = opened.enter_context(Threads(count))

        def some_raw(calls: int) -> int:
            return sum(bool(eight.ask(VERSION)) for _ in range(calls))

        ours = partial(some, client)
        threads.each(ours, 1)  # What a thread's first call makes is no part of a call.
        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(eight.run([VERSION] * scale.calls))),
            "ours": lambda: threads.rate(scale.calls, ours),
            "raw": lambda: threads.rate(scale.calls, some_raw),
            "existing": lambda: callee.existing_rate(scale.calls),
        }
        return in_turns(works, scale.repeats)


def figures_of(callee: Callee, count: int, least: float | None, scale: Scale) -> Iterator[Figure]:
    rates = rates_of(callee, count, scale)
    goal = None if least is None else ratio_at_least(least)
    name = f"calls from {count} native threads, {callee.name}"
    note = f"of {POOL} raw sockets; the existing client: from {EXISTING_THREADS} threads"
    yield figure_of(name, "ours", rates, goal, note)
    note = "in place of ours, raw sockets that the threads take turns with"
    name = f"  {count} native threads on {POOL} raw sockets, {callee.name}"
    yield figure_of(name, "raw", rates, None, note)


def measure(scale: Scale) -> Iterator[Figure]:
    with real_server() as callee:
        yield from figures_of(callee, MANY, 0.45, scale)
    with server_that_answers_at_once() as callee:
        yield from figures_of(callee, MANY, None, scale)
        yield from figures_of(callee, FEWER, 0.80, scale)


def main(argv: Sequence[str] | None = None) -> int:
    return run("Call one client from many native threads.", measure, FULL, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
