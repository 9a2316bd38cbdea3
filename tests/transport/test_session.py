"""Calls of one server: what is asked again and what is not, a server that is away, the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import gevent
import pytest

from spalloc_gevent.errors import (
    ClosedError,
    ConnectionLostError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.protocol_client import ProtocolClient
from spalloc_gevent.transport.session import MOST_SENDS, ServerSession
from spalloc_gevent.wire.messages import value_of
from spalloc_gevent.wire.requests import Request
from tests.contract.support import await_true, in_thread
from tests.transport.asking import SessionWith, ask, call, echo_of, hang_up, held_until, state_of
from tests.transport.scripted_server import (
    LONG_S,
    Command,
    Peer,
    Script,
    ScriptedServer,
    echo,
    first_only,
)
from tools.real_server import free_port

Asking = Callable[[ServerSession, Request], Callable[[], Any]]


@pytest.fixture(params=["a thread", "a greenlet"])
def asking(request: pytest.FixtureRequest) -> Asking:
    """Has a request called by a thread or a greenlet; a function that returns what came of it."""

    def in_greenlet(session: ServerSession, request: Request) -> Any:
        return gevent.spawn(call, session, request).get(timeout=LONG_S)

    work = call if request.param == "a thread" else in_greenlet

    def asking(session: ServerSession, request: Request) -> Callable[[], Any]:
        asked: Future[Any] = in_thread(lambda: work(session, request))
        return lambda: asked.result(LONG_S)

    return asking


def test_nothing_connects_before_it_is_needed(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    assert session.connections == 0
    session.close()
    assert server.peers == []


def test_a_refusal_is_raised_and_the_connection_used_again(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    session = session_with(server)
    server.script = first_only("get_job_state", lambda peer, _: peer.send({"exception": "no!"}))
    with pytest.raises(SpallocServerException, match="no!"):
        asking(session, state_of(1))()
    assert asking(session, state_of(2))() == echo_of(2)
    assert len(server.peers) == 1


# -- connections that break --------------------------------------------------------------


def garbage(peer: Peer, _command: Command) -> None:
    peer.sock.sendall(b"this is no JSON\n")


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("fault", [hang_up, garbage])
def test_a_question_whose_connection_breaks_is_asked_again(
    server: ScriptedServer, session_with: SessionWith, asking: Asking, fault: Script, fresh: bool
) -> None:
    server.script = first_only("get_job_state", fault)
    session = session_with(server)
    if not fresh:
        call(session, Request("version"))
    assert asking(session, state_of(1))() == echo_of(1)
    assert server.counts["get_job_state"] == 2


@pytest.mark.parametrize("said", [b"\xff\xfe\n", b"[]\n", b"[" * 9999 + b"\n"])
def test_whatever_garbage_comes_the_question_is_asked_again(
    server: ScriptedServer, session_with: SessionWith, said: bytes
) -> None:
    server.script = first_only("get_job_state", lambda peer, _: peer.sock.sendall(said))
    assert ask(session_with(server), 1) == echo_of(1)
    assert server.counts["get_job_state"] == 2


def test_garbage_without_end_is_a_protocol_error(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    server.script = garbage
    with pytest.raises(ProtocolError, match="answered 'get_job_state' with nonsense"):
        ask(session_with(server), 1)
    assert server.counts["get_job_state"] == 2


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("name", ["create_job", "power_on_job_boards", "power_off_job_boards"])
def test_what_must_not_happen_twice_is_never_sent_again(
    server: ScriptedServer, session_with: SessionWith, name: str, fresh: bool
) -> None:
    server.script = first_only(name, hang_up)
    session = session_with(server)
    if not fresh:
        call(session, Request("version"))
    kwargs = {"owner": "me"} if name == "create_job" else {"job_id": 1}
    with pytest.raises(ConnectionLostError, match=f"{name!r}.*may or may not") as caught:
        call(session, Request(name, (), kwargs))
    assert caught.value.may_have_happened
    assert ask(session, 1) == echo_of(1)
    assert server.counts[name] == 1


def test_a_question_that_costs_every_connection_is_not_asked_for_ever(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    session = session_with(server)
    call(session, Request("version"))
    server.script = hang_up
    with pytest.raises(ConnectionLostError, match="sending it again did not help"):
        asking(session, state_of(1))()
    assert server.counts["get_job_state"] == MOST_SENDS


def test_a_server_that_closes_every_new_connection_counts_as_away(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    """As that behind a tunnel or a proxy, which takes connections for it."""
    server.script = hang_up
    session = session_with(server)
    session.pool.backoff.set_delay(0.1)
    with pytest.raises(ConnectionLostError):
        ask(session, 1)
    waiting = asking(session, state_of(2, wait_for_server=True))
    server.wait_until(lambda: server.counts["get_job_state"] > 3 * MOST_SENDS)
    server.script = echo
    assert waiting() == echo_of(2)


def test_one_lost_new_connection_does_not_fail_the_calls_of_others(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    server.script = first_only("create_job", hang_up)
    session = session_with(server)
    lost = gevent.spawn(call, session, Request("create_job", (), {"owner": "me"}))
    others = [gevent.spawn(ask, session, n) for n in range(40)]
    gevent.joinall([lost], LONG_S)
    gevent.joinall(others, LONG_S)
    assert isinstance(lost.exception, ConnectionLostError)
    assert [greenlet.value for greenlet in others] == [echo_of(n) for n in range(40)]


def test_an_unknown_command_travels_on_a_connection_of_its_own(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    server.script = first_only("dance", hang_up)
    session = session_with(server)
    ask(session, 1)
    with pytest.raises(ConnectionLostError, match="'dance'"):
        asking(session, Request("dance"))()
    assert ask(session, 2) == echo_of(2)
    assert [[c.name for c in peer.commands] for peer in server.peers] == [
        ["get_job_state", "get_job_state"],
        ["dance"],
    ]


# -- a server that is away ---------------------------------------------------------------


def test_a_call_that_does_not_wait_for_the_server_fails_naming_host_and_port(
    session_with: SessionWith,
) -> None:
    away = ScriptedServer()
    session = session_with(away)
    for _ in range(3):
        with pytest.raises(ConnectionLostError, match=f"127.0.0.1:{away.port}") as caught:
            ask(session, 1)
        assert not caught.value.may_have_happened
        assert isinstance(caught.value, OSError)


def test_calls_that_wait_for_the_server_go_out_when_it_is_back(
    session_with: SessionWith, asking: Asking
) -> None:
    server = ScriptedServer()
    session = session_with(server)
    session.pool.backoff.set_delay(0.1)
    with pytest.raises(ConnectionLostError):
        ask(session, 1)
    requests = [state_of(n, wait_for_server=True) for n in range(20)]
    waiting = [asking(session, request) for request in requests]
    # One connects for itself, and for the others.
    await_true(lambda: session.pool.waiting >= 19)
    with server:
        assert [outcome() for outcome in waiting] == [echo_of(n) for n in range(20)]
        session.close()


def test_a_call_whose_time_is_up_says_why_the_server_cannot_be_reached(
    session_with: SessionWith,
) -> None:
    with pytest.raises(ProtocolTimeoutError, match="cannot connect to the spalloc server"):
        call(session_with(ScriptedServer()), state_of(1, wait_for_server=True), 0.2)


def test_calls_work_again_after_the_server_was_restarted(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    assert ask(session, 1) == echo_of(1)
    server.stop()
    with pytest.raises(ConnectionLostError):
        ask(session, 2)
    server.start()
    assert call(session, state_of(3, wait_for_server=True)) == echo_of(3)
    assert ask(session, 4) == echo_of(4)


def test_a_connection_that_ended_while_it_was_idle_costs_no_question(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    session = session_with(server)
    ask(session, 0)
    server.peers[0].hang_up()
    server.wait_until(lambda: server.peers[0].end)
    assert asking(session, state_of(1))() == echo_of(1)
    assert server.counts["get_job_state"] == 2


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300])
def test_a_host_without_an_address_is_named(host: str, session_with: SessionWith) -> None:
    nowhere = ScriptedServer(host=host, port=free_port())
    with pytest.raises(ConnectionLostError, match="cannot connect to the spalloc server") as caught:
        ask(session_with(nowhere), 1)
    assert host in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ipv4_and_ipv6_are_spoken(host: str, session_with: SessionWith) -> None:
    with ScriptedServer(host=host) as server:
        session = session_with(server)
        assert ask(session, 1) == echo_of(1)
        session.close()


# -- keepalives --------------------------------------------------------------------------


def keep_alive(session: ServerSession, number: int, patience_s: float) -> Any:
    """What the server answers to a keepalive; None if another connection is quicker."""
    request = state_of(number)
    reply = session.background.run(session.keep_alive, request, patience_s)
    return None if reply is None else value_of(request.name, reply)


def test_a_keepalive_leaves_a_frozen_connection_for_another(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    session = session_with(server)
    assert keep_alive(session, 1, 0.1) is None
    assert keep_alive(session, 1, LONG_S) == echo_of(1)
    assert len(server.peers) == 2
    gate.set()
    session.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}


def test_a_keepalive_waits_for_a_server_that_is_slow_on_every_connection(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    gate = threading.Event()
    server.script = held_until(gate)
    session = session_with(server)
    asked = in_thread(lambda: keep_alive(session, 1, 0.05))
    # Another connection is tried meanwhile.
    server.wait_until(lambda: server.counts["version"])
    gate.set()
    assert asked.result(LONG_S) == echo_of(1)
    assert server.counts["get_job_state"] == 1


# -- the end -----------------------------------------------------------------------------


def test_every_connection_is_closed_politely(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    gevent.joinall([gevent.spawn(ask, session, n) for n in range(40)], LONG_S, raise_error=True)
    session.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}
    with pytest.raises(ClosedError):
        ask(session, 1)


def test_a_connection_that_owes_a_reply_is_closed_politely(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    session = session_with(server)
    with pytest.raises(ProtocolTimeoutError, match=r"did not answer 'get_job_state' in 0\.1 s"):
        ask(session, 1, 0.1)
    session.close(0.0)
    gate.set()
    server.wait_until(lambda: server.peers[0].end)
    assert server.peers[0].end == "finished"


def test_closing_fails_those_who_wait_and_those_who_come_later(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    gate = threading.Event()
    server.script = held_until(gate)
    session = session_with(server, limit=1)
    first = asking(session, state_of(0))
    server.wait_until(lambda: server.commands)
    waiting = [asking(session, state_of(n)) for n in (1, 2)]
    await_true(lambda: session.pool.waiting == 2)
    session.close(0.0)
    for outcome in waiting:
        with pytest.raises(ClosedError, match="before 'get_job_state' was sent"):
            outcome()
    gate.set()
    # What was in flight is still answered.
    assert first() == echo_of(0)
    with pytest.raises(ClosedError):
        ask(session, 9)
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}


def test_a_call_that_is_never_answered_ends_with_the_close(
    server: ScriptedServer, session_with: SessionWith, asking: Asking
) -> None:
    session = session_with(server)
    server.script = lambda *_: None
    asked = asking(session, state_of(1))
    server.wait_until(lambda: server.commands)
    session.close(0.0)
    with pytest.raises(ClosedError, match="while 'get_job_state' was in flight"):
        asked()


def test_a_client_whose_server_was_restarted_is_served_again(server: ScriptedServer) -> None:
    client = ProtocolClient(server.host, server.port, LONG_S, wait_for_server=True)
    with client:
        server.stop()
        server.start()
        assert in_thread(client.version).result(LONG_S)
