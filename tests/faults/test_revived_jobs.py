"""What is destroyed while the Java server's allocator works on it lives again: not for long."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from spalloc_gevent import Job, ProtocolTimeoutError
from spalloc_gevent.batch import JobGroup
from spalloc_gevent.simulator import Delay, Drop, JavaOptions, MachineSpec, SimulatedServer
from tests.contract.support import await_true, in_thread, job_of, results
from tests.transport.scripted_server import LONG_S

RUN_S = 0.5
"""A run of the allocator for one job."""
POWER_COMMANDS = ("power_on_job_boards", "power_off_job_boards")


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    java = JavaOptions(revive="always", allocator_seconds=RUN_S)
    with SimulatedServer([MachineSpec("m", 8, 8)], dialect="java", java=java) as started:
        yield started
        assert not any(started.command_counts[name] for name in POWER_COMMANDS)


def queued_job(server: SimulatedServer) -> Job:
    return job_of(server, keepalive=60.0, config_filenames=[])


def await_second_destroy(server: SimulatedServer) -> None:
    """It has lived again, and does so no more."""
    await_true(lambda: server.command_counts["destroy_job"] == 2)
    await_true(lambda: not server.jobs)


def await_nothing_left(server: SimulatedServer) -> None:
    """Every run of the allocator that was under way is over, and no job has come of it."""
    with queued_job(server):
        pass
    await_true(lambda: not server.jobs)


def test_a_job_that_lives_again_is_destroyed_again(server: SimulatedServer) -> None:
    queued_job(server).destroy("not needed")
    await_second_destroy(server)


def test_a_with_statement_that_is_not_entered_leaves_nothing(server: SimulatedServer) -> None:
    job = queued_job(server)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05), job:
        pytest.fail("the allocator has not been so quick")
    await_second_destroy(server)


def test_a_caller_that_gives_up_while_the_job_is_made_leaves_nothing(
    server: SimulatedServer,
) -> None:
    server.faults = (Delay(0.2, on="create_job"),)
    with pytest.raises(ProtocolTimeoutError):
        job_of(server, keepalive=60.0, timeout=0.1, config_filenames=[])
    await_second_destroy(server)


def test_groups_leave_nothing(server: SimulatedServer) -> None:
    group = JobGroup([1] * 3, hostname=server.host, port=server.port, owner="me")
    with group:
        await_true(lambda: server.command_counts["create_job"] == 3)
    await_nothing_left(server)


def test_jobs_that_are_made_and_destroyed_one_after_another_leave_nothing(
    server: SimulatedServer,
) -> None:
    server.java = JavaOptions(revive="always", allocator_seconds=0.0)
    for _ in range(10):
        queued_job(server).destroy()
    await_nothing_left(server)


def test_many_jobs_that_are_destroyed_at_once_leave_nothing_and_share_lists(
    server: SimulatedServer,
) -> None:
    server.java = JavaOptions(revive="always", allocator_seconds=0.02)
    jobs = [queued_job(server) for _ in range(50)]
    results([in_thread(job.destroy) for job in jobs])
    await_nothing_left(server)
    assert server.command_counts["list_jobs"] < len(jobs)


def test_it_gets_by_without_the_list(server: SimulatedServer) -> None:
    server.faults = (Drop(on="list_jobs", times=None),)
    queued_job(server).destroy()
    await_second_destroy(server)


def test_nothing_is_looked_at_that_was_ready(server: SimulatedServer) -> None:
    job = queued_job(server)
    job.wait_until_ready(LONG_S)
    job.destroy()
    assert server.command_counts["list_jobs"] == 0
    assert server.jobs == []


def test_the_python_server_is_believed() -> None:
    with SimulatedServer(power_seconds=60.0) as server:
        queued_job(server).destroy()
        assert server.command_counts["list_jobs"] == 0
        assert server.jobs == []
