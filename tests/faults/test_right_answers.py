"""Everybody gets their own answer, in the time they were ready to wait, or a clear error."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ProtocolError, ProtocolTimeoutError
from spalloc_gevent.transport.pool import DEFAULT_LIMIT
from tests.contract.support import await_true, in_thread
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import EXCUSED, ask, connected, echoing_behind_proxy, join_all, own
from tests.transport.scripted_server import (
    LONG_S,
    Command,
    Peer,
    ScriptedServer,
    echo,
    first_only,
)

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 10
SHORT_S = 0.1


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started


# -- callers that give up ------------------------------------------------------------------


class Gate:
    """Holds the answers to commands about jobs above a number back until it is opened."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.opened = threading.Event()
        server.script = self._script

    def _script(self, peer: Peer, command: Command) -> None:
        if command.args and command.args[0] >= 1000:
            assert self.opened.wait(LONG_S)
        echo(peer, command)


def by_timeout(client: ProtocolClient, number: int, server: ScriptedServer) -> None:
    with pytest.raises(ProtocolTimeoutError):
        ask(client, number, timeout=0.05)


def by_gevent_timeout(client: ProtocolClient, number: int, server: ScriptedServer) -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        ask(client, number)


def by_kill(client: ProtocolClient, number: int, server: ScriptedServer) -> None:
    greenlet = gevent.spawn(ask, client, number)
    gevent.sleep(0)
    server.wait_until(lambda: any(command.args == [number] for command in server.commands))
    greenlet.kill()


def by_keyboard_interrupt(client: ProtocolClient, number: int, server: ScriptedServer) -> None:
    def interrupt() -> None:
        server.wait_until(lambda: any(command.args == [number] for command in server.commands))
        os.kill(os.getpid(), signal.SIGINT)

    interrupted = in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(client, number)
    interrupted.result(LONG_S)


@pytest.mark.parametrize("give_up", [by_timeout, by_gevent_timeout, by_kill, by_keyboard_interrupt])
def test_the_answer_to_a_call_that_was_given_up_goes_to_nobody_else(
    server: ScriptedServer, give_up: Callable[[ProtocolClient, int, ScriptedServer], None]
) -> None:
    for number in range(ROUNDS):
        gate = Gate(server)
        with connected(server) as client:
            assert ask(client, 1) == own(1)
            give_up(client, 1000 + number, server)
            others = [gevent.spawn(ask, client, other) for other in range(DEFAULT_LIMIT)]
            gevent.sleep(0)
            gate.opened.set()
            gevent.joinall(others, LONG_S, raise_error=True)
            assert [other.value for other in others] == [own(n) for n in range(DEFAULT_LIMIT)]
    assert sum(peer.sent_early for peer in server.peers) == 0


PLAIN = """
import os, signal, sys, threading
from spalloc_gevent import ProtocolClient
client = ProtocolClient(sys.argv[1], int(sys.argv[2])).open()
client.version()
wrong = 0
for number in range(1000, 1010):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        client.call("get_job_state", number)
    except KeyboardInterrupt:
        pass
    else:
        raise SystemExit("it was not interrupted")
    answer = client.call("get_job_state", 1)
    wrong += answer != ["get_job_state", [1]]
print(wrong, "wrong")
client.close()
"""


def test_ctrl_c_in_a_plain_thread_leaves_the_next_call_its_own_answer(
    server: ScriptedServer,
) -> None:
    held: list[Peer] = []

    def hold_then_let_go(peer: Peer, command: Command) -> None:
        if command.args == [1]:
            # The held answers come now, each on the connection that owes it.
            while held:
                held.pop().answer("somebody else's")
        elif command.args:
            held.append(peer)
            return
        echo(peer, command)

    server.script = hold_then_let_go
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, server.host, str(server.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * LONG_S,
    )
    assert (done.stdout, done.stderr) == ("0 wrong\n", "")


def test_an_abandoned_call_whose_thread_has_ended_hurts_nobody(server: ScriptedServer) -> None:
    gate = Gate(server)
    with connected(server, 0.05) as client:
        for number in range(ROUNDS):
            with pytest.raises(ProtocolTimeoutError):
                in_thread(partial(ask, client, 1000 + number)).result(LONG_S)
        gate.opened.set()
        assert [ask(client, n, timeout=LONG_S) for n in range(50)] == [own(n) for n in range(50)]


# -- answers that nobody asked for ------------------------------------------------------------


