"""A command that was held up for long does not reach the job that has the number by then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spalloc_gevent import Job, JobState, ProtocolTimeoutError
from spalloc_gevent.job import creation
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import await_true, client_of, destroying, job_of, listed
from tests.engine.scripted_server import LONG_S
from tests.faults.proxy import ChaosProxy, End

HASTY_S = 0.3
TO_COME_BACK_S = 0.05


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.fixture
def proxy(server: SimulatedServer) -> Iterator[ChaosProxy]:
    with ChaosProxy(server) as started:
        yield started


@pytest.fixture
def witness(proxy: ChaosProxy) -> Iterator[Job]:
    """Another job over the same connections, which come back with it."""
    with destroying(job_of(proxy, keepalive=60.0, reconnect_delay=TO_COME_BACK_S)) as job:
        yield job


def usurped(server: SimulatedServer, proxy: ChaosProxy, numbers: int) -> None:
    """Cut off from the server, to come back to one that gave the numbers to strangers' jobs."""
    server.restart(cold=True)
    with client_of(server) as stranger:
        for number in range(1, numbers + 1):
            assert stranger.create_job(owner="you", keepalive=None) == number
    proxy.cut(End.RST)


def strangers(server: SimulatedServer) -> list[object]:
    return [job["job_id"] for job in listed(server) if job["owner"] == "you"]


def test_a_destroy_that_was_given_up_in_a_freeze(
    server: SimulatedServer, proxy: ChaosProxy, witness: Job
) -> None:
    ours = job_of(proxy, keepalive=60.0, timeout=HASTY_S)
    proxy.freeze()
    ours.destroy()
    usurped(server, proxy, 2)
    assert witness.wait_for_state_change(JobState.ready, LONG_S) is JobState.unknown
    await_true(lambda: "0 in-flight, 0 waiting" in repr(witness._client.link))
    assert strangers(server) == [1, 2]


def test_the_destruction_of_a_job_whose_creation_was_given_up(
    server: SimulatedServer, proxy: ChaosProxy, witness: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed = []
    destroy = creation.Creation._destroy

    def cut_then_destroy(self: creation.Creation, job_id: int) -> None:
        noticed.append(job_id)
        destroy(self, job_id)

    monkeypatch.setattr(creation.Creation, "_destroy", cut_then_destroy)
    proxy.delay(2 * HASTY_S)
    with pytest.raises(ProtocolTimeoutError):
        job_of(proxy, keepalive=60.0, timeout=HASTY_S)
    await_true(lambda: bool(noticed))
    proxy.freeze()
    usurped(server, proxy, 2)
    assert witness.wait_for_state_change(JobState.ready, LONG_S) is JobState.unknown
    await_true(lambda: "0 in-flight, 0 waiting" in repr(witness._client.link))
    assert strangers(server) == [1, 2]
