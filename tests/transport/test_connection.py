"""One connection: made, used for one command at a time, and closed politely."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import gevent
import pytest

from spalloc_gevent.errors import ConnectionLostError, LifecycleBugError, ProtocolError
from spalloc_gevent.transport import connection as module
from spalloc_gevent.transport import native
from spalloc_gevent.transport.connection import Connection, connect
from spalloc_gevent.transport.waiting import wait_readable
from spalloc_gevent.wire.messages import ErrorReply, Notification, Reply
from spalloc_gevent.wire.requests import Request
from tests.contract.support import in_thread
from tests.transport.asking import held_until
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, first_only
from tools.real_server import free_port

VERSION = Request("version")


def late() -> float:
    return monotonic() + LONG_S


def soon() -> float:
    return monotonic() + 0.05


@pytest.fixture
def connection(server: ScriptedServer) -> Iterator[Connection]:
    made = connect(server.host, server.port, late())
    yield made
    made.close()


def in_plain_thread(work: Callable[[], Any]) -> Any:
    return in_thread(work).result(LONG_S)


def in_greenlet(work: Callable[[], Any]) -> Any:
    return gevent.spawn(work).get(timeout=LONG_S)


@pytest.fixture(params=[in_plain_thread, in_greenlet])
def somewhere(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    place: Callable[[Callable[[], Any]], Any] = request.param
    return place


Somewhere = Callable[[Callable[[], Any]], Any]

# -- one command -------------------------------------------------------------------------


def test_commands_follow_each_other(connection: Connection, somewhere: Somewhere) -> None:
    def ask() -> list[Any]:
        requests = [Request("get_job_state", (number,)) for number in range(5)]
        return [connection.exchange(request, late()) for request in requests]

    assert somewhere(ask) == [Reply(["get_job_state", [n]]) for n in range(5)]
    assert connection.has_answered
    assert not connection.owes_reply


def test_a_refusal_leaves_the_connection_in_step(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    server.script = first_only("version", lambda peer, _: peer.send({"exception": "no"}))
    replies = somewhere(lambda: [connection.exchange(VERSION, late()) for _ in range(2)])
    assert replies == [ErrorReply("no"), Reply(["version", []])]


def test_a_reply_that_is_late_is_owed_and_can_be_waited_for_again(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    gate = threading.Event()
    server.script = held_until(gate)
    assert somewhere(lambda: connection.exchange(VERSION, soon())) is None
    assert connection.owes_reply
    assert not connection.is_clean()
    with pytest.raises(LifecycleBugError):
        connection.exchange(VERSION, late())
    gate.set()
    assert somewhere(lambda: connection.reply(late())) == Reply(["version", []])
    assert connection.is_clean()


def test_a_reply_that_trickles_in_ends_with_the_deadline(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    server.script = lambda peer, _: peer.sock.sendall(b'{"retu')
    assert somewhere(lambda: connection.exchange(VERSION, soon())) is None


def test_a_reply_of_many_pieces_is_put_together(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    text = "x" * 1_000_000
    server.script = first_only("version", lambda peer, _: peer.answer(text))
    assert somewhere(lambda: connection.exchange(VERSION, late())) == Reply(text)
    assert somewhere(lambda: connection.exchange(VERSION, late())) == Reply(["version", []])


def test_a_command_of_any_size_reaches_the_server(
    connection: Connection, somewhere: Somewhere
) -> None:
    # More than socket buffers hold.
    name = "x" * 20_000_000
    request = Request("get_board_position", (name, 0, 0, 0))
    reply = somewhere(lambda: connection.exchange(request, late()))
    assert reply == Reply(["get_board_position", [name, 0, 0, 0]])


def test_a_command_that_the_server_does_not_take_ends_with_the_deadline(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    gate = threading.Event()
    server.script = held_until(gate)
    assert somewhere(lambda: connection.exchange(VERSION, soon())) is None
    ours, theirs = native.new_socket_pair()
    full = Connection(native.Socket(fileno=ours.detach()))
    request = Request("get_board_position", ("x" * 20_000_000, 0, 0, 0))
    assert somewhere(lambda: full.send(request, soon())) is False
    assert full.owes_reply
    gate.set()
    full.sock.close()
    theirs.close()


def test_notifications_before_the_reply_are_told_and_are_no_reply(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    def tell_and_answer(peer: Peer, command: Command) -> None:
        peer.send({"jobs_changed": [1]})
        peer.send({"machines_changed": ["m"]}, {"return": command.echo})

    told: list[Notification] = []
    connection.notified = told.append
    server.script = tell_and_answer
    assert somewhere(lambda: connection.exchange(VERSION, late())) == Reply(["version", []])
    assert told == [
        Notification({"jobs_changed": [1]}),
        Notification({"machines_changed": ["m"]}),
    ]


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"[1]\n", b"\xff\xfe\n"])
def test_what_no_server_may_send_is_a_protocol_error(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere, garbage: bytes
) -> None:
    server.script = lambda peer, _: peer.sock.sendall(garbage)
    with pytest.raises(ProtocolError):
        somewhere(lambda: connection.exchange(VERSION, late()))
    assert not connection.is_clean()


def test_a_reply_too_many_makes_the_connection_unclean(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    server.script = lambda peer, c: peer.send({"return": c.echo}, {"return": "one too many"})
    assert somewhere(lambda: connection.exchange(VERSION, late())) == Reply(["version", []])
    assert not connection.is_clean()


def test_a_stray_reply_on_an_idle_connection_makes_it_unclean(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.exchange(VERSION, late())
    assert connection.is_clean()
    server.peers[0].answer("stray")
    assert wait_readable(connection, late())
    assert not connection.is_clean()


def test_a_notification_on_an_idle_connection_does_no_harm(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.exchange(VERSION, late())
    server.peers[0].send({"jobs_changed": [1]})
    assert wait_readable(connection, late())
    assert connection.is_clean()


def test_a_server_that_hangs_up_is_a_broken_connection(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    server.script = lambda peer, _: peer.hang_up()
    with pytest.raises(ConnectionError):
        somewhere(lambda: connection.exchange(VERSION, late()))
    assert not connection.is_clean()


def test_a_greenlet_that_waits_for_a_reply_lets_the_others_of_its_thread_run(
    server: ScriptedServer, connection: Connection
) -> None:
    gate = threading.Event()
    server.script = held_until(gate)
    asked = gevent.spawn(connection.exchange, VERSION, late())
    gevent.spawn(gate.set)
    assert asked.get(timeout=LONG_S) == Reply(["version", []])


# -- the end -----------------------------------------------------------------------------


def test_a_close_is_polite_and_reads_to_the_end(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    connection.exchange(VERSION, late())
    server.peers[0].send(*[{"jobs_changed": [n]} for n in range(1000)])
    somewhere(connection.close)
    assert connection.is_closed
    server.wait_until(lambda: server.peers[0].end)
    assert server.peers[0].end == "finished"
    connection.close()


def test_a_close_with_a_command_in_flight_is_polite(
    server: ScriptedServer, connection: Connection, somewhere: Somewhere
) -> None:
    server.script = lambda *_: None
    assert somewhere(lambda: connection.exchange(VERSION, soon())) is None
    somewhere(connection.close)
    server.wait_until(lambda: server.peers[0].end)
    assert server.peers[0].end == "finished"


def test_one_that_is_lost_to_an_interruption_is_told_of_once() -> None:
    ours, theirs = native.new_socket_pair()
    told: list[tuple[int, bool]] = []
    connection = Connection(native.Socket(fileno=ours.detach()))
    number = connection.number

    def dropped(lost: Connection) -> None:
        told.append((lost.number, lost.is_closed))
        lost.dropped = None
        lost.sock.close()

    connection.dropped = dropped
    del connection
    assert told == [(number, False)]
    theirs.close()


# -- making one --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_names_and_addresses_of_both_kinds_are_connected_to(
    host: str, somewhere: Somewhere
) -> None:
    with ScriptedServer(host="127.0.0.1" if host == "localhost" else host) as server:

        def ask() -> Any:
            connection = connect(host, server.port, late())
            reply = connection.exchange(VERSION, late())
            connection.close()
            return reply

        assert somewhere(ask) == Reply(["version", []])


def test_a_server_that_is_not_there_is_named_with_its_port(somewhere: Somewhere) -> None:
    port = free_port()
    with pytest.raises(ConnectionLostError, match=f"server at 127.0.0.1:{port}: .*refused"):
        somewhere(lambda: connect("127.0.0.1", port, late()))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 300, "bücher..invalid"])
def test_a_host_that_has_no_address_is_a_lost_connection(host: str, somewhere: Somewhere) -> None:
    with pytest.raises(ConnectionLostError, match="cannot connect to the spalloc server at"):
        somewhere(lambda: connect(host, 1, late()))


def test_a_look_up_of_a_name_holds_up_no_greenlet(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    look_up = native.getaddrinfo

    def slow(host: Any, port: int, *rest: Any) -> Any:
        if host == b"a-name":
            if socket.AI_NUMERICHOST in rest:
                raise socket.gaierror
            assert gate.wait(LONG_S)
            host = server.host
        return look_up(host, port, *rest)

    monkeypatch.setattr(native, "getaddrinfo", slow)
    connecting = gevent.spawn(connect, "a-name", server.port, late())
    gevent.spawn(gate.set)
    connecting.get(timeout=LONG_S).close()


def test_a_port_that_leads_to_itself_is_a_refused_connection(
    monkeypatch: pytest.MonkeyPatch, somewhere: Somewhere
) -> None:
    # What the kernel does, rarely, with a port of its own range.
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
        bound = native.Socket(fileno=own.detach())
    monkeypatch.setattr(native, "Socket", lambda *_: bound)
    with pytest.raises(ConnectionLostError, match="refused"):
        somewhere(lambda: connect("127.0.0.1", port, late()))
    assert bound.fileno() < 0


def test_one_address_that_does_not_answer_leaves_time_for_the_others(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    addresses = [(*family, ("127.0.0.1", 1)), (*family, (server.host, server.port))]
    tried: list[Any] = []
    connected = module._connected

    def silent(address: Any, deadline: float) -> Any:
        tried.append((address[4][1], deadline))
        if address[4][1] == 1:
            raise TimeoutError("no answer")
        return connected(address, deadline)

    monkeypatch.setattr(module, "_addresses", lambda *_: addresses)
    monkeypatch.setattr(module, "_connected", silent)
    until = monotonic() + 4.0
    connect("two-addresses", server.port, until).close()
    assert [port for port, _ in tried] == [1, server.port]
    assert tried[0][1] < until - 1.0 < tried[1][1]


def test_an_attempt_that_nobody_answers_ends_with_the_deadline(somewhere: Somewhere) -> None:
    # A full backlog: the kernel takes no more connections, and says nothing.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(8):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
            waiting.append(other)
        with pytest.raises(ConnectionLostError, match="no answer to the connection attempt"):
            somewhere(lambda: connect("127.0.0.1", port, monotonic() + 0.2))
        for other in waiting:
            other.close()