def doubled(peer: Peer, command: Command) -> None:
    peer.send({"return": command.echo}, {"return": command.echo})


def after_a_notification(peer: Peer, command: Command) -> None:
    peer.send({"jobs_changed": [1]}, {"return": command.echo}, {"exception": "unasked"})


@pytest.mark.parametrize("script", [doubled, after_a_notification])
def test_an_answer_too_many_is_nobodys(
    server: ScriptedServer, script: Callable[[Peer, Command], None]
) -> None:
    # Only its first connections misbehave: one that always does can be used for nothing.
    server.script = lambda peer, c: (script if peer.number % 2 else echo)(peer, c)
    with connected(server) as client:
        for number in range(100):
            try:
                answer = ask(client, number)
            except EXCUSED:
                continue
            assert answer == own(number)


def test_a_stray_answer_on_an_idle_connection_is_nobodys() -> None:
    with echoing_behind_proxy() as (_, proxy), connected(proxy) as client:
        for number in range(ROUNDS):
            assert ask(client, number) == own(number)
            made = proxy.counts["made"]
            proxy.inject(b'{"return": "unasked"}\n')
            # What came before the question is no answer to it, and the client must not go on
            # with a connection that is out of step.
            assert ask(client, 1000 + number) == own(1000 + number)
            assert proxy.counts["made"] == made + 1
            proxy.wait_until(lambda: proxy.open_connections == 1)


def test_what_may_not_be_repeated_is_not_sent_where_the_server_has_hung_up() -> None:
    with echoing_behind_proxy() as (server, proxy), connected(proxy) as client:
        for number in range(ROUNDS):
            assert ask(client, number) == own(number)
            proxy.cut(End.FIN)
            assert client.call("create_job", 1, owner="me") == ["create_job", [1, "me"]]
        assert server.counts["create_job"] == ROUNDS


# -- after a fork --------------------------------------------------------------------------------

FORKING = """
import os, sys, threading
from spalloc_gevent import ProtocolClient
client = ProtocolClient(sys.argv[1], int(sys.argv[2])).open()

def wrong(first):
    return sum(client.call("get_job_state", n) != ["get_job_state", [n]]
               for n in range(first, first + 100))

wrongs, stopping = [], threading.Event()

def go_on(first):
    while not stopping.is_set():
        wrongs.append(wrong(first))

threads = [threading.Thread(target=go_on, args=(1000 * n,)) for n in range(1, 5)]
for thread in threads:
    thread.start()
children = []
for n in range(5):
    wrongs.append(wrong(n * 200))
    pid = os.fork()
    if not pid:
        os._exit(min(wrong(100_000 + n * 100), 100))
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
stopping.set()
for thread in threads:
    thread.join()
client.close()
print(sum(wrongs), codes)
"""


def test_parent_and_children_forked_amid_calls_get_their_own_answers(
    server: ScriptedServer,
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, server.host,
         str(server.port)],
        cwd=ROOT, capture_output=True, text=True, timeout=2 * LONG_S,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0 [0, 0, 0, 0, 0]\n", "")
    assert sum(peer.sent_early for peer in server.peers) == 0


# -- time-outs -----------------------------------------------------------------------------------


def timed_out(call: Callable[[], Any]) -> None:
    """The call ends by its time-out; one that does not is not waited for for ever."""
    with pytest.raises(ProtocolTimeoutError):
        in_thread(call).result(LONG_S)


def test_a_time_out_holds_under_a_flood_of_notifications(server: ScriptedServer) -> None:
    over = threading.Event()
    flood = [{"jobs_changed": [n]} for n in range(1000)]

    def flood_instead(peer: Peer, command: Command) -> None:
        while not over.is_set() and peer.end is None:
            peer.send(*flood)

    server.script = first_only("get_job_state", flood_instead)
    with connected(server) as client:
        timed_out(lambda: ask(client, 1, timeout=SHORT_S))
        # It floods on, and does not keep another call from its answer.
        assert ask(client, 2) == own(2)
        over.set()


def test_a_time_out_holds_for_one_byte_a_second() -> None:
    with echoing_behind_proxy() as (_, proxy), connected(proxy) as client:
        proxy.pieces(1, pace_s=1.0)
        timed_out(lambda: ask(client, 1, timeout=1.5 * SHORT_S))
        proxy.pieces(None)
        assert ask(client, 2) == own(2)


