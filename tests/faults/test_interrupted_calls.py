"""A call that is interrupted, killed or late at any of its steps: nobody else notices.

No answer goes to another, no place in the pool is lost, no connection stays, none ever carries two
commands at once, and the next call is answered at once.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import gevent
import pytest

from spalloc_gevent import Job, ProtocolClient
from spalloc_gevent.errors import ProtocolTimeoutError
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import await_true, in_thread, job_of, results
from tests.faults.interruption import interrupt_at_each_step
from tests.faults.support import ask, connected, own
from tests.transport.programs import PATCHED, PREAMBLE, ROOT
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo

MOST_CONNECTIONS = 9
AT_ONCE = 4

# An interruption that comes as socket() returns leaves the new socket to its finaliser.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started
        assert [peer.number for peer in started.peers if peer.sent_early] == []


def works_as_before(server: ScriptedServer, client: ProtocolClient) -> None:
    """There is still room for several calls at once, and no connection too many."""
    opened, before = threading.Event(), len(server.commands)
    server.script = lambda peer, command: echo(peer, command) if opened.wait(LONG_S) else None
    calls = [in_thread(partial(ask, client, n, timeout=LONG_S)) for n in range(AT_ONCE)]
    server.wait_until(lambda: len(server.commands) >= before + AT_ONCE)
    opened.set()
    assert results(calls) == [own(n) for n in range(AT_ONCE)]
    await_true(lambda: server.open_connections <= MOST_CONNECTIONS)


class Numbers:
    """Numbers that nobody else asks for."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def ask_next(self, client: ProtocolClient) -> None:
        number = next(self._numbers)
        assert ask(client, number, timeout=LONG_S) == own(number)


@contextlib.contextmanager
def others_calling(client: ProtocolClient, numbers: Numbers) -> Iterator[None]:
    """Meanwhile more threads call than there may be connections."""
    finished = threading.Event()

    def call_on() -> None:
        while not finished.is_set():
            numbers.ask_next(client)

    callers = [in_thread(call_on) for _ in range(10)]
    try:
        yield
    finally:
        finished.set()
        results(callers)


def in_plain_thread(work: Callable[[], int]) -> int:
    return in_thread(work).result(4 * LONG_S)


def in_greenlet(work: Callable[[], int]) -> int:
    def spawn() -> int:
        try:
            return gevent.spawn(work).get()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    return in_thread(spawn).result(4 * LONG_S)


IN = pytest.mark.parametrize("run", [in_plain_thread, in_greenlet])


@IN
def test_a_call_over_an_idle_connection_may_be_interrupted_at_every_step(
    server: ScriptedServer, run: Callable[[Callable[[], int]], int]
) -> None:
    numbers = Numbers()
    with connected(server) as client:

        def call() -> None:
            numbers.ask_next(client)

        call()
        assert run(lambda: interrupt_at_each_step(call, then=call)) > 20
        works_as_before(server, client)


@IN
def test_a_call_that_connects_first_may_be_interrupted_at_every_step(
    server: ScriptedServer, run: Callable[[Callable[[], int]], int]
) -> None:
    numbers, clients = Numbers(), [ProtocolClient(server.host, server.port).open()]

    def call() -> None:
        numbers.ask_next(clients[-1])

    def renew() -> None:
        call()
        clients.pop().close()
        clients.append(ProtocolClient(server.host, server.port).open())

    assert run(lambda: interrupt_at_each_step(call, then=renew)) > 20
    clients.pop().close()
    await_true(lambda: server.open_connections == 0)


@IN
def test_a_call_that_waits_in_line_may_be_interrupted_at_every_step(
    server: ScriptedServer, run: Callable[[Callable[[], int]], int]
) -> None:
    numbers = Numbers()
    with connected(server) as client:

        def call() -> None:
            numbers.ask_next(client)

        with others_calling(client, numbers):
            server.wait_until(lambda: len(server.commands) > 100)
            assert run(lambda: interrupt_at_each_step(call, then=call)) > 20
        works_as_before(server, client)


