"""The guardian's keepalives for the jobs of one server."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator

import pytest

from spalloc_gevent.guardian.guarded_jobs import GuardedJob
from spalloc_gevent.guardian.servers import (
    EARLY_SHARE,
    SHORTEST_DELAY_S,
    GuardedServer,
    Result,
)
from spalloc_gevent.simulator import Delay, Drop, Garbage, Refuse, Silence, SimulatedServer
from spalloc_gevent.transport.connection import connect
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.requests import Request
from tests.cli.terminal import eventually

KEEPALIVE_S = 2.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    """One with a job of mine, number 1, that lives for ever."""
    with SimulatedServer() as started:
        connection = connect(started.host, started.port, math.inf)
        connection.exchange(
            Request("create_job", [1], {"owner": "me", "keepalive": None}), math.inf
        )
        connection.close()
        yield started


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guarded(server: SimulatedServer, clock: Clock) -> Iterator[GuardedServer]:
    guarded = GuardedServer(server.host, server.port, clock)
    yield guarded
    guarded.close()


def job(server: SimulatedServer, owner: str = "me", job_id: int = 1) -> GuardedJob:
    return GuardedJob(0, server.host, server.port, job_id, KEEPALIVE_S, Identity(owner))


def names(server: SimulatedServer) -> list[str]:
    return [command.name for command in server.commands_seen if command.name != "create_job"]


def test_a_connection_begins_with_the_list_and_carries_many_keepalives(
    server: SimulatedServer, guarded: GuardedServer
) -> None:
    assert [guarded.keep_alive(job(server)) for _ in range(3)] == [Result.SENT] * 3
    assert names(server) == ["list_jobs", *["job_keepalive"] * 3]
    assert server.connections == 1


def test_a_job_that_is_not_there_or_another_s_is_not_kept(
    server: SimulatedServer, guarded: GuardedServer
) -> None:
    assert guarded.keep_alive(job(server, "you")) is Result.NOT_OURS
    assert guarded.keep_alive(job(server, job_id=2)) is Result.NOT_OURS
    assert names(server) == ["list_jobs"]


def test_where_the_server_does_not_list_its_jobs_all_are_taken_for_ours(
    server: SimulatedServer, guarded: GuardedServer
) -> None:
    server.set_faults([Refuse(on="list_jobs")])
    assert guarded.keep_alive(job(server, "you")) is Result.SENT


@pytest.mark.parametrize("answer", [b'{"return": 5}\n', b'{"return": [5]}\n', b"nonsense\n"])
def test_what_is_no_list_of_jobs_is_asked_for_again(
    server: SimulatedServer, guarded: GuardedServer, clock: Clock, answer: bytes
) -> None:
    server.set_faults([Garbage(answer, on="list_jobs")])
    assert guarded.keep_alive(job(server)) is Result.FAILED
    clock.now = guarded.next_attempt_at(job(server))
    assert guarded.keep_alive(job(server)) is Result.SENT
    assert names(server) == ["list_jobs", "list_jobs", "job_keepalive"]


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(
    server: SimulatedServer, guarded: GuardedServer, clock: Clock
) -> None:
    server.set_faults([Silence(on="job_keepalive")])
    assert guarded.keep_alive(job(server)) is Result.FAILED
    before = names(server)
    assert guarded.keep_alive(job(server)) is Result.FAILED
    assert names(server) == before
    clock.now = guarded.next_attempt_at(job(server))
    assert guarded.keep_alive(job(server)) is Result.SENT
    assert names(server) == [*before, "list_jobs", "job_keepalive"]


@pytest.mark.parametrize(
    ("keepalive_s", "reconnect_delay_s", "pause_s"),
    [
        (600.0, 3.0, 3.0),
        (60.0, 30.0, 60.0 * EARLY_SHARE),
        (2.0, 5.0, SHORTEST_DELAY_S),
        (60.0, 0.0, SHORTEST_DELAY_S),
    ],
    ids=["as set", "earlier for the job's sake", "a short keepalive", "no delay"],
)
def test_a_server_that_hangs_up_is_connected_to_after_the_delay_that_was_set_or_before_a_loss(
    server: SimulatedServer,
    guarded: GuardedServer,
    clock: Clock,
    keepalive_s: float,
    reconnect_delay_s: float,
    pause_s: float,
) -> None:
    kept = job(server)._replace(keepalive_s=keepalive_s, reconnect_delay_s=reconnect_delay_s)
    server.set_faults([Drop(times=None)])
    began = clock.now
    attempts = []
    while clock.now < began + 10 * pause_s:
        assert guarded.keep_alive(kept) is Result.FAILED
        attempts.append(len(names(server)))
        clock.now += pause_s / 4
    assert attempts[::4] == list(range(1, 11))
    assert attempts[3::4] == list(range(1, 11))


def test_a_list_that_takes_too_long_is_waited_for_longer_the_next_time(
    server: SimulatedServer, guarded: GuardedServer, clock: Clock
) -> None:
    server.set_faults([Delay(KEEPALIVE_S * 0.5, on="list_jobs", times=None)])
    assert guarded.keep_alive(job(server)) is Result.FAILED

    def is_kept() -> bool:
        clock.now = guarded.next_attempt_at(job(server))
        return guarded.keep_alive(job(server)) is Result.SENT

    eventually(is_kept, "a list that was waited for long enough")


def test_a_server_that_is_not_there_is_a_failure_like_any_other(clock: Clock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        guarded = GuardedServer("127.0.0.1", port, clock)
        job = GuardedJob(0, "127.0.0.1", port, 1, KEEPALIVE_S)
        assert guarded.keep_alive(job) is Result.FAILED
