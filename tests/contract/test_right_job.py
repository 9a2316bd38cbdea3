"""After a server has lost its memory, our number may be somebody else's job: it is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from spalloc_gevent import Job, JobDestroyedError, JobState
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.protocol_client import ProtocolClient
from tests.contract.support import (
    PATIENCE_S,
    StoppableServer,
    await_true,
    client_of,
    in_thread,
    job_of,
    listed,
)

KEEPALIVE_S = 1.5

pytestmark = [
    pytest.mark.own_server("starts it without its memory"),
    pytest.mark.not_on_java("numbers never come again there (point 5)"),
]


@pytest.fixture
def ours(server: StoppableServer) -> Iterator[Job]:
    """A job with boards, whose owner is "me"."""
    job = job_of(server, keepalive=KEEPALIVE_S, reconnect_delay=0.05)
    job.wait_until_ready(PATIENCE_S)
    yield job
    job.destroy()


@pytest.fixture
def stranger(server: StoppableServer) -> Iterator[ProtocolClient]:
    with client_of(server) as client:
        yield client


def usurped(
    server: StoppableServer, stranger: ProtocolClient, job: Job, owner: str = "you"
) -> None:
    """Start the server without its memory; somebody gets a job with our number, kept for ever."""
    server.restart(cold=True)
    assert stranger.create_job(owner=owner, keepalive=None) == job.id
    # Calls that do not wait for a server fail for a moment after an attempt that failed.
    await_true(lambda: answers(job._client))


def answers(client: ProtocolClient) -> bool:
    try:
        client.version()
    except ConnectionLostError:
        return False
    return True


@pytest.mark.parametrize("owner", ["you", "me"])
def test_a_job_whose_number_is_another_s_now_is_lost_and_says_why(
    server: StoppableServer, stranger: ProtocolClient, ours: Job, owner: str
) -> None:
    usurped(server, stranger, ours, owner)
    assert ours.wait_for_state_change(JobState.ready, PATIENCE_S) is JobState.unknown
    assert ours.reason is not None
    assert ours.reason.startswith("the server has lost its memory")
    with pytest.raises(JobDestroyedError, match="the server has lost its memory"):
        ours.wait_until_ready(PATIENCE_S)


def test_somebody_who_waits_for_the_job_is_told_at_once(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    changed = in_thread(lambda: ours.wait_for_state_change(JobState.ready, PATIENCE_S))
    usurped(server, stranger, ours)
    assert changed.result(PATIENCE_S) is JobState.unknown


def test_the_other_s_job_is_neither_powered_nor_destroyed(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    usurped(server, stranger, ours)
    for power in (False, True):
        with pytest.raises(JobDestroyedError, match="the server has lost its memory"):
            ours.set_power(power)
    with pytest.raises(JobDestroyedError, match="the server has lost its memory"):
        ours.where_is_machine(0, 0)
    ours.destroy("Ours no more.")
    (job,) = listed(server)
    assert (job["owner"], job["state"] in (JobState.power, JobState.ready)) == ("you", True)
    assert job["power"] is True


def test_destroying_it_before_anything_else_leaves_the_other_s_job(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    usurped(server, stranger, ours)
    ours.destroy()
    assert [job["owner"] for job in listed(server)] == ["you"]


def test_the_other_s_job_is_not_kept_alive(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    server.restart(cold=True)
    stranger.create_job(owner="you", keepalive=2 * KEEPALIVE_S)
    assert ours.id in [job["job_id"] for job in listed(server)]
    await_true(lambda: listed(server) == [])


def test_a_loss_is_told_once_in_the_log(
    server: StoppableServer,
    stranger: ProtocolClient,
    ours: Job,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, "spalloc_gevent")
    usurped(server, stranger, ours)
    assert ours.wait_for_state_change(JobState.ready, PATIENCE_S) is JobState.unknown
    ours.destroy()
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"job {ours.id} is gone: the server has lost its memory")


def test_a_warm_start_takes_no_job_from_anybody(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    other = stranger.create_job(owner="you", keepalive=None)
    server.restart()
    assert ours.state is JobState.ready
    ours.set_power(False)
    ours.wait_until_ready(PATIENCE_S)
    assert ours.power is False
    ours.destroy()
    assert [job["job_id"] for job in listed(server)] == [other]


def test_a_job_that_was_resumed_is_told_from_another_too(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    resumed = job_of(server, resume_job_id=ours.id, reconnect_delay=0.05)
    usurped(server, stranger, ours)
    with pytest.raises(JobDestroyedError, match="the server has lost its memory"):
        resumed.reset()
    resumed.destroy()
    assert [job["owner"] for job in listed(server)] == ["you"]


def test_the_job_that_has_the_number_now_may_be_resumed(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    usurped(server, stranger, ours)
    assert ours.wait_for_state_change(JobState.ready, PATIENCE_S) is JobState.unknown
    with job_of(server, resume_job_id=ours.id) as theirs:
        assert theirs.state is JobState.ready
        assert ours.state is JobState.unknown


def test_new_jobs_are_made_as_before_on_a_server_that_has_lost_its_memory(
    server: StoppableServer, stranger: ProtocolClient, ours: Job
) -> None:
    usurped(server, stranger, ours)
    with job_of(server, keepalive=KEEPALIVE_S) as another:
        assert another.state is JobState.ready
        assert another.id != ours.id


def test_a_new_job_may_have_the_number_of_one_that_is_lost_and_still_open(
    server: StoppableServer, ours: Job
) -> None:
    server.restart(cold=True)
    assert ours.wait_for_state_change(JobState.ready, PATIENCE_S) is JobState.unknown
    with job_of(server, keepalive=KEEPALIVE_S) as again:
        assert again.id == ours.id
        with pytest.raises(JobDestroyedError):
            ours.set_power(False)
        ours.destroy()
        again.reset()
        again.wait_until_ready(PATIENCE_S)
        assert [job["job_id"] for job in listed(server)] == [again.id]