@IN
def test_a_job_that_is_interrupted_at_any_step_of_its_making_does_not_stay(
    run: Callable[[Callable[[], int]], int],
) -> None:
    made: list[Job] = []
    with SimulatedServer() as server:

        def make() -> None:
            made.append(job_of(server, keepalive=600.0, config_filenames=[]))

        def destroy() -> None:
            while made:
                made.pop().destroy()

        assert run(lambda: interrupt_at_each_step(make, then=destroy)) > 20
        await_true(lambda: server.jobs == [])


# -- by time: thousands of them ------------------------------------------------------------------

ROUNDS = 100
GREENLETS = 30
SOON_S = 0.004


def slowly(peer: Peer, command: Command) -> None:
    """An answer after 0 to 2 ms, so that no two calls are at the same step."""
    threading.Event().wait(sum(command.args) % 5 / 2000)
    echo(peer, command)


def killed(client: ProtocolClient, number: int, after_s: float) -> None:
    victim = gevent.spawn(ask, client, number)
    gevent.sleep(after_s)
    victim.kill()
    assert victim.value is None or isinstance(victim.value, gevent.GreenletExit) or (
        victim.value == own(number)
    )  # fmt: skip


def timed_out_by_gevent(client: ProtocolClient, number: int, after_s: float) -> None:
    with contextlib.suppress(gevent.Timeout), gevent.Timeout(after_s):
        assert ask(client, number) == own(number)


def timed_out(client: ProtocolClient, number: int, after_s: float) -> None:
    with contextlib.suppress(ProtocolTimeoutError):
        assert ask(client, number, timeout=after_s) == own(number)


def give_up_often(
    client: ProtocolClient, give_up: Callable[[ProtocolClient, int, float], None], caller: int
) -> None:
    """At other moments each time; every tenth call is left alone."""
    for number in range(caller * ROUNDS, (caller + 1) * ROUNDS):
        if number % 10:
            give_up(client, number, number * 7 % 100 / 100 * SOON_S)
        else:
            assert ask(client, number, timeout=LONG_S) == own(number)


@pytest.mark.parametrize("give_up", [killed, timed_out_by_gevent, timed_out])
def test_thousands_of_calls_of_greenlets_may_be_given_up(
    server: ScriptedServer, give_up: Callable[[ProtocolClient, int, float], None]
) -> None:
    server.script = slowly
    with connected(server) as client:
        callers = [gevent.spawn(give_up_often, client, give_up, n) for n in range(GREENLETS)]
        gevent.joinall(callers, timeout=4 * LONG_S, raise_error=True)
        assert all(caller.successful() for caller in callers)
        works_as_before(server, client)


def test_thousands_of_calls_of_threads_may_be_late(server: ScriptedServer) -> None:
    server.script = slowly
    with connected(server) as client:
        results([in_thread(partial(give_up_often, client, timed_out, n)) for n in range(20)])
        works_as_before(server, client)


INTERRUPTED = """
import random, signal

def interrupt(*_):
    raise KeyboardInterrupt

def ask(number):
    assert client.call("get_job_state", number) == ["get_job_state", [number]]

client, interrupted, number = new_client(), 0, 0
signal.signal(signal.SIGALRM, interrupt)
while interrupted < 1000:
    number += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + random.random() * 0.003)
        ask(number)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
for number in range(100):
    ask(number)
print("answered", flush=True)
sys.stdin.readline()
client.close()
"""


@pytest.mark.parametrize("patched", list(PATCHED))
def test_a_main_thread_may_be_interrupted_a_thousand_times(
    server: ScriptedServer, patched: str
) -> None:
    server.script = slowly
    first, then = PATCHED[patched]
    program = "\n".join((first, PREAMBLE, then, INTERRUPTED))
    with subprocess.Popen(
        [sys.executable, "-c", program, server.host, str(server.port)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "answered\n"
        await_true(lambda: server.open_connections <= MOST_CONNECTIONS)
        process.communicate("\n", timeout=LONG_S)
    assert process.returncode == 0
    await_true(lambda: server.open_connections == 0)
