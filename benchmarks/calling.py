"""Calls of one client, to be measured beside raw sockets and the existing client's, and the servers
that they are made to: the real one, and one that answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.at_rest import big_server
from benchmarks.figures import Figure, Goal, Spread, ratio
from benchmarks.orders import Worker
from benchmarks.raw_sockets import Command
from spalloc_gevent import ProtocolClient
from tools import existing_client

EXISTING_THREADS = 100
VERSION: Command = ("version", (), {})

Where = tuple[str, int]
Rates = Mapping[str, Sequence[float]]
"""Calls a second, turn by turn, of each way to make them."""


@dataclass(frozen=True)
class Callee:
    """A server, and a program that calls it with the existing client."""

    name: str
    where: Where
    existing: Worker

    def existing_rate(self, calls: int) -> float:
        """Calls a second from many threads of it; from few it makes fewer."""
        rate: float = self.existing.ask("rate", calls, EXISTING_THREADS)
        return rate


@contextmanager
def real_server() -> Iterator[Callee]:
    with big_server() as server, _called("real server", (server.host, server.port)) as callee:
        yield callee


@contextmanager
def server_that_answers_at_once() -> Iterator[Callee]:
    with Worker(sys.executable, "echo_server") as echo:
        where = "127.0.0.1", echo.hear()
        with _called("server that answers at once", where) as callee:
            yield callee


@contextmanager
def _called(name: str, where: Where) -> Iterator[Callee]:
    with Worker(existing_client.python(), "existing_program", *where) as existing:
        yield Callee(name, where, existing)


def some(client: ProtocolClient, calls: int) -> int:
    """How many calls were answered."""
    return sum(bool(client.version()) for _ in range(calls))


def figure_of(name: str, who: str, rates: Rates, goal: Goal | None, note: str) -> Figure:
    """The rate of `who` beside those of the floor and of the existing client."""
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