@pytest.mark.parametrize(("up", "down"), [(True, False), (False, True), (True, True)])
def test_a_time_out_holds_on_a_frozen_link(up: bool, down: bool) -> None:
    with echoing_behind_proxy() as (_, proxy), connected(proxy) as client:
        assert ask(client, 1) == own(1)
        proxy.freeze(to_server=up, to_client=down, new=True)
        timed_out(lambda: ask(client, 2, timeout=SHORT_S))
        proxy.thaw()
        assert ask(client, 3) == own(3)


def test_a_time_out_holds_while_connects_hang() -> None:
    with echoing_behind_proxy() as (_, proxy), connected(proxy) as client:
        proxy.fill_accept_queue()
        timed_out(lambda: ask(client, 1, timeout=SHORT_S))
        proxy.accept()
        assert ask(client, 2) == own(2)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_neither_ends_nor_prolongs_a_wait(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    real = time.time

    def set_clock(peer: Peer, command: Command) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + step_s)
        if command.args == [1]:
            echo(peer, command)

    server.script = on_state = first_only("get_job_state", set_clock)
    with connected(server) as client:
        assert ask(client, 1, timeout=LONG_S) == own(1)
        server.script = lambda peer, command: (
            None if command.args == [2] else on_state(peer, command)
        )
        timed_out(lambda: ask(client, 2, timeout=SHORT_S))


# -- everything at once ----------------------------------------------------------------------------

THREADS, GREENLETS, STRIKES = 100, 200, 40
TURNS = 1_000_000
"""Far more questions than anybody asks: what is added to a caller's number tells whose it is."""


class Callers:
    """Threads and greenlets that ask, and compare, until the faults are over."""

    def __init__(self, client: ProtocolClient) -> None:
        self.client = client
        self.over = threading.Event()
        self.right = 0
        self.wrong: list[Any] = []
        self._mutex = threading.Lock()

    def ask(self, caller: int) -> None:
        rng = random.Random(caller)
        for number in range(TURNS * caller, TURNS * (caller + 1)):
            self._ask_once(number, rng.choice((0.02, 5.0, 5.0)))
            if self.over.is_set():
                return
            gevent.sleep(0)

    def _ask_once(self, number: int, timeout_s: float) -> None:
        try:
            answer = ask(self.client, number, timeout=timeout_s)
        except (ProtocolError, ProtocolTimeoutError):
            return
        with self._mutex:
            self.right += answer == own(number)
            self.wrong += [] if answer == own(number) else [(number, answer)]


def strike_at_random(proxy: ChaosProxy, rng: random.Random) -> None:
    ways: list[Callable[[], object]] = [
        lambda: proxy.cut(rng.choice(list(End))),
        lambda: proxy.freeze(new=rng.random() < 0.5),
        lambda: proxy.delay(rng.choice((0.0, 0.01))),
        lambda: proxy.pieces(rng.choice((None, 1, 7))),
        lambda: proxy.truncate(rng.randrange(1, 80)),
        lambda: proxy.inject(b'{"jobs_changed": [1]}\n'),
        lambda: proxy.inject(b"this is no JSON\n"),
        proxy.refuse,
    ]
    for _ in range(STRIKES):
        for strike in rng.sample(ways, 2):
            strike()
        time.sleep(rng.uniform(0.0, 0.05))
        proxy.thaw()
        proxy.accept()
        time.sleep(rng.uniform(0.0, 0.05))
    proxy.delay(0.0)
    proxy.pieces(None)


def works(client: ProtocolClient, number: int) -> bool:
    try:
        assert ask(client, number) == own(number)
    except EXCUSED:
        return False
    return True


@pytest.mark.parametrize("waits", [True, False])
def test_100_threads_and_200_greenlets_get_their_own_answers_under_random_faults(
    waits: bool,
) -> None:
    with echoing_behind_proxy() as (_, proxy), connected(proxy, wait_for_server=waits) as client:
        callers = Callers(client)
        striking = in_thread(lambda: strike_at_random(proxy, random.Random(waits)))
        threads = [threading.Thread(target=callers.ask, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        asking = [gevent.spawn(callers.ask, THREADS + n) for n in range(GREENLETS)]
        ended = gevent.spawn(gevent.get_hub().threadpool.apply, striking.result, (2 * LONG_S,))
        ended.get()
        callers.over.set()
        gevent.joinall(asking, 2 * LONG_S, raise_error=True)
        join_all(threads)
        assert callers.wrong == []
        assert callers.right > STRIKES
        # Whatever was done to it, it works when the network does.
        await_true(lambda: works(client, 1))
        assert all(works(client, number) for number in range(50))
