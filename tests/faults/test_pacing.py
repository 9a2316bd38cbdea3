"""Whatever a server does, it is neither connected to nor asked as fast as the machine can."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from spalloc_gevent import JobState
from spalloc_gevent.errors import SpallocError
from tests.contract.support import in_thread, job_of
from tests.faults.support import JobScript, connected, held_jobs, on_command, ready_state
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer

WATCHED_S = 3.0
FEW = 100
"""A tenth of what a client makes in that time that does not hold back, and three times as many as
one does that tries ten times a second."""


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "not answered"])
@pytest.mark.parametrize("watch", ["notify_job", "notify_machine"])
def test_a_watch_that_is_hung_up_on_is_armed_again_at_a_pace(watch: str, answered: bool) -> None:
    def hang_up(peer: Peer, command: Command) -> None:
        if answered:
            peer.answer(None)
        peer.hang_up()

    with ScriptedServer() as server, connected(server) as client:
        getattr(client, watch)()
        server.script = on_command(watch, hang_up)
        server.peers[-1].hang_up()
        assert not server.comes_to(lambda: len(server.peers) >= FEW, WATCHED_S)
        server.wait_until(lambda: server.counts[watch] >= 3)


@pytest.mark.parametrize("when", ["answered", "asked"])
def test_keepalives_that_are_hung_up_on_connect_again_at_a_pace(when: str) -> None:
    script = JobScript()

    def hang_up(peer: Peer, command: Command) -> bool:
        if when == "answered":
            peer.answer(ready_state())
        peer.hang_up()
        return True

    with ScriptedServer(script) as server, held_jobs(server, 5, 5.0):
        script.on_state = hang_up
        before = len(server.peers)
        assert not server.comes_to(lambda: len(server.peers) >= before + FEW, 2 * WATCHED_S)
        script.on_state = lambda *_: False


@pytest.mark.parametrize("callers", [1, 8])
def test_calls_on_a_server_that_hangs_up_on_all_connect_at_a_pace(callers: int) -> None:
    with ScriptedServer(lambda peer, _: peer.hang_up()) as server, connected(server) as client:
        ends: list[bool] = []

        def call_on() -> None:
            while not ends:
                with contextlib.suppress(SpallocError):
                    client.version()

        calling = [in_thread(call_on) for _ in range(callers)]
        assert not server.comes_to(lambda: len(server.peers) >= FEW, WATCHED_S)
        ends.append(True)
        client.close()
        for caller in calling:
            caller.result(LONG_S)


def test_a_server_that_tells_each_keepalive_as_a_change_is_asked_at_a_pace() -> None:
    """Every look at the job is told as another change of it."""
    watching: dict[int, Peer] = {}
    looks = itertools.count(1)

    class Telling(JobScript):
        def __call__(self, peer: Peer, command: Command) -> None:
            super().__call__(peer, command)
            if command.name == "notify_job":
                watching[peer.number] = peer
            for watcher in list(watching.values()):
                if command.name == "get_job_state":
                    watcher.send({"jobs_changed": [1]})

    def queued(peer: Peer, command: Command) -> bool:
        next(looks)
        peer.answer(ready_state(state=JobState.queued))
        return True

    script = Telling()
    script.on_state = queued
    with ScriptedServer(script) as server:
        job = job_of(server, keepalive=60.0, config_filenames=[])
        with contextlib.closing(job):
            waiting = in_thread(lambda: job.wait_for_state_change(JobState.queued, timeout=LONG_S))
            server.wait_until(lambda: watching)
            assert not server.comes_to(lambda: server.counts["get_job_state"] >= FEW, WATCHED_S)
            script.on_state = lambda *_: False
            assert waiting.result(LONG_S) is JobState.ready
