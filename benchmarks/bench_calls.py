"""Calls of one client from many greenlets, many threads and one caller, next to raw sockets.

On the real server, and on one that answers at once. Run by ``python3 tools/bench.py``, or alone.
``--quick`` does it on a small scale and judges outcomes alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent

from benchmarks.at_rest import POOL, big_server
from benchmarks.figures import Figure, Goal, Spread, ratio, ratio_at_least
from benchmarks.orders import Worker
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.running import run
from benchmarks.threads import Threads, in_a_thread
from benchmarks.turns import in_turns, rate_of
from spalloc_gevent import ProtocolClient
from tools import existing_client

CALLERS = 200
THREADS = 100
_VERSION: Command = ("version", (), {})

Where = tuple[str, int]
Rates = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    repeats: int = 15
    calls: int = 10_000
    lone_calls: int = 2_000


FULL = Scale()
QUICK = Scale(repeats=1, calls=2_000, lone_calls=200)


# -- many callers ---------------------------------------------------------------


def many_rates(where: Where, existing: Worker, scale: Scale) -> Rates:
    """Calls a second: greenlets and threads of ours, the floor, the existing client's threads."""
    asked = [_VERSION] * scale.calls
    with ExitStack() as opened:
        client = opened.enter_context(ProtocolClient(*where))
        eight = opened.enter_context(RawSockets(*where, POOL))
        threads = opened.enter_context(Threads(THREADS))

        def some(calls: int) -> int:
            return sum(bool(client.version()) for _ in range(calls))

        def some_raw(calls: int) -> int:
            return sum(bool(eight.ask(_VERSION)) for _ in range(calls))

        threads.each(some, 1)  # What a thread's first call makes is no part of a call.
        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(eight.run(asked))),
            "greenlets": lambda: rate_of(lambda: _from_greenlets(some, scale.calls)),
            "threads": lambda: threads.rate(scale.calls, some),
            "raw threads": lambda: threads.rate(scale.calls, some_raw),
            "existing": lambda: existing.ask("rate", scale.calls, THREADS),
        }
        return in_turns(works, scale.repeats)


def _from_greenlets(some: Callable[[int], int], calls: int) -> int:
    greenlets = [gevent.spawn(some, calls // CALLERS) for _ in range(CALLERS)]
    gevent.joinall(greenlets, raise_error=True)
    return sum(greenlet.get() for greenlet in greenlets)


def many_figures(rates: Rates, server: str, goals: Mapping[str, float | None]) -> Iterator[Figure]:
    for who, count in (("greenlets", CALLERS), ("threads", THREADS)):
        least = goals[who]
        goal = None if least is None else ratio_at_least(least)
        name = f"calls from {count} {'native ' * (who == 'threads')}{who}, {server}"
        yield _figure(name, who, rates, goal, f"the existing client: from {THREADS} threads")
    note = "in place of ours, raw sockets that the threads take turns with"
    name = f"  {THREADS} native threads on {POOL} raw sockets, {server}"
    yield _figure(name, "raw threads", rates, None, note)


# -- one caller -----------------------------------------------------------------


def lone_rates(where: Where, existing: Worker, scale: Scale) -> Rates:
    """Calls a second of the thread that this runs in: ours, and two floors."""
    asked = [_VERSION] * scale.lone_calls
    with ProtocolClient(*where) as client, RawSockets(*where, 1) as one:

        def ours() -> int:
            return sum(bool(client.version()) for _ in asked)

        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(one.run_blocking(asked))),
            "selecting": lambda: rate_of(lambda: len(one.run(asked))),
            "ours": lambda: rate_of(ours),
            "existing": lambda: existing.ask("rate", scale.lone_calls, 1),
        }
        return in_turns(works, scale.repeats)


def lone_figures(where: Where, existing: Worker, scale: Scale) -> Iterator[Figure]:
    # A plain script's thread has no gevent hub; the floors are measured in the same thread.
    rates = in_a_thread(lone_rates, where, existing, scale)
    note = "the floor is a blocking socket"
    yield _figure("calls from one plain thread", "ours", rates, ratio_at_least(0.95), note)
    with_selectors = {**rates, "floor": rates["selecting"]}
    note = "the floor is a socket with selectors, as it is for many callers"
    yield _figure("  the same, beside selectors", "ours", with_selectors, None, note)
    greenlet = lone_rates(where, existing, scale)
    yield _figure("  calls from one greenlet", "ours", greenlet, None, "the floor blocks")


def _figure(name: str, who: str, rates: Rates, goal: Goal | None, note: str) -> Figure:
    return Figure(
        name,
        "/s",
        Spread.of(rates[who]),
        floor=Spread.of(rates["floor"]),
        existing=Spread.of(rates["existing"]),
        ratio=ratio(rates[who], rates["floor"]),
        existing_ratio=ratio(rates["existing"], rates["floor"]),
        goal=goal,
        note=note,
    )


# -- the whole ------------------------------------------------------------------


def measure(scale: Scale) -> Iterator[Figure]:
    with big_server() as server:
        where = server.host, server.port
        with Worker(existing_client.python(), "existing_program", *where) as existing:
            rates = many_rates(where, existing, scale)
            yield from many_figures(rates, "real server", {"greenlets": 0.9, "threads": 0.5})
            yield from lone_figures(where, existing, scale)
    with Worker(sys.executable, "echo_server") as echo:
        where = "127.0.0.1", echo.hear()
        with Worker(existing_client.python(), "existing_program", *where) as existing:
            rates = many_rates(where, existing, scale)
    at_once = "server that answers at once"
    yield from many_figures(rates, at_once, {"greenlets": 0.7, "threads": None})


def main(argv: Sequence[str] | None = None) -> int:
    return run("Call one client from many greenlets and threads.", measure, FULL, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
