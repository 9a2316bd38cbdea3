"""A server that is away is tried with the delay that was set, and earlier only for a job's sake."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from spalloc_gevent import Job, JobState
from spalloc_gevent.transport.backoff import RECONNECT_DELAY_S, SHORTEST_RESCUE_S
from tests.contract.support import destroying, in_thread, job_of
from tests.faults.proxy import ChaosProxy
from tests.faults.support import JobScript, client_of
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer

DELAY_S = 0.3
NEVER_S = 3600.0
ATTEMPTS = 8
AT_ONCE = 3
"""What a loss leads to without delay: one for the keepalives, one for notifications, one call."""


class FadingServer(JobScript):
    """A server of jobs that hangs up on everybody once it has faded."""

    has_faded = False

    def __call__(self, peer: Peer, command: Command) -> None:
        if self.has_faded:
            peer.hang_up()
        else:
            super().__call__(peer, command)


@contextlib.contextmanager
def waited_for(job: Job) -> Iterator[None]:
    """Somebody waits all the time for a change of the job."""
    waiting = in_thread(lambda: job.wait_for_state_change(JobState.ready, timeout=LONG_S))
    yield
    job.destroy()
    assert waiting.result(LONG_S) is JobState.destroyed


def seconds_of_attempts(server: ScriptedServer, fading: FadingServer) -> float:
    """How long the client takes for as many attempts as are watched."""
    fading.has_faded = True
    began, before = time.monotonic(), len(server.peers)
    for peer in list(server.peers):
        peer.hang_up()
    server.wait_until(lambda: len(server.peers) >= before + ATTEMPTS)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("keepalive_s", "said_s", "kept_s"),
    [(60.0, DELAY_S, DELAY_S), (2.0, NEVER_S, SHORTEST_RESCUE_S)],
    ids=["the delay that was set", "two a second at most for a job that would be lost"],
)
def test_all_attempts_of_a_job_together_keep(
    keepalive_s: float, said_s: float, kept_s: float
) -> None:
    fading = FadingServer()
    with ScriptedServer(fading) as server:
        job = job_of(server, keepalive=keepalive_s, reconnect_delay=said_s, timeout=LONG_S)
        with destroying(job), waited_for(job):
            server.wait_until(lambda: server.counts["notify_job"])
            taken_s = seconds_of_attempts(server, fading)
            fading.has_faded = False
    assert taken_s >= (ATTEMPTS - AT_ONCE) * kept_s


def test_calls_that_wait_for_a_server_that_is_down_try_it_together_with_the_delay() -> None:
    down = ScriptedServer(lambda peer, _: peer.hang_up())
    with ChaosProxy(down) as proxy, contextlib.closing(client_of(proxy, wait_for_server=True)) as c:
        c.session.pool.backoff.set_delay(DELAY_S)
        began = time.monotonic()
        crowd = [in_thread(c.version) for _ in range(4)]
        proxy.wait_until(lambda: proxy.counts["made"] >= ATTEMPTS + len(crowd))
        assert time.monotonic() - began >= (ATTEMPTS - AT_ONCE) * DELAY_S
        down.script = lambda peer, _: peer.answer("1.0")
        with down:
            c.session.pool.backoff.set_delay(0.0)
            c.version()
            assert {caller.result(LONG_S) for caller in crowd} == {"1.0"}


def test_a_call_tries_at_once_however_long_the_delay() -> None:
    with ScriptedServer(JobScript()) as server:
        job = job_of(server, keepalive=None, reconnect_delay=NEVER_S, timeout=1.0)
        with destroying(job):
            server.stop()
            for _ in range(2):
                with pytest.raises(Exception, match="did not answer"):
                    _ = job.state
            server.start()
            assert job.state is JobState.ready


@pytest.mark.parametrize(
    ("said", "keepalive_s", "delay_s"),
    [
        ((), None, RECONNECT_DELAY_S),
        ((60.0,), None, 60.0),
        ((60.0, 2.0, 9.0), None, 2.0),
        ((0.0,), None, 0.05),
        ((15.0,), 60.0, 15.0),
        ((16.0,), 60.0, 7.5),
        ((5.0,), 3.0, SHORTEST_RESCUE_S),
        ((0.2,), 0.5, 0.2),
    ],
)
def test_the_delay_is_the_shortest_that_was_said_or_what_saves_a_job(
    said: tuple[float, ...], keepalive_s: float | None, delay_s: float
) -> None:
    with ScriptedServer(JobScript()) as server, contextlib.ExitStack() as held:
        client = held.enter_context(contextlib.closing(client_of(server, shared=True)))
        if keepalive_s is not None:
            options = {"keepalive": keepalive_s, "reconnect_delay": 1e9}
            held.enter_context(destroying(job_of(server, **options)))
        for said_s in said:
            client.session.pool.backoff.set_delay(said_s)
        assert client.session.pool.retry_delay_s == pytest.approx(delay_s)
