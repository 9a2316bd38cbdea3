"""Whatever a client does, and whenever it dies, the server goes on, and so does the client."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.transport import pool
from spalloc_gevent.transport.connection import Connection, connect
from spalloc_gevent.transport.growers import MOST_GROWING
from spalloc_gevent.transport.notification_queue import MOST_KEYS, MOST_UNREAD
from spalloc_gevent.transport.pool import DEFAULT_LIMIT
from spalloc_gevent.transport.waiting import sleep
from tests.conftest import MakeRealServer
from tests.faults.proxy import ChaosProxy, Where
from tests.faults.support import ask, client_of, connected, own
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo, first_only
from tools.costs import own_heap_kib
from tools.real_machine import machine_with_boards
from tools.real_server import REAL_VERSION
from tools.real_server import ask as ask_directly

ROOT = Path(__file__).resolve().parents[2]
KILLS = 6


# -- the client dies ------------------------------------------------------------------------


def start_busy(server: Where) -> subprocess.Popen[bytes]:
    """A program of 100 greenlets with a job each, once all of them are asking."""
    program = [sys.executable, str(ROOT / "tests" / "faults" / "busy_client.py")]
    process = subprocess.Popen([*program, server.host, str(server.port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"busy\n"
    return process


@pytest.mark.real_server
def test_the_real_server_outlives_clients_that_are_killed_amid_their_calls(
    make_real_server: MakeRealServer,
) -> None:
    server = make_real_server([machine_with_boards(150)])
    with ChaosProxy(server) as proxy:
        for kill in range(KILLS):
            process = start_busy(proxy if kill % 2 else server)
            process.kill()
            process.wait()
            assert ask_directly(server.host, server.port, "version") == REAL_VERSION
            for job_id in jobs_of(server):
                ask_directly(server.host, server.port, "destroy_job", job_id)


def jobs_of(server: Where) -> list[int]:
    with connected(server) as client:
        return [job["job_id"] for job in client.list_jobs()]


# -- the client does not read -----------------------------------------------------------------

SUBSCRIBER = """
import sys, time
from spalloc_gevent import ProtocolClient
client = ProtocolClient(sys.argv[1], int(sys.argv[2])).open()
client.notify_job()
client.notify_machine()
print("subscribed", flush=True)
{busy}
"""
BUSY = {
    "sleeps": "time.sleep(600)",
    "burns": "while True: sum(n * n for n in range(10_000))",
    "is patched and blocks": "import subprocess; subprocess.run(['sleep', '600'])",
}
CHANGES = 1000


@pytest.mark.real_server
@pytest.mark.parametrize("busy", list(BUSY))
def test_a_subscriber_that_never_reads_its_notifications_does_not_stall_the_real_server(
    make_real_server: MakeRealServer, busy: str
) -> None:
    server = make_real_server()
    first = "from gevent import monkey; monkey.patch_all()" if "patched" in busy else ""
    program = first + SUBSCRIBER.format(busy=BUSY[busy])
    arguments = [sys.executable, "-c", program, server.host, str(server.port)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as subscriber:
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == b"subscribed\n"
        with connected(server) as client:
            for _ in range(CHANGES):
                client.destroy_job(client.create_job(1, owner="me", keepalive=60.0))
        subscriber.kill()


def test_a_flood_of_unread_notifications_takes_bounded_memory() -> None:
    told, most = threading.Event(), 300_000

    def flood(peer: Peer, command: Command) -> None:
        echo(peer, command)
        for start in range(0, most, 1000):
            peer.send(*({"jobs_changed": [n], "x": "y" * 50} for n in range(start, start + 1000)))
        told.set()

    with ScriptedServer(first_only("notify_job", flood)) as server, connected(server) as client:
        before_kib = own_heap_kib()
        client.notify_job()
        assert told.wait(2 * LONG_S)
        # Whatever the socket still held has been read when this is confirmed.
        client.notify_machine()
        assert own_heap_kib() - before_kib < 24 * 1024
        unread = list(iter(lambda: client.wait_for_notification(-1), None))
        assert len(unread) <= MOST_UNREAD + 1
        assert unread[-1] is not None
        assert unread[-1]["jobs_changed"] == list(range(most - MOST_KEYS, most))


def in_another_thread(wait: Callable[[], None]) -> None:
    """Wait there; the greenlets of this one go on."""
    gevent.get_hub().threadpool.apply(wait)


# -- the client comes in crowds ----------------------------------------------------------------


def test_a_crowd_of_callers_makes_no_more_connects_at_once_than_a_backlog_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One is made by the first caller, the others in the background.
    most_allowed = 1 + MOST_GROWING
    in_the_making: list[int] = []
    seen: list[int] = []

    def held_up(host: str, port: int, deadline: float) -> Connection:
        in_the_making.append(port)
        seen.append(len(in_the_making))
        while max(seen) < most_allowed:
            sleep(0.001)
        connection = connect(host, port, deadline)
        in_the_making.pop()
        return connection

    monkeypatch.setattr(pool, "connect", held_up)
    with ScriptedServer() as server, connected(server) as client:
        crowd = [gevent.spawn(ask, client, n) for n in range(300)]
        gevent.joinall(crowd, LONG_S, raise_error=True)
        assert [greenlet.value for greenlet in crowd] == [own(n) for n in range(300)]
    assert max(seen) == most_allowed
    assert len(seen) <= DEFAULT_LIMIT


@pytest.mark.real_server
def test_a_crowd_of_clients_is_served_by_the_real_server(make_real_server: MakeRealServer) -> None:
    server = make_real_server()
    versions: list[str] = []

    def one() -> None:
        with connected(server) as client:
            versions.append(client.version())

    threads = [threading.Thread(target=one) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LONG_S)
    assert versions == [REAL_VERSION] * 60


# -- the server is down --------------------------------------------------------------------------


DELAY_S = 0.2
AT_ONCE = DEFAULT_LIMIT + MOST_GROWING
"""Attempts that the crowd asks for before any of it has noticed that they lead nowhere."""
WATCHED = AT_ONCE + 8


def answer_or_error(client: ProtocolClient, number: int) -> Any:
    try:
        return ask(client, number)
    except ConnectionLostError as error:
        return error


def test_a_crowd_that_waits_for_a_server_that_is_down_tries_it_with_the_delay() -> None:
    down = ScriptedServer()
    # It accepts, finds nobody behind it, and resets: each attempt is counted.
    with ChaosProxy(down) as proxy:
        client = client_of(proxy, wait_for_server=True)
        client.session.pool.backoff.set_delay(DELAY_S)
        began = time.monotonic()
        crowd = [gevent.spawn(answer_or_error, client, n) for n in range(200)]
        in_another_thread(lambda: proxy.wait_until(lambda: proxy.counts["made"] >= WATCHED))
        assert time.monotonic() - began >= (WATCHED - AT_ONCE) * DELAY_S
        with down:
            gevent.joinall(crowd, LONG_S, raise_error=True)
            told = [greenlet.value for greenlet in crowd]
            # A command that cost too many connections is not sent again.
            assert all(
                answer == own(n) or isinstance(answer, ConnectionLostError)
                for n, answer in enumerate(told)
            )
            assert any(answer == own(n) for n, answer in enumerate(told))
            client.close()
