"""The proxy does what it is told, and sees what it says it sees."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import echoing_behind_proxy
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer

LINE = b'{"command": "version", "args": [], "kwargs": {}}\n'
ANSWER = b'{"return": ["version", []]}\n'


@pytest.fixture
def both() -> Iterator[tuple[ScriptedServer, ChaosProxy]]:
    with echoing_behind_proxy() as started:
        yield started


@pytest.fixture
def proxy(both: tuple[ScriptedServer, ChaosProxy]) -> ChaosProxy:
    return both[1]


def dial(proxy: ChaosProxy, timeout_s: float = LONG_S) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout_s)


def read_line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := sock.recv(1)):
        line += byte
    return line


def test_what_is_sent_comes_through_and_is_counted(proxy: ChaosProxy) -> None:
    with dial(proxy) as sock:
        for _ in range(3):
            sock.sendall(LINE)
            assert read_line(sock) == ANSWER
    proxy.wait_until(lambda: proxy.open_connections == 0)
    assert (proxy.counts["made"], proxy.counts["passed"], proxy.counts["pipelined"]) == (1, 3, 0)
    assert proxy.passages[0].client_end is End.FIN
    assert proxy.count("version") == 3


def pipeline() -> None:
    with echoing_behind_proxy() as (_, proxy), dial(proxy) as sock:
        sock.sendall(LINE + LINE)
        assert [read_line(sock), read_line(sock)] == [ANSWER, ANSWER]


def test_pipelining_is_noticed() -> None:
    with pytest.raises(AssertionError, match="two commands"):
        pipeline()


def test_a_client_that_resets_is_told_from_one_that_finishes(proxy: ChaosProxy) -> None:
    sock = dial(proxy)
    sock.sendall(LINE)
    assert read_line(sock) == ANSWER
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    proxy.wait_until(lambda: proxy.ends()[End.RST] == 1)


@pytest.mark.parametrize("end", list(End))
def test_a_cut_is_felt_on_both_sides(both: tuple[ScriptedServer, ChaosProxy], end: End) -> None:
    server, proxy = both
    with dial(proxy) as sock:
        sock.sendall(LINE)
        assert read_line(sock) == ANSWER
        assert proxy.cut(end) == 1
        if end is End.RST:
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        else:
            assert sock.recv(1) == b""
    expected = {End.FIN: "finished", End.RST: "reset"}[end]
    server.wait_until(lambda: server.peers[0].end == expected)


def test_a_server_that_owes_an_answer_is_not_reset() -> None:
    gate = threading.Event()

    def hold(peer: Peer, command: Command) -> None:
        assert gate.wait(LONG_S)
        peer.answer("at last")

    with ScriptedServer(hold) as server, ChaosProxy(server) as proxy, dial(proxy) as sock:
        sock.sendall(LINE)
        server.wait_until(lambda: server.commands)
        proxy.cut(End.RST)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        gate.set()
        server.wait_until(lambda: server.peers[0].end == "finished")


@pytest.mark.parametrize(("up", "down"), [(True, False), (False, True), (True, True)])
def test_what_is_frozen_comes_after_the_thaw(proxy: ChaosProxy, up: bool, down: bool) -> None:
    with dial(proxy) as sock:
        sock.sendall(LINE)
        assert read_line(sock) == ANSWER
        proxy.freeze(to_server=up, to_client=down)
        sock.sendall(LINE)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(LONG_S)
        proxy.thaw()
        assert read_line(sock) == ANSWER


def test_answers_come_in_single_bytes_truncated_and_injected(proxy: ChaosProxy) -> None:
    proxy.pieces(1)
    with dial(proxy) as sock:
        sock.sendall(LINE)
        assert read_line(sock) == ANSWER
        proxy.pieces(None)
        assert proxy.inject(b"hello\n") == 1
        assert read_line(sock) == b"hello\n"
        proxy.truncate(4)
        sock.sendall(LINE)
        assert read_line(sock) == ANSWER[:4]


def test_connects_are_refused_until_they_are_accepted_again(proxy: ChaosProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.accept()
    with dial(proxy) as sock:
        sock.sendall(LINE)
        assert read_line(sock) == ANSWER


def test_connects_are_accepted_and_never_answered(proxy: ChaosProxy) -> None:
    proxy.swallow()
    with dial(proxy) as sock:
        sock.sendall(LINE)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_connects_hang_while_the_accept_queue_is_full(proxy: ChaosProxy) -> None:
    proxy.fill_accept_queue()
    with pytest.raises(TimeoutError):
        dial(proxy, 0.2)
    proxy.accept()
    with dial(proxy) as sock:
        sock.sendall(LINE)
        assert read_line(sock) == ANSWER


def test_a_client_that_does_not_read_is_felt_by_the_server() -> None:
    stuck = threading.Event()

    def flood(peer: Peer, command: Command) -> None:
        peer.sock.settimeout(0.5)
        with contextlib.suppress(ConnectionError):
            try:
                for _ in range(100):
                    peer.sock.sendall(b"x" * 1_000_000)
            except TimeoutError:
                stuck.set()

    with ScriptedServer(flood) as server, ChaosProxy(server) as proxy, dial(proxy) as sock:
        sock.sendall(LINE)
        assert stuck.wait(LONG_S)
