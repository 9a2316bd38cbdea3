"""A command that was held up for long does not reach the job that has the number by then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from spalloc_gevent import Job, JobState, ProtocolTimeoutError
from spalloc_gevent.job.life import JobLife
from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.simulator.faults import Delay, Fault, Garbage, Refuse, Silence
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.wire.messages import AnyReply
from spalloc_gevent.wire.requests import Request
from tests.contract.support import await_true, client_of, destroying, in_thread, job_of, listed
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import JobScript
from tests.transport.scripted_server import LONG_S, ScriptedServer

HASTY_S = 0.3
TO_COME_BACK_S = 0.05


@pytest.fixture
def witness(server: SimulatedServer, proxy: ChaosProxy) -> Iterator[Job]:
    """Another job over the same connections, which come back with it."""
    with destroying(job_of(proxy, keepalive=60.0, reconnect_delay=TO_COME_BACK_S)) as job:
        # Each job is asked about when it has begun.
        await_true(lambda: server.command_counts["get_job_state"] > 0 and is_at_rest(job))
        yield job


def is_at_rest(job: Job) -> bool:
    return "0 in-flight, 0 waiting" in repr(job._client.session)


def usurped(server: SimulatedServer, proxy: ChaosProxy, numbers: int) -> int:
    """Cut off from the server, to come back to one that gave the numbers to strangers' jobs.

    Returns how many commands the server had seen by then.
    """
    server.restart(cold=True)
    with client_of(server) as stranger:
        for number in range(1, numbers + 1):
            assert stranger.create_job(owner="you", keepalive=None) == number
    seen = len(server.commands_seen)
    proxy.cut(End.RST)
    return seen


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
    await_true(lambda: is_at_rest(witness))
    assert strangers(server) == [1, 2]


def test_the_destruction_of_a_job_whose_creation_was_given_up(
    server: SimulatedServer, proxy: ChaosProxy, witness: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, usurping = threading.Event(), threading.Event()
    destroy_late = JobLife._destroy_late

    def held_up(self: JobLife, reply: AnyReply) -> Request | None:
        late.set()
        gevent.get_hub().threadpool.apply(usurping.wait, (LONG_S,))
        return destroy_late(self, reply)

    monkeypatch.setattr(JobLife, "_destroy_late", held_up)
    proxy.delay(2 * HASTY_S)
    with pytest.raises(ProtocolTimeoutError):
        job_of(proxy, keepalive=60.0, timeout=HASTY_S)
    assert late.wait(LONG_S)
    usurped(server, proxy, 2)
    proxy.delay(0.0)
    assert witness.wait_for_state_change(JobState.ready, LONG_S) is JobState.unknown
    usurping.set()
    await_true(lambda: is_at_rest(witness))
    assert strangers(server) == [1, 2]


def test_a_call_whose_connection_is_lost(
    server: SimulatedServer, proxy: ChaosProxy, witness: Job
) -> None:
    proxy.freeze()
    asked = in_thread(lambda: witness.state)
    await_true(lambda: "1 in-flight" in repr(witness._client.session))
    seen = usurped(server, proxy, 1)
    assert asked.result(LONG_S) is JobState.unknown
    assert [c.name for c in list(server.commands_seen)[seen:] if c.args] == []


def test_a_job_whose_number_comes_while_its_maker_is_held_up(
    server: SimulatedServer, proxy: ChaosProxy, witness: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = JobLife._track

    def held_up(self: JobLife, tracked: TrackedJob) -> None:
        usurped(server, proxy, 2)
        # The new connection is known to be good by now, for all that was held.
        assert witness.wait_for_state_change(JobState.ready, LONG_S) is JobState.unknown
        track(self, tracked)

    monkeypatch.setattr(JobLife, "_track", held_up)
    ours = job_of(proxy, keepalive=60.0)
    assert ours.id == 2
    assert ours.state is JobState.unknown
    ours.destroy()
    assert strangers(server) == [1, 2]


def test_a_job_of_the_same_owner(server: SimulatedServer, proxy: ChaosProxy) -> None:
    with destroying(job_of(proxy, keepalive=60.0, reconnect_delay=TO_COME_BACK_S)) as ours:
        # The start is known: its owner alone would not tell it from the other.
        await_true(lambda: server.command_counts["get_job_state"] > 0 and is_at_rest(ours))
        server.restart(cold=True)
        with client_of(server) as other:
            assert other.create_job(owner="me", keepalive=None) == ours.id
        proxy.cut(End.RST)
        assert ours.state is JobState.unknown
    assert [job["job_id"] for job in listed(server)] == [1]


def test_a_raw_destroy_that_was_given_up(server: SimulatedServer, proxy: ChaosProxy) -> None:
    with client_of(proxy, HASTY_S) as client:
        assert client.create_job(owner="me", keepalive=None) == 1
        proxy.freeze()
        with pytest.raises(ProtocolTimeoutError):
            client.destroy_job(1)
        usurped(server, proxy, 1)
        client.version(timeout=LONG_S)
    assert strangers(server) == [1]


# -- and a job that is ours is not taken for lost ---------------------------------------------


def outlives_a_cut(server: SimulatedServer, keepalive_s: float) -> None:
    """A job with this keepalive is there after the link was cut, and three intervals more."""
    with ChaosProxy(server) as proxy:
        job = job_of(proxy, keepalive=keepalive_s, reconnect_delay=TO_COME_BACK_S)
        with destroying(job):
            job.wait_until_ready(LONG_S)
            proxy.cut(End.RST)
            ends = in_thread(lambda: job.wait_for_state_change(JobState.ready, 3 * keepalive_s))
            assert ends.result(LONG_S) is JobState.ready
            assert [told["job_id"] for told in server.jobs] == [job.id]


@pytest.mark.parametrize(
    "fault",
    [
        Delay(0.6, on="list_jobs", times=None),
        Silence(on="list_jobs", times=2),
        Garbage(b'{"return": [null, [], {"job_id": []}]}\n', on="list_jobs", times=2),
        Garbage(b'{"return": null}\n', on="list_jobs", times=2),
        Garbage(b'{"return": []}\n', on="list_jobs", times=2),
        Refuse("not for you", on="list_jobs", times=None),
    ],
    ids=repr,
)
def test_a_list_that_is_late_or_nonsense_loses_no_job(
    server: SimulatedServer, fault: Fault
) -> None:
    server.set_faults([fault])
    outlives_a_cut(server, 2.0)


@pytest.mark.parametrize(
    "shroud",
    [
        *({"owner": owner} for owner in ("", None, "<Hidden>", "the service's own user")),
        *({"owner": owner, "start_time": None} for owner in ("", None, "<Hidden>", "me")),
    ],
    ids=repr,
)
def test_a_list_that_hides_whose_a_job_is_loses_no_job(shroud: dict[str, Any]) -> None:
    script = JobScript(listed=shroud)
    with ScriptedServer(script) as server, ChaosProxy(server) as proxy:
        job = job_of(proxy, keepalive=60.0, reconnect_delay=TO_COME_BACK_S)
        with destroying(job):
            server.wait_until(lambda: server.counts["get_job_state"])
            await_true(lambda: is_at_rest(job))
            proxy.cut(End.RST)
            assert job.state is JobState.ready
            assert server.counts["list_jobs"] == 1
