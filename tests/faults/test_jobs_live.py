"""No job is lost that a keepalive could have saved."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gevent
import pytest

from spalloc_gevent import Job, JobState
from spalloc_gevent.errors import ConnectionLostError, ProtocolTimeoutError
from spalloc_gevent.transport import pool
from spalloc_gevent.transport.pool import DEFAULT_LIMIT
from tests.conftest import MakeRealServer
from tests.contract.support import await_true, in_thread, job_of, results
from tests.faults.proxy import ChaosProxy, End, Where
from tests.faults.support import JobScript
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer
from tools.real_server import ask as ask_directly


@contextlib.contextmanager
def held(server: Where, keepalives: Sequence[float]) -> Iterator[list[Job]]:
    """Jobs with these keepalives, created at once."""
    creating = [gevent.spawn(job_of, server, keepalive=k, config_filenames=[]) for k in keepalives]
    gevent.joinall(creating, LONG_S, raise_error=True)
    jobs = [greenlet.get() for greenlet in creating]
    try:
        yield jobs
    finally:
        gevent.joinall([gevent.spawn(job.destroy) for job in jobs], LONG_S, raise_error=True)


# -- a server that does not expire them: what goes out, and in which order ------------------

MANY, OFTEN_S = 200, 2.0
STUCK = set(range(1000, 1000 + DEFAULT_LIMIT))
"""Numbers of jobs that nobody holds."""


@pytest.fixture
def script() -> JobScript:
    return JobScript()


@pytest.fixture
def server(script: JobScript) -> Iterator[ScriptedServer]:
    with ScriptedServer(script) as started:
        yield started


def asked_after(server: ScriptedServer) -> list[int]:
    return [c.args[0] for c in server.commands if c.name == "get_job_state"]


def keepalives(proxy: ChaosProxy, before: int) -> list[bytes]:
    """Those that have passed since so many commands had."""
    return [seen.line for seen in proxy.commands[before:] if seen.asks("get_job_state")]


@pytest.mark.parametrize("end", list(End))
def test_after_the_return_of_a_server_all_jobs_are_heard_of_over_no_more_than_the_pool(
    server: ScriptedServer, end: End, caplog: pytest.LogCaptureFixture
) -> None:
    with ChaosProxy(server) as proxy, held(proxy, [OFTEN_S] * MANY):
        proxy.refuse()
        proxy.cut(end)
        # From now on all of them are due.
        await_true(lambda: sum("too late" in r.getMessage() for r in caplog.records) >= MANY)
        made, passed = proxy.counts["made"], proxy.counts["passed"]
        proxy.accept()
        proxy.wait_until(lambda: len(set(keepalives(proxy, passed))) >= MANY)
        # None waits for a turn until others have had several.
        assert len(keepalives(proxy, passed)) < 2 * MANY
        first, *others = proxy.commands[passed:]
        # Are these our jobs still? To look once is enough for all connections.
        assert first.asks("list_jobs")
        assert not any(seen.asks("list_jobs") for seen in others)
        assert proxy.counts["made"] - made <= DEFAULT_LIMIT


def silence(peer: Peer) -> None:
    pass


def garbage(peer: Peer) -> None:
    peer.sock.sendall(b"\xff\xfe this is no JSON\n")


def an_exception(peer: Peer) -> None:
    peer.send({"exception": "ValueError: something is wrong with the server"})


def nonsense(peer: Peer) -> None:
    peer.answer(["this", "is", "no", "state"])


def hang_up(peer: Peer) -> None:
    peer.hang_up()


@pytest.mark.parametrize("strike", [silence, garbage, an_exception, nonsense, hang_up])
def test_a_keepalive_that_is_answered_badly_is_followed_by_another(
    server: ScriptedServer, script: JobScript, strike: Callable[[Peer], None]
) -> None:
    asked: Counter[int] = Counter()
    mutex = threading.Lock()

    def strike_each_job_once(peer: Peer, command: Command) -> bool:
        with mutex:
            asked[command.args[0]] += 1
            # The first of all looks when the job began.
            is_keepalive = asked[command.args[0]] == 2
        if is_keepalive:
            strike(peer)
        return is_keepalive

    script.on_state = strike_each_job_once
    with held(server, [OFTEN_S] * 20) as jobs:
        ids = [job.id for job in jobs]
        server.wait_until(lambda: all(Counter(asked_after(server))[i] >= 4 for i in ids if i))
        assert {job.state.name for job in jobs} == {"ready"}


def test_keepalives_pass_calls_that_are_stuck_on_frozen_connections(
    server: ScriptedServer, script: JobScript
) -> None:
    with ChaosProxy(server) as proxy, held(proxy, [OFTEN_S] * 10) as jobs:
        client = jobs[0]._client
        gate = threading.Event()

        def hold_callers(peer: Peer, command: Command) -> bool:
            return command.args[0] in STUCK and gate.wait(LONG_S) and False

        script.on_state = hold_callers
        # As many as there are connections, each ready to wait for ever.
        stuck = [in_thread(partial(client.get_job_state, n, None)) for n in STUCK]
        server.wait_until(lambda: len(STUCK & set(asked_after(server))) == DEFAULT_LIMIT - 1)
        before = Counter(asked_after(server))
        server.wait_until(
            lambda: all((Counter(asked_after(server)) - before)[j.id or 0] >= 2 for j in jobs)
        )
        gate.set()
        assert [state["state"] for state in results(stuck)] == [JobState.ready] * DEFAULT_LIMIT


def test_a_call_that_may_not_be_repeated_keeps_its_connection_from_keepalives(
    server: ScriptedServer, script: JobScript
) -> None:
    """Left alone, it would have to fail: nobody knows whether it happened."""
    gate = threading.Event()

    def hold_power(peer: Peer, command: Command) -> None:
        assert command.name != "power_on_job_boards" or gate.wait(LONG_S)
        script(peer, command)

    server.script = hold_power
    with held(server, [OFTEN_S] * 5) as jobs:
        powering = in_thread(partial(jobs[0]._client.power_on_job_boards, 1, None))
        server.wait_until(lambda: server.counts["power_on_job_boards"])
        before = len(asked_after(server))
        server.wait_until(lambda: len(asked_after(server)) > before + 20)
        gate.set()
        powering.result(LONG_S)
        assert server.counts["power_on_job_boards"] == 1


def test_keepalives_do_not_wait_for_the_reply_to_a_call_that_was_given_up(
    server: ScriptedServer, script: JobScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "DRAIN_WITHIN_S", 10 * LONG_S)
    with held(server, [OFTEN_S] * 5) as jobs:
        frozen: set[int] = set()

        def freeze(peer: Peer, command: Command) -> None:
            if command.args == [1000]:
                frozen.update(peer.number for peer in server.peers)
            if peer.number not in frozen:
                script(peer, command)

        server.script = freeze
        with pytest.raises(ProtocolTimeoutError):
            jobs[0]._client.get_job_state(1000, timeout=0.05)

        def is_kept_alive(job: Job) -> bool:
            asked = [c for c in server.commands if c.args == [job.id]]
            return sum(c.connection not in frozen for c in asked) >= 3

        server.wait_until(lambda: all(map(is_kept_alive, jobs)))
        for peer in server.peers:
            if peer.number in frozen:
                peer.hang_up()


@pytest.mark.parametrize("keep_off", ["refuse", "swallow", "fill_accept_queue"])
def test_keepalives_go_out_when_connects_succeed_again(
    server: ScriptedServer, keep_off: str
) -> None:
    with ChaosProxy(server) as proxy, held(proxy, [OFTEN_S] * 20) as jobs:
        getattr(proxy, keep_off)()
        proxy.cut(End.RST)
        await_true(lambda: jobs[0]._client.session.connections == 0 or keep_off == "swallow")
        before = proxy.counts["passed"]
        proxy.accept()
        proxy.wait_until(lambda: len(set(keepalives(proxy, before))) == 20)


def test_a_create_that_is_cut_off_is_not_sent_again_and_says_so(
    server: ScriptedServer, script: JobScript
) -> None:
    def silent_about_jobs(peer: Peer, command: Command) -> None:
        if command.name != "create_job":
            script(peer, command)

    server.script = silent_about_jobs
    with ChaosProxy(server) as proxy:
        outcome = in_thread(lambda: job_of(proxy, config_filenames=[], timeout=None))
        server.wait_until(lambda: server.counts["create_job"])
        proxy.cut(End.RST)
        with pytest.raises(ConnectionLostError, match="may or may not") as caught:
            outcome.result(LONG_S)
        assert caught.value.may_have_happened
        assert server.counts["create_job"] == 1


# -- the real server, which does -------------------------------------------------------------

JOBS, KEEPALIVE_S = 60, 4.0
"""The soak's conditions on a smaller scale: 10 s there, and outages of 4 s."""
OUTAGE_S = 0.35 * KEEPALIVE_S
REST_S = 0.4 * KEEPALIVE_S


