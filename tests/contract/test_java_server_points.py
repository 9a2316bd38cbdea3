"""What the Java server does in its own way, point by point, and what the client makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spalloc_gevent import JobState, ProtocolClient, SpallocServerException
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.simulator.java_options import JavaOptions
from tests.contract.support import PATIENCE_S, await_true, job_of, listed
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


# -- 4: any command may be refused because the database was busy -----------------------


def test_point_4_with_one_command_in_ten_refused_no_job_is_lost_and_nothing_is_raised() -> None:
    options = JavaOptions(database_refusals=10, expiry_check_seconds=0.5)
    with SimulatedServer([MachineSpec("m", 8, 8)], dialect="java", java=options) as server:
        jobs = [job_of(server, keepalive=2.0, config_filenames=[]) for _ in range(40)]
        for job in jobs:
            job.wait_until_ready(PATIENCE_S)
        for job in jobs[:5]:
            job.set_power(False)
        told = server.command_counts["get_job_state"]
        await_true(lambda: server.command_counts["get_job_state"] >= told + 5 * len(jobs))
        assert {job.state for job in jobs} == {JobState.ready}
        for job in jobs:
            job.destroy()
        assert listed(server) == []


def test_point_4_a_refusal_is_told_when_it_lasts_as_long_as_the_call() -> None:
    busy = JavaOptions(database_refusals=1)
    with SimulatedServer(dialect="java", java=busy) as server, connected(server) as client:
        with pytest.raises(SpallocServerException, match="try restarting transaction"):
            client.create_job(owner="me", timeout=0.2)
        assert server.command_counts["create_job"] > 1
