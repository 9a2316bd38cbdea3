"""A simulated server and a bad network before it; a module that needs others has its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.faults.proxy import ChaosProxy


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.fixture
def proxy(server: SimulatedServer) -> Iterator[ChaosProxy]:
    with ChaosProxy(server) as started:
        yield started
