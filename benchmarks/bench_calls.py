"""Calls of one client from greenlets, from native threads and from a plain script, beside raw
sockets and the existing client: on the real server, and on one that answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import gevent

from benchmarks.at_rest import POOL, big_server
from benchmarks.figures import Figure, Turns, compared, ratio_at_least
from benchmarks.orders import Worker
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.threads import Threads, in_a_thread
from benchmarks.turns import in_turns, rate_of
from spalloc_gevent import ProtocolClient
from tools import existing_client

GREENLETS = 200
EXISTING_THREADS = 100
VERSION: Command = ("version", (), {})

REAL, AT_ONCE = "real server", "server that answers at once"
GREENLET_GOALS = {REAL: 0.80, AT_ONCE: 0.65}
THREADS: dict[str, dict[int, float | None]] = {REAL: {100: 0.45}, AT_ONCE: {100: None, 30: 0.80}}
"""How many threads, and the least share of the floor's rate that is to be reached."""
LONE_GOALS = {"plain thread": 0.95, "greenlet": 0.90}


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    repeats: int = 11
    calls: int = 9_000
    lone_calls: int = 2_000


FULL = Scale()
QUICK = Scale(repeats=1, calls=1_800, lone_calls=200)


@dataclass(frozen=True)
class Callee:
    """A server, and a program that calls it with the existing client."""

    name: str
    where: tuple[str, int]
    existing: Worker

    def existing_rate(self, calls: int) -> float:
        """Calls a second from many threads of it; from few it makes fewer."""
        rate: float = self.existing.ask("rate", calls, EXISTING_THREADS)
        return rate


def measure(scale: Scale) -> Iterator[Figure]:
    with big_server() as server:
        yield from figures_of(REAL, (server.host, server.port), scale)
    with Worker(sys.executable, "echo_server") as echo:
        yield from figures_of(AT_ONCE, ("127.0.0.1", echo.hear()), scale)


def figures_of(name: str, where: tuple[str, int], scale: Scale) -> Iterator[Figure]:
    with Worker(existing_client.python(), "existing_program", *where) as existing:
        callee = Callee(name, where, existing)
        yield greenlets_figure(callee, scale)
        if name == REAL:
            yield from lone_figures(callee, scale)
        for count, least in THREADS[name].items():
            yield from threads_figures(callee, count, least, scale)


def some(client: ProtocolClient, calls: int) -> int:
    """How many calls were answered."""
    return sum(bool(client.version()) for _ in range(calls))


def greenlets_figure(callee: Callee, scale: Scale) -> Figure:
    with ProtocolClient(*callee.where) as client, RawSockets(*callee.where, POOL) as eight:

        def from_greenlets() -> int:
            calls = scale.calls // GREENLETS
            greenlets = [gevent.spawn(some, client, calls) for _ in range(GREENLETS)]
            gevent.joinall(greenlets, raise_error=True)
            return sum(greenlet.get() for greenlet in greenlets)

        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(eight.run([VERSION] * scale.calls))),
            "ours": lambda: rate_of(from_greenlets),
            "existing": lambda: callee.existing_rate(scale.calls),
        }
        rates = in_turns(works, scale.repeats)
    name = f"calls from {GREENLETS} greenlets, {callee.name}"
    note = f"of {POOL} raw sockets; the existing client: from {EXISTING_THREADS} threads"
    goal = ratio_at_least(GREENLET_GOALS[callee.name])
    return compared(name, "/s", "ours", rates, goal, note)


def lone_figures(callee: Callee, scale: Scale) -> Iterator[Figure]:
    # A plain script's thread has no gevent hub; the floors are measured in the same thread.
    found = {
        "plain thread": in_a_thread(lone_rates, callee, scale),
        "greenlet": gevent.spawn(lone_rates, callee, scale).get(),
    }
    for who, rates in found.items():
        goal = ratio_at_least(LONE_GOALS[who])
        note = "of one raw socket, which blocks"
        yield compared(f"calls from one {who}", "/s", "ours", rates, goal, note)
        beside = {**rates, "floor": rates["selecting"]}
        note = "of one raw socket with selectors, as for many callers"
        yield compared(f"  one {who}, beside selectors", "/s", "ours", beside, None, note)


def lone_rates(callee: Callee, scale: Scale) -> Turns:
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


def threads_figures(
    callee: Callee, count: int, least: float | None, scale: Scale
) -> Iterator[Figure]:
    with (
        ProtocolClient(*callee.where) as client,
        RawSockets(*callee.where, POOL) as eight,
        Threads(count) as threads,
    ):
        ours = partial(some, client)
        threads.each(ours, 1)  # What a thread's first call makes is no part of a call.
        works: dict[str, Callable[[], float]] = {
            "floor": lambda: rate_of(lambda: len(eight.run([VERSION] * scale.calls))),
            "ours": lambda: threads.rate(scale.calls, ours),
            "raw": lambda: threads.rate(
                scale.calls, lambda calls: sum(bool(eight.ask(VERSION)) for _ in range(calls))
            ),
            "existing": lambda: callee.existing_rate(scale.calls),
        }
        rates = in_turns(works, scale.repeats)
    name = f"calls from {count} native threads, {callee.name}"
    note = f"of {POOL} raw sockets; the existing client: from {EXISTING_THREADS} threads"
    goal = None if least is None else ratio_at_least(least)
    yield compared(name, "/s", "ours", rates, goal, note)
    name = f"  {count} native threads on {POOL} raw sockets, {callee.name}"
    note = "in place of ours, raw sockets that the threads take turns with"
    yield compared(name, "/s", "raw", rates, None, note)
