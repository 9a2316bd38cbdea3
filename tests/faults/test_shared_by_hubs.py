"""Threads and hubs that share one client: what befalls one of them does not concern the others."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import gevent
import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.simulator import Delay, SimulatedServer
from tests.contract.support import await_true, in_thread, ready, results
from tests.faults.support import ask, connected, own
from tests.transport.programs import PATCHED, PREAMBLE, ROOT
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo

MOST_CONNECTIONS = 9
HELD = 1_000_000
"""Answers to numbers from here on are held back by a Gate."""


class Gate:
    """A script that holds some answers back until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, peer: Peer, command: Command) -> None:
        if command.args and command.args[0] >= HELD:
            self.opened.wait(LONG_S)
        echo(peer, command)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def server(gate: Gate) -> Iterator[ScriptedServer]:
    with ScriptedServer(gate) as started:
        yield started
        gate.opened.set()
        assert [peer.number for peer in started.peers if peer.sent_early] == []


def calls_on(client: ProtocolClient, numbers: Iterator[int], count: int) -> None:
    for number in itertools.islice(numbers, count):
        assert ask(client, number, timeout=LONG_S) == own(number)


def in_hub(*works: Callable[[], object]) -> None:
    """Each in a greenlet of this thread's hub, which ends with them."""
    try:
        greenlets = [gevent.spawn(work) for work in works]
        gevent.joinall(greenlets, raise_error=True)
    finally:
        gevent.get_hub().destroy(destroy_loop=True)


def test_threads_and_hubs_hand_connections_to_each_other(server: ScriptedServer) -> None:
    numbers = itertools.count(1)
    with connected(server) as client:

        def fifty() -> None:
            calls_on(client, numbers, 50)

        callers = [in_thread(fifty) for _ in range(8)]
        callers += [in_thread(lambda: in_hub(*[fifty] * 10)) for _ in range(4)]
        results(callers)
        assert server.counts["get_job_state"] == 50 * (8 + 4 * 10)
        await_true(lambda: server.open_connections <= MOST_CONNECTIONS)
        calls_on(client, numbers, 1)


def test_short_lived_hubs_leave_their_connections_to_the_next(server: ScriptedServer) -> None:
    """What a hub knows of a connection must not outlive it."""
    numbers = itertools.count(1)
    with connected(server) as client:
        for _ in range(100):
            in_thread(lambda: in_hub(*[lambda: calls_on(client, numbers, 2)] * 5)).result(LONG_S)
            calls_on(client, numbers, 1)
        assert len(server.peers) <= MOST_CONNECTIONS


# -- a hub that stands still -------------------------------------------------------------------


@contextlib.contextmanager
def blocked_hub(*works: Callable[[], object]) -> Iterator[None]:
    """Meanwhile a hub is blocked natively; its greenlets have begun these works before."""
    blocked, go_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        go_on.wait(4 * LONG_S)

    hub = in_thread(lambda: in_hub(*works, block))
    assert blocked.wait(LONG_S)
    yield
    go_on.set()
    hub.result(LONG_S)


def test_others_call_on_while_a_hub_is_blocked_that_holds_a_connection(
    server: ScriptedServer, gate: Gate
) -> None:
    numbers, held = itertools.count(1), itertools.count(HELD)
    with connected(server) as client:

        def fifty() -> None:
            calls_on(client, numbers, 50)

        fifty()
        with blocked_hub(lambda: calls_on(client, held, 1)):
            server.wait_until(lambda: any(command.args == [HELD] for command in server.commands))
            gate.opened.set()
            callers = [in_thread(fifty) for _ in range(8)]
            results([*callers, in_thread(lambda: in_hub(*[fifty] * 10))])


def test_jobs_live_while_a_blocked_hub_holds_all_connections_that_callers_may_have() -> None:
    given = {"keepalive": 2.0, "timeout": LONG_S, "config_filenames": []}
    with SimulatedServer() as server, ready(server, **given) as job:
        server.set_faults([Delay(1.0, on="where_is", times=None)])
        with blocked_hub(*[lambda: job.where_is_machine(0, 0)] * 20):
            before = server.command_counts["get_job_state"]
            await_true(
                lambda: server.jobs == [] or server.command_counts["get_job_state"] >= before + 6
            )
            assert [one["job_id"] for one in server.jobs] == [job.id]


# -- a hub that is destroyed ---------------------------------------------------------------------


def test_others_call_on_while_hubs_are_destroyed_in_the_middle_of_calls(
    server: ScriptedServer, gate: Gate
) -> None:
    """With answers outstanding, with callers in line, and with answers that nobody has read."""
    numbers, held = itertools.count(1), itertools.count(HELD)
    finished = threading.Event()

    def leave(client: ProtocolClient) -> None:
        asked = [gevent.spawn(ask, client, next(held)) for _ in range(3)]
        asked += [gevent.spawn(ask, client, next(numbers)) for _ in range(10)]
        gevent.sleep(0)
        gevent.get_hub().destroy(destroy_loop=True)

    def call_on(client: ProtocolClient) -> None:
        while not finished.is_set():
            calls_on(client, numbers, 10)

    with connected(server) as client:
        callers = [in_thread(lambda: call_on(client)) for _ in range(3)]
        callers.append(in_thread(lambda: in_hub(*[lambda: call_on(client)] * 5)))
        for _ in range(30):
            gate.opened = threading.Event()
            leaving = in_thread(lambda: leave(client))
            leaving.result(LONG_S)
            gate.opened.set()
        finished.set()
        results(callers)
        await_true(lambda: server.open_connections <= MOST_CONNECTIONS)
        calls_on(client, numbers, 20)


# -- a fork in the middle of a call --------------------------------------------------------------

FORKED = """
import os, select, threading
client = new_client()

def ask(client, number):
    assert client.call("get_job_state", number) == ["get_job_state", [number]]

def asks_for_what_is_held():
    for number in (1000000, 1000001):
        ask(client, number)

asking = threading.Thread(target=asks_for_what_is_held)
asking.start()
print("asking", flush=True)
# Patched, this lets the greenlet run that a thread is then.
select.select([sys.stdin], [], [])
sys.stdin.readline()
for number in range(5):
    child = os.fork()
    if not child:
        with new_client() as own:
            ask(own, number)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    ask(client, 100 + number)
print("forked", flush=True)
asking.join()
ask(client, 200)
client.close()
print("answered")
"""


@pytest.mark.parametrize("patched", list(PATCHED))
def test_a_fork_in_the_middle_of_another_threads_call_disturbs_neither_process(
    server: ScriptedServer, gate: Gate, patched: str
) -> None:
    first, then = PATCHED[patched]
    program = "\n".join((first, PREAMBLE, then, FORKED))
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, server.host,
         str(server.port)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "asking\n"
        server.wait_until(lambda: any(c.args == [HELD] for c in server.commands))
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "forked\n"
        gate.opened.set()
        assert process.communicate(timeout=LONG_S) == ("answered\n", "")
        assert process.returncode == 0
    await_true(lambda: server.open_connections == 0)
