"""What lies between client and server breaks, forgets and lies: a call that can be made is made."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ConnectionLostError
from tests.contract.support import in_thread, results
from tests.faults.proxy import End
from tests.faults.support import ask, connected, echoing_behind_proxy, own
from tests.transport.programs import ROOT, run
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo

SILENT_HOST = "127.0.0.2"


# -- names with several addresses --------------------------------------------------------------


@contextlib.contextmanager
def silent_host(port: int) -> Iterator[None]:
    """Another address of this machine where attempts to connect are not answered."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server((SILENT_HOST, port), backlog=0))
        while True:
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            # On loopback a connect that is not done at once waits for room in the queue.
            if not select.select([], [filler], [], 0.2)[1]:
                yield
                return


# Below whatever a program may call: `socket`, what was in it before gevent patched it, and gevent.
TWO_ADDRESSES = f"""
import _socket, socket
look_up = _socket.getaddrinfo
def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    if host not in ("two.example", b"two.example") or flags & socket.AI_NUMERICHOST:
        return look_up(host, port, family, type, proto, flags)
    hosts = ("{SILENT_HOST}", "127.0.0.1")
    return [answer for host in hosts for answer in look_up(host, port, family, type, proto, flags)]
_socket.getaddrinfo = getaddrinfo
"""


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"])
def test_the_second_address_of_a_name_is_tried_when_the_first_is_silent(patch: str) -> None:
    script = """
        client = ProtocolClient("two.example", PORT, timeout=20.0).open()
        print(client.call("get_job_state", 7))
        import gevent
        print(gevent.spawn(client.call, "get_job_state", 8).get())
        client.close()
        """
    with ScriptedServer() as server, silent_host(server.port):
        said = run(server, script, first=TWO_ADDRESSES + patch)
    assert said == f"{own(7)}\n{own(8)}\n"


# -- connections that are forgotten on the way --------------------------------------------------

# A program whose clock goes on by an hour while it does nothing.
IDLE = """
import sys, time
clock, ahead = time.monotonic, 0.0
time.monotonic = lambda: clock() + ahead
from spalloc_gevent import ProtocolClient
client = ProtocolClient(sys.argv[1], int(sys.argv[2])).open()
print(client.call("get_job_state", 1), flush=True)
sys.stdin.readline()
ahead = 3600.0
print(client.call("get_job_state", 2, timeout=20.0), flush=True)
client.close()
"""


def test_a_question_after_long_silence_is_answered_though_the_connection_is_forgotten() -> None:
    """As by a NAT, which drops what belongs to a connection that it does not know any more."""
    with (
        echoing_behind_proxy() as (server, proxy),
        subprocess.Popen(
            [sys.executable, "-c", IDLE, proxy.host, str(proxy.port)], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == f"{own(1)}\n"
        proxy.freeze()
        assert process.communicate("\n", timeout=2 * LONG_S) == (f"{own(2)}\n", "")
        assert server.counts["get_job_state"] <= 3


# -- connections that have just broken ------------------------------------------------------------


def test_a_call_right_after_a_failure_is_tried_and_not_refused_from_memory() -> None:
    with echoing_behind_proxy() as (_, proxy), connected(proxy) as client:
        for number in range(20):
            assert ask(client, number) == own(number)
            proxy.refuse()
            proxy.cut(End.FIN)
            with pytest.raises(ConnectionLostError):
                ask(client, -1)
            proxy.accept()
            assert ask(client, number) == own(number)


def test_each_call_on_a_server_that_hangs_up_is_sent_and_fails_in_its_own_words() -> None:
    names = {"list_jobs", "list_machines", "version"}
    with ScriptedServer(lambda peer, _: peer.hang_up()) as server, connected(server) as client:
        for name in sorted(names):
            with pytest.raises(ConnectionLostError) as caught:
                client.call(name)
            assert server.counts[name] >= 1
            assert not [other for other in names - {name} if other in str(caught.value)]


def test_calls_at_once_on_a_server_that_hangs_up_fail_each_in_its_own_words() -> None:
    names = ["list_jobs", "list_machines", "version"] * 3

    def fails(client: ProtocolClient, name: str) -> str:
        with pytest.raises(ConnectionLostError) as caught:
            client.call(name)
        return str(caught.value)

    with ScriptedServer(lambda peer, _: peer.hang_up()) as server, connected(server) as client:
        words = results([in_thread(partial(fails, client, name)) for name in names])
        for name, told in zip(names, words, strict=True):
            assert server.counts[name] >= 1
            assert not [other for other in set(names) - {name} if other in told]


def test_a_middlebox_that_closes_after_each_answer_costs_no_question() -> None:
    """The second try must not take another of the connections that are being closed."""

    def close_after_answer(peer: Peer, command: Command) -> None:
        echo(peer, command)
        peer.hang_up()

    def fifty(client: ProtocolClient, caller: int) -> int:
        numbers = range(50 * caller, 50 * caller + 50)
        return sum(ask(client, number) == own(number) for number in numbers)

    with ScriptedServer(close_after_answer) as server, connected(server) as client:
        callers = [in_thread(partial(fifty, client, caller)) for caller in range(8)]
        assert results(callers) == [50] * 8
