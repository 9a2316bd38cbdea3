"""Calls of one client from many greenlets, from one and from a plain thread, beside raw sockets.

On the real server, and on one that answers at once. Run by ``python3 tools/bench.py``, or alone.
``--quick`` does it on a small scale and judges outcomes alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent

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
from benchmarks.threads import in_a_thread
from benchmarks.turns import in_turns, rate_of
from spalloc_gevent import ProtocolClient

CALLERS = 200


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    repeats: int = 11
    calls: int = 10_000
    lone_calls: int = 2_000


FULL = Scale()
QUICK = Scale(repeats=1, calls=2_000, lone_calls=200)


# -- many callers ---------------------------------------------------------------


def many_figure(callee: Callee, least: float, scale: Scale) -> Figure:
    with ProtocolClient(*callee.where) as client, RawSockets(*callee.where, POOL) as eight:
        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(eight.run([VERSION] * scale.calls))),
            "ours": lambda: rate_of(lambda: _from_greenlets(client, scale.calls)),
            "existing": lambda: callee.existing_rate(scale.calls),
        }
        rates = in_turns(works, scale.repeats)
    name = f"calls from {CALLERS} greenlets, {callee.name}"
    note = f"of {POOL} raw sockets; the existing client: from {EXISTING_THREADS} threads"
    return figure_of(name, "ours", rates, ratio_at_least(least), note)


def _from_greenlets(client: ProtocolClient, calls: int) -> int:
    greenlets = [gevent.spawn(some, client, calls // CALLERS) for _ in range(CALLERS)]
    gevent.joinall(greenlets, raise_error=True)
    return sum(greenlet.get() for greenlet in greenlets)


# -- one caller -----------------------------------------------------------------


def lone_rates(callee: Callee, scale: Scale) -> Rates:
    """Calls a second of the thread or greenlet that this runs in: ours, and two floors."""
    asked = [VERSION] * scale.lone_calls
    with ProtocolClient(*callee.where) as client, RawSockets(*callee.where, 1) as one:
        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(one.run_blocking(asked))),
            "selecting": lambda: rate_of(lambda: len(one.run(asked))),
            "ours": lambda: rate_of(lambda: some(client, scale.lone_calls)),
            "existing": lambda: callee.existing.ask("rate", scale.lone_calls, 1),
        }
        return in_turns(works, scale.repeats)


def lone_figures(callee: Callee, scale: Scale) -> Iterator[Figure]:
    # A plain script's thread has no gevent hub; the floors are measured in the same thread.
    thread = in_a_thread(lone_rates, callee, scale)
    greenlet = gevent.spawn(lone_rates, callee, scale).get()
    blocking = "of one raw socket, which blocks"
    selecting = "of one raw socket with selectors, as for many callers"
    for who, rates, least in (("plain thread", thread, 0.95), ("greenlet", greenlet, 0.90)):
        yield figure_of(f"calls from one {who}", "ours", rates, ratio_at_least(least), blocking)
        beside = {**rates, "floor": rates["selecting"]}
        yield figure_of(f"  one {who}, beside selectors", "ours", beside, None, selecting)


# -- the whole ------------------------------------------------------------------


def measure(scale: Scale) -> Iterator[Figure]:
    with real_server() as callee:
        yield many_figure(callee, 0.80, scale)
        yield from lone_figures(callee, scale)
    with server_that_answers_at_once() as callee:
        yield many_figure(callee, 0.65, scale)


def main(argv: Sequence[str] | None = None) -> int:
    return run("Call one client from many greenlets and from one.", measure, FULL, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