def cut_with_fin(proxy: ChaosProxy, server: RealServer) -> None:
    for _ in range(5):
        proxy.cut(End.FIN)
        time.sleep(OUTAGE_S / 10)


def cut_with_rst(proxy: ChaosProxy, server: RealServer) -> None:
    for _ in range(5):
        proxy.cut(End.RST)
        time.sleep(OUTAGE_S / 10)


def freeze_everything(proxy: ChaosProxy, server: RealServer) -> None:
    proxy.freeze(new=True)
    time.sleep(OUTAGE_S)
    proxy.thaw()


def freeze_what_is_open(proxy: ChaosProxy, server: RealServer) -> None:
    """For ever: only other connections can save the jobs."""
    proxy.freeze(to_server=False)


def refuse(proxy: ChaosProxy, server: RealServer) -> None:
    proxy.refuse()
    proxy.cut(End.RST)
    time.sleep(OUTAGE_S)
    proxy.accept()


def full_queue(proxy: ChaosProxy, server: RealServer) -> None:
    proxy.fill_accept_queue()
    proxy.cut(End.RST)
    time.sleep(OUTAGE_S)
    proxy.accept()


def restart_warm(proxy: ChaosProxy, server: RealServer) -> None:
    server.restart()


FAULTS = (
    cut_with_fin,
    freeze_everything,
    cut_with_rst,
    freeze_what_is_open,
    restart_warm,
    refuse,
    full_queue,
)


@pytest.mark.real_server
def test_no_job_is_lost_to_cuts_freezes_restarts_and_refused_connects(
    make_real_server: MakeRealServer,
) -> None:
    server = make_real_server([machine_with_boards(JOBS)])
    with ChaosProxy(server) as proxy, held(proxy, [KEEPALIVE_S] * JOBS) as jobs:
        ids = {job.id for job in jobs}
        for fault in FAULTS:
            fault(proxy, server)
            time.sleep(REST_S)
            listed: Any = ask_directly(server.host, server.port, "list_jobs")
            assert ids == {job["job_id"] for job in listed}, fault.__name__
