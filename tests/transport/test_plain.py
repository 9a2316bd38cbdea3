"""One blocking connection in the caller's own thread, against servers that misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from spalloc_gevent.engine.plain import PlainConnection
from spalloc_gevent.errors import (
    ConnectionLostError,
    ProtocolTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.plain_client import PlainClient
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo, first_only
from tools.real_server import free_port


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started


def client_of(server: ScriptedServer, timeout: float | None = LONG_S) -> PlainClient:
    return PlainClient(server.host, server.port, timeout)


def listed(client: PlainClient) -> Any:
    """What the server returns for list_jobs, whatever its shape."""
    return client.list_jobs()


def silence(peer: Peer, command: Command) -> None:
    """No answer at all."""


def test_commands_follow_each_other_over_one_connection_that_is_closed_politely(
    server: ScriptedServer,
) -> None:
    with client_of(server) as client:
        answers: list[Any] = [client.list_jobs(), client.list_machines()]
    assert answers == [["list_jobs", []], ["list_machines", []]]
    server.wait_until(lambda: server.peers[0].end)
    assert [(peer.end, peer.sent_early) for peer in server.peers] == [("finished", 0)]


def test_nothing_connects_before_the_first_command(server: ScriptedServer) -> None:
    client_of(server).close()
    assert server.peers == []


def test_a_late_answer_goes_to_nobody_and_the_next_command_has_a_connection_of_its_own(
    server: ScriptedServer,
) -> None:
    server.script = first_only("list_jobs", silence)
    with client_of(server, timeout=0.05) as client:
        with pytest.raises(ProtocolTimeoutError, match=r"did not answer 'list_jobs' in 0\.05 s"):
            client.list_jobs()
        server.peers[0].answer("late")
        answer: Any = client.list_machines(timeout=LONG_S)
    assert answer == ["list_machines", []]
    assert [peer.number for peer in server.peers if peer.commands] == [1, 2]


def test_an_answer_that_trickles_in_ends_with_the_time_out(server: ScriptedServer) -> None:
    def trickle(peer: Peer, command: Command) -> None:
        peer.sock.sendall(b'{"retu')

    server.script = trickle
    with client_of(server, timeout=0.05) as client, pytest.raises(ProtocolTimeoutError):
        client.list_jobs()


def test_a_server_that_hangs_up_is_a_lost_connection_and_the_next_command_connects_again(
    server: ScriptedServer,
) -> None:
    server.script = first_only("list_jobs", lambda peer, _: peer.hang_up())
    with client_of(server) as client:
        with pytest.raises(ConnectionLostError, match="broke before 'list_jobs' was answered") as e:
            client.list_jobs()
        assert e.value.may_have_happened
        assert listed(client) == ["list_jobs", []]


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"[1]\n", b"\xff\xfe\n", b'{"return": 1}\n' * 2]
)
def test_what_no_server_may_send_is_a_lost_connection_or_an_answer(
    server: ScriptedServer, garbage: bytes
) -> None:
    server.script = lambda peer, _: peer.sock.sendall(garbage)
    with client_of(server) as client, pytest.raises(ConnectionLostError, match="'list_jobs'"):
        client.list_jobs()


def test_a_notification_before_the_answer_is_passed_over(server: ScriptedServer) -> None:
    def told_first(peer: Peer, command: Command) -> None:
        peer.send({"jobs_changed": [1]}, {"return": command.name})

    server.script = told_first
    with client_of(server) as client:
        assert client.version() == "version"


def test_a_refusal_leaves_the_connection_in_step(server: ScriptedServer) -> None:
    server.script = first_only("list_jobs", lambda peer, _: peer.send({"exception": "no"}))
    with client_of(server) as client:
        with pytest.raises(SpallocServerException, match="the server refused 'list_jobs': no"):
            client.list_jobs()
        assert listed(client) == ["list_jobs", []]
    assert len(server.peers) == 1


def test_a_server_that_is_not_there_is_named_with_its_port() -> None:
    port = free_port()
    with (
        PlainClient("127.0.0.1", port, 5.0) as client,
        pytest.raises(ConnectionLostError, match=f"server at 127.0.0.1:{port}: .*refused"),
    ):
        client.version()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 300])
def test_a_host_that_has_no_address_is_a_lost_connection(host: str) -> None:
    with PlainClient(host, 1, 5.0) as client, pytest.raises(ConnectionLostError, match="server at"):
        client.version()


def test_a_server_at_an_ipv6_address_is_reached() -> None:
    with ScriptedServer(host="::1") as server, client_of(server) as client:
        assert listed(client) == ["list_jobs", []]


def test_an_answer_of_many_pieces_is_put_together(server: ScriptedServer) -> None:
    long = ["x" * 1000] * 1000
    server.script = lambda peer, _: peer.answer(long)
    with client_of(server, timeout=None) as client:
        assert listed(client) == long


def test_a_port_that_leads_to_itself_is_a_refused_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the kernel does, rarely, with a port of its own range.
    import socket

    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
        bound = own.dup()
    monkeypatch.setattr(socket, "socket", lambda *_: bound)
    connection = PlainConnection("127.0.0.1", port)
    with closing(connection), pytest.raises(ConnectionLostError, match="refused"):
        connection.ask("version", b"{}\n", 5.0)


def test_ctrl_c_in_the_middle_hangs_up_politely(server: ScriptedServer) -> None:
    answering = threading.Event()
    server.script = lambda _peer, _command: answering.set()
    program = (
        "import sys; from spalloc_gevent.plain_client import PlainClient\n"
        "client = PlainClient(sys.argv[1], int(sys.argv[2]))\n"
        "try: client.list_jobs()\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    argv = [sys.executable, "-c", program, server.host, str(server.port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert answering.wait(LONG_S)
        os.kill(process.pid, signal.SIGINT)
        server.wait_until(lambda: server.peers[0].end)
        said, _ = process.communicate()
    assert (said, process.returncode) == ("interrupted\n", 0)
    assert server.peers[0].end == "finished"


def test_it_needs_no_gevent(server: ScriptedServer) -> None:
    program = (
        "import sys; from spalloc_gevent.plain_client import PlainClient\n"
        "with PlainClient(sys.argv[1], int(sys.argv[2])) as client: client.list_jobs()\n"
        "print([name for name in ('gevent', 'greenlet', 'threading') if name in sys.modules])"
    )
    argv = [sys.executable, "-c", program, server.host, str(server.port)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_echo_is_an_answer_like_any_other(server: ScriptedServer) -> None:
    server.script = echo
    with client_of(server) as client:
        answer: Any = client.where_is(machine="m", chip_x=1, chip_y=2)
    assert answer == ["where_is", ["m", 1, 2]]
