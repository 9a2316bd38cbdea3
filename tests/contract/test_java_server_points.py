"""What the Java server does in its own way, point by point, and what the client makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.faults.support import connected


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer([MachineSpec("m", 4, 2)], dialect="java") as started:
        yield started


@pytest.fixture
def client(server: SimulatedServer) -> Iterator[ProtocolClient]:
    with connected(server) as opened:
        yield opened


def test_the_server_is_known_by_whatever_it_answers(client: ProtocolClient) -> None:
    client.list_machines()
    server = client.session.server
    assert server.is_java
    assert server.never_reuses_numbers
    assert server.takes_reports
    assert not server.tells_keepalive_interval
    assert not server.lets_go_of_machines
    assert not server.subscribes_to_new_jobs


def test_a_python_server_that_says_the_java_servers_version_is_not_taken_for_it() -> None:
    with SimulatedServer(version="5.0.0") as python, connected(python) as client:
        assert client.version() == "5.0.0"
        assert not client.session.server.never_reuses_numbers
        assert not client.session.server.takes_reports
