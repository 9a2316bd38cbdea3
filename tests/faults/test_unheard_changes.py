"""Jobs on the Java server become ready for those who wait, whatever notifications are lost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from spalloc_gevent.job.life import SAFETY_REFRESH_S
from spalloc_gevent.simulator import Drop, Fault, JavaOptions, MachineSpec, Refuse, SimulatedServer
from tests.contract.support import in_thread, job_of, results

READY_WITHIN_S = SAFETY_REFRESH_S - 10.0
NO_NOTIFICATIONS = Refuse(on="notify_job", times=None)
NO_LIST = Drop(on="list_jobs", times=None)


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    java = JavaOptions(allocator_seconds=0.1)
    with SimulatedServer([MachineSpec("m", 8, 8)], dialect="java", java=java) as started:
        yield started


def make_until_ready(server: SimulatedServer, count: int) -> None:
    """Nobody waits for the look that comes when all else fails."""
    jobs = [job_of(server, keepalive=300.0, config_filenames=[]) for _ in range(count)]
    results([in_thread(partial(job.wait_until_ready, READY_WITHIN_S)) for job in jobs])
    for job in jobs:
        job.destroy()


@pytest.mark.parametrize("faults", [(NO_NOTIFICATIONS,), (NO_NOTIFICATIONS, NO_LIST)])
@pytest.mark.parametrize("count", [1, 20])
def test_jobs_are_ready_without_notifications(
    server: SimulatedServer, faults: tuple[Fault, ...], count: int
) -> None:
    server.faults = faults
    make_until_ready(server, count)


def test_many_jobs_are_looked_at_by_one_list(server: SimulatedServer) -> None:
    server.faults = (NO_NOTIFICATIONS,)
    make_until_ready(server, 20)
    assert 0 < server.command_counts["list_jobs"] < 20


def test_one_job_needs_no_list(server: SimulatedServer) -> None:
    make_until_ready(server, 1)
    assert server.command_counts["list_jobs"] == 0
