"""A server that is slow, as a whole or in parts, costs neither a job nor a call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest

from spalloc_gevent import JobState
from spalloc_gevent.errors import ProtocolTimeoutError
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import await_true, in_thread, job_of, results
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import (
    JobScript,
    OneThread,
    ask,
    connected,
    echoing_behind_proxy,
    held_jobs,
    on_command,
    own,
    ready_state,
)
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo

MANY_JOBS = 100


def test_after_a_cut_one_slow_list_serves_all_jobs_and_none_is_lost() -> None:
    """The lists that would be asked for besides hold every keepalive up, one after the other."""
    script = OneThread(keepalive_s=12.0, takes_s={"list_jobs": 2.0})
    with (
        ScriptedServer(script) as server,
        ChaosProxy(server) as proxy,
        held_jobs(proxy, MANY_JOBS, 12.0),
    ):
        before = server.counts["get_job_state"]
        proxy.cut(End.FIN)
        enough = before + 2 * MANY_JOBS
        server.wait_until(lambda: script.expired or server.counts["get_job_state"] >= enough)
        assert server.counts["list_jobs"] <= 2
        assert script.expired == set()


@pytest.mark.parametrize(
    ("keepalive_s", "one_way_s"), [(6.0, 0.95), (10.0, 1.0)], ids=["short", "longer"]
)
def test_jobs_live_though_every_answer_comes_late(keepalive_s: float, one_way_s: float) -> None:
    with (
        SimulatedServer() as server,
        ChaosProxy(server) as proxy,
        held_jobs(proxy, 5, keepalive_s),
    ):
        proxy.delay(one_way_s)
        before = server.command_counts["get_job_state"]
        await_true(
            lambda: len(server.jobs) < 5 or server.command_counts["get_job_state"] >= before + 20
        )
        assert len(server.jobs) == 5


def test_a_late_answer_counts_and_its_connection_is_not_left_for_another(
    server: SimulatedServer, proxy: ChaosProxy
) -> None:
    """Others would be as slow: to make one for each answer only adds to the server's work."""
    with held_jobs(proxy, 1, 5.0):
        proxy.delay(0.95)
        before = server.command_counts["get_job_state"]
        await_true(lambda: server.command_counts["get_job_state"] >= before + 6)
        assert proxy.counts["made"] <= 5


def at_once(count: int, call: Callable[[], object]) -> list[Future[object]]:
    return [in_thread(call) for _ in range(count)]


def test_calls_are_answered_over_good_connections_while_new_ones_are_not_served() -> None:
    """As by a server that has no descriptor left: those who connect wait in its backlog."""
    with echoing_behind_proxy() as (server, proxy), connected(proxy) as client:
        opened = threading.Event()
        server.script = lambda peer, command: echo(peer, command) if opened.wait(LONG_S) else None
        first = at_once(4, lambda: ask(client, 1))
        server.wait_until(lambda: len(server.commands) == 4)
        proxy.swallow()
        opened.set()
        assert results(first) == [own(1)] * 4

        def ten(caller: int) -> int:
            numbers = range(10 * caller, 10 * caller + 10)
            return sum(ask(client, n, timeout=10.0) == own(n) for n in numbers)

        callers = [in_thread(partial(ten, caller)) for caller in range(30)]
        assert results(callers) == [10] * 30


def test_calls_that_gave_up_leave_room_for_others_at_once() -> None:
    """Whoever waits gets a new connection in place of one whose answer nobody wants any more."""
    opened = threading.Event()

    def never(peer: Peer, command: Command) -> None:
        opened.wait(LONG_S)

    with ScriptedServer(on_command("list_jobs", never)) as server, connected(server) as client:

        def gives_up() -> None:
            with pytest.raises(ProtocolTimeoutError):
                client.list_jobs(timeout=0.5)

        results(at_once(12, gives_up))
        # Far less than abandoned answers are waited for, far more than an echo takes.
        assert ask(client, 1, timeout=3.0) == own(1)
        # The server, which is busy, has not seen yet which of them are closed.
        assert client.session.connections <= 9
        opened.set()


def test_the_answer_to_a_keepalive_tells_who_waits_that_the_job_is_ready() -> None:
    """The notification is lost; the job's own keepalives learn of the change all the same."""
    asked: list[int] = []

    def on_state(peer: Peer, command: Command) -> bool:
        asked.append(command.connection)
        state = JobState.power if len(asked) <= 5 else JobState.ready
        peer.answer(ready_state(state=state))
        return True

    script = JobScript()
    script.on_state = on_state
    with ScriptedServer(script) as server:
        job = job_of(server, keepalive=1.0, config_filenames=[])
        with contextlib.closing(job):
            in_thread(lambda: job.wait_until_ready(timeout=15.0)).result(LONG_S)
            assert len(asked) <= 20
