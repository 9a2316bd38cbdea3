"""A few connections for many threads and greenlets: everyone has their own answer, and a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import pytest

from spalloc_gevent.errors import ProtocolTimeoutError
from spalloc_gevent.transport import pool
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.growers import MOST_GROWING
from spalloc_gevent.transport.pool import DEFAULT_LIMIT
from spalloc_gevent.transport.session import ServerSession
from spalloc_gevent.transport.waiting import wait_readable
from spalloc_gevent.wire.requests import Request
from tests.contract.support import await_true, in_thread, results
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


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end at the latest, so that nobody is held for ever."""
    event = threading.Event()
    yield event
    event.set()


def give_time_to_wait(session: ServerSession, count: int) -> None:
    """Return once so many wait for a connection."""
    await_true(lambda: session.pool.waiting >= count)


def connect_often(session: ServerSession, server: ScriptedServer, count: int) -> None:
    """Have so many connections made, by threads that are all in the middle of a call."""
    together = threading.Barrier(count)
    before = server.script

    def answer_together(peer: Peer, command: Command) -> None:
        if command.name == "list_machines":
            together.wait(LONG_S)
        echo(peer, command)

    server.script = answer_together
    results([in_thread(lambda: call(session, Request("list_machines"))) for _ in range(count)])
    server.script = before


# -- one command in flight ---------------------------------------------------------------


def test_200_greenlets_never_have_two_commands_in_flight_on_a_connection(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    def echo_when_many_wait(peer: Peer, command: Command) -> None:
        server.wait_until(lambda: len(server.commands) >= MOST_GROWING)
        peer.sent_early += peer.has_more_to_read()
        echo(peer, command)

    server.script = echo_when_many_wait
    session = session_with(server)
    asked = [gevent.spawn(lambda n: [ask(session, n) for _ in range(5)], n) for n in range(200)]
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in asked] == [[echo_of(n)] * 5 for n in range(200)]
    assert [peer.sent_early for peer in server.peers] == [0] * len(server.peers)
    assert server.counts["get_job_state"] == 1000


def test_native_threads_and_greenlets_get_their_own_answers_at_once(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)

    def work(number: int) -> list[Any]:
        asked = [gevent.spawn(ask, session, number + n) for n in range(5)] if number % 20 else []
        plain = ask(session, number)
        gevent.joinall(asked, LONG_S, raise_error=True)
        return [plain, *(greenlet.value for greenlet in asked)]

    numbers = range(0, 200, 10)
    answers = results([in_thread(lambda n=number: work(n)) for number in numbers])  # type: ignore[misc]
    for number, answer in zip(numbers, answers, strict=True):
        expected = [number, *range(number, number + 5)] if number % 20 else [number]
        assert answer == [echo_of(n) for n in expected]


def test_threads_that_come_and_go_get_their_own_answers(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server, limit=2)

    def work(number: int) -> bool:
        numbers = range(1000 * number, 1000 * number + 100 * number)
        return all(ask(session, n) == echo_of(n) for n in numbers)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))
    assert all(peer.sent_early == 0 for peer in server.peers)


def test_a_crowd_of_threads_uses_no_more_connections_than_the_pool_has(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server, limit=4)

    def work(number: int) -> bool:
        return all(ask(session, 100 * number + n) == echo_of(100 * number + n) for n in range(100))

    with ThreadPoolExecutor(32) as crowd:
        assert all(crowd.map(work, range(32)))
    assert len(server.peers) <= 4
    assert all(peer.sent_early == 0 for peer in server.peers)


@pytest.mark.parametrize("fault", [hang_up, lambda peer, _: peer.sock.sendall(b"no JSON\n")])
def test_a_crowd_whose_connections_break_is_answered_all_the_same(
    server: ScriptedServer, session_with: SessionWith, fault: Script
) -> None:
    session = session_with(server, limit=4)
    connect_often(session, server, 3)
    server.script = first_only("get_job_state", fault)
    asked = [in_thread(lambda n=number: ask(session, n)) for number in range(40)]  # type: ignore[misc]
    assert results(asked) == [echo_of(n) for n in range(40)]


# -- growing and shrinking ---------------------------------------------------------------


def test_the_pool_grows_to_its_limit_and_not_beyond(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    def hold_all_but_the_first(peer: Peer, command: Command) -> None:
        assert len(peer.commands) == 1 or gate.wait(LONG_S)
        echo(peer, command)

    server.script = hold_all_but_the_first
    session = session_with(server)
    asked = [in_thread(lambda n=number: ask(session, n)) for number in range(60)]  # type: ignore[misc]
    held = 2 * DEFAULT_LIMIT
    server.wait_until(lambda: len(server.commands) == held)
    assert server.open_connections == DEFAULT_LIMIT
    assert session.connections == DEFAULT_LIMIT
    gate.set()
    assert results(asked) == [echo_of(n) for n in range(60)]
    assert len(server.peers) == DEFAULT_LIMIT


def test_one_thread_that_calls_beside_the_background_has_one_connection_made(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    session.background.start()
    assert in_thread(lambda: [ask(session, n) for n in range(20)]).result(LONG_S)
    assert len(server.peers) == 1


def test_connections_that_nobody_needs_any_more_are_closed_politely(
    server: ScriptedServer, session_with: SessionWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_with(server)
    connect_often(session, server, 4)
    assert server.open_connections == 4
    monkeypatch.setattr(pool, "UNUSED_FOR_S", 0.2)

    def ask_once_more() -> bool:
        return ask(session, 7) == echo_of(7) and server.open_connections == 1

    await_true(ask_once_more)
    assert {peer.end for peer in server.peers} == {None, "finished"}


def test_a_connection_that_was_not_used_for_long_is_not_used_again(
    server: ScriptedServer, session_with: SessionWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between may have forgotten it, and would answer with silence."""
    session = session_with(server)
    assert ask(session, 1) == echo_of(1)
    (connection,) = session.pool._idle
    connection.used_at -= pool.UNUSED_FOR_S
    assert ask(session, 2) == echo_of(2)
    assert [command.connection for command in server.commands] == [1, 2]


def test_a_new_connection_is_used_only_once_it_answers_where_others_serve(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    """One may be a place in the backlog of a server that takes no more."""

    def silent_on_new_ones(peer: Peer, command: Command) -> None:
        assert peer.number == 1 or gate.wait(LONG_S)
        echo(peer, command)

    session = session_with(server)
    assert ask(session, 0) == echo_of(0)
    server.script = silent_on_new_ones
    asked = [in_thread(lambda n=number: ask(session, n)) for number in range(200)]  # type: ignore[misc]
    assert results(asked) == [echo_of(n) for n in range(200)]
    asking = {c.connection for c in server.commands if c.name == "get_job_state"}
    assert asking == {1}


# -- callers who give up -----------------------------------------------------------------


def give_up_by_timeout(session: ServerSession, server: ScriptedServer) -> None:
    with pytest.raises(ProtocolTimeoutError, match=r"did not answer 'get_job_state' in 0\.2 s"):
        ask(session, 1, 0.2)


def give_up_in_a_thread(session: ServerSession, server: ScriptedServer) -> None:
    with pytest.raises(ProtocolTimeoutError):
        in_thread(lambda: ask(session, 1, 0.2)).result(LONG_S)


def give_up_by_gevent_timeout(session: ServerSession, server: ScriptedServer) -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
        ask(session, 1)


def give_up_by_kill(session: ServerSession, server: ScriptedServer) -> None:
    greenlet = gevent.spawn(ask, session, 1)
    while not server.counts["get_job_state"]:
        gevent.sleep(0.005)
    greenlet.kill()


GiveUp = Callable[[ServerSession, ScriptedServer], None]
give_up_somehow = pytest.mark.parametrize(
    "give_up", [give_up_by_timeout, give_up_in_a_thread, give_up_by_gevent_timeout, give_up_by_kill]
)


@give_up_somehow
def test_the_late_answer_to_a_call_that_was_given_up_goes_to_nobody_else(
    server: ScriptedServer, session_with: SessionWith, give_up: GiveUp, gate: threading.Event
) -> None:
    server.script = first_only("get_job_state", held_until(gate))
    session = session_with(server, limit=1)
    give_up(session, server)
    others = [gevent.spawn(ask, session, n) for n in (2, 3)]
    gevent.sleep(0)
    gate.set()
    gevent.joinall(others, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in others] == [echo_of(2), echo_of(3)]
    assert {peer.sent_early for peer in server.peers} == {0}


@give_up_somehow
def test_a_connection_whose_late_answer_has_come_is_used_again(
    server: ScriptedServer, session_with: SessionWith, give_up: GiveUp, gate: threading.Event
) -> None:
    server.script = first_only("get_job_state", held_until(gate))
    session = session_with(server, limit=1)
    give_up(session, server)
    gate.set()
    await_true(lambda: bool(session.pool._idle))
    assert ask(session, 2) == echo_of(2)
    assert len(server.peers) == 1


def test_a_call_given_up_before_it_was_sent_is_never_sent(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    server.script = first_only("version", held_until(gate))
    session = session_with(server, limit=1)
    first = in_thread(lambda: call(session, Request("version")))
    server.wait_until(lambda: server.commands)
    with pytest.raises(ProtocolTimeoutError):
        ask(session, 1, 0.05)
    killed = gevent.spawn(ask, session, 1)
    gevent.sleep(0)
    killed.kill()
    gate.set()
    assert first.result(LONG_S) == ["version", []]
    assert ask(session, 2) == echo_of(2)
    assert [command.args for command in server.commands] == [[], [2]]


def test_a_connection_that_owes_an_answer_for_too_long_is_left_politely(
    server: ScriptedServer,
    session_with: SessionWith,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "DRAIN_WITHIN_S", 0.1)
    server.script = first_only("get_job_state", held_until(gate))
    session = session_with(server, limit=1)
    give_up_by_timeout(session, server)
    assert ask(session, 2) == echo_of(2)
    await_true(lambda: session.connections == 1)
    gate.set()
    server.wait_until(lambda: server.peers[0].end == "finished")


def test_a_late_answer_that_somebody_looks_after_is_told(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    late: list[Any] = []
    server.script = held_until(gate)
    session = session_with(server)
    request = Request("create_job", (), {"owner": "me"}, late_reply=late.append)
    with pytest.raises(ProtocolTimeoutError):
        call(session, request, 0.1)
    gate.set()
    await_true(lambda: bool(late))
    assert [reply.value for reply in late] == [["create_job", ["me"]]]


# -- a server that says too much ---------------------------------------------------------


def doubled(peer: Peer, command: Command) -> None:
    peer.send({"return": command.echo}, {"return": command.echo})


def and_a_stray(peer: Peer, command: Command) -> None:
    peer.send({"return": command.echo}, {"exception": "nobody asked"})


@pytest.mark.parametrize("fault", [doubled, and_a_stray])
def test_an_answer_too_many_breaks_the_connection_and_everyone_gets_their_own(
    server: ScriptedServer, session_with: SessionWith, fault: Script
) -> None:
    struck: list[Peer] = []

    def strike(peer: Peer, command: Command) -> None:
        struck.append(peer)
        fault(peer, command)

    server.script = first_only("get_job_state", strike)
    session = session_with(server, limit=1)
    asked = [gevent.spawn(ask, session, n) for n in range(5)]
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in asked] == [echo_of(n) for n in range(5)]
    assert [len(peer.commands) for peer in struck] == [1]
    assert server.counts["get_job_state"] == 5


def test_a_stray_answer_on_an_idle_connection_is_nobodys(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    ask(session, 1)
    (connection,) = session.pool._idle
    server.peers[0].answer("stray")
    assert wait_readable(connection, connection.made_at + LONG_S)
    assert ask(session, 2) == echo_of(2)
    assert len(server.peers) == 2


# -- threads and greenlets together --------------------------------------------------------


def test_a_lone_thread_needs_no_hub_for_its_answers(
    server: ScriptedServer,
    session_with: SessionWith,
    background: BackgroundHub,
    gate: threading.Event,
) -> None:
    session = session_with(server)
    background.acquire()
    background.call_soon(gate.wait, LONG_S)
    answers = in_thread(lambda: [ask(session, n) for n in range(1000)]).result(LONG_S)
    assert not gate.is_set()
    assert answers == [echo_of(n) for n in range(1000)]
    assert [peer.sent_early for peer in server.peers] == [0]


def test_threads_that_call_at_once_need_no_hub_for_their_answers(
    server: ScriptedServer,
    session_with: SessionWith,
    background: BackgroundHub,
    gate: threading.Event,
) -> None:
    session, both = session_with(server), threading.Barrier(2)

    def answered_when_both_have_asked(peer: Peer, command: Command) -> None:
        both.wait(LONG_S)
        echo(peer, command)

    connect_often(session, server, 2)
    server.script = answered_when_both_have_asked
    background.call_soon(gate.wait, LONG_S)
    asked = [in_thread(lambda n=number: ask(session, n)) for number in (1, 2)]  # type: ignore[misc]
    assert results(asked) == [echo_of(1), echo_of(2)]
    assert not gate.is_set()


def test_a_connection_is_no_threads_own(server: ScriptedServer, session_with: SessionWith) -> None:
    session = session_with(server)
    asked = [in_thread(lambda: ask(session, 1)).result(LONG_S) for _ in range(5)]
    assert gevent.spawn(ask, session, 1).get(timeout=LONG_S) == echo_of(1)
    assert asked == [echo_of(1)] * 5
    assert len(server.peers) == 1


def test_a_thread_with_a_gevent_hub_never_blocks_its_greenlets(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    ask(session, 0)
    server.script = first_only("get_job_state", held_until(gate))

    def ask_and_open_the_gate() -> Any:
        asked = gevent.spawn(ask, session, 1)
        opened = gevent.spawn(gate.set)
        gevent.joinall([opened], LONG_S, raise_error=True)
        return asked.get(timeout=LONG_S)

    assert in_thread(ask_and_open_the_gate).result(LONG_S) == echo_of(1)


def test_whoever_waits_while_a_thread_calls_has_a_turn(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server, limit=1)
    server.script = first_only("get_job_state", held_until(gate))
    asked = in_thread(lambda: ask(session, 1))
    server.wait_until(lambda: server.commands)
    others = [gevent.spawn(ask, session, n) for n in (2, 3)]
    gevent.sleep(0)
    threads = [in_thread(lambda n=number: ask(session, n)) for number in (4, 5)]  # type: ignore[misc]
    give_time_to_wait(session, 4)
    gate.set()
    gevent.joinall(others, LONG_S, raise_error=True)
    answers = [asked.result(LONG_S), *(other.value for other in others), *results(threads)]
    assert answers == [echo_of(n) for n in range(1, 6)]
    assert len(server.peers) == 1
    assert server.peers[0].sent_early == 0


def test_a_greenlet_has_a_turn_beside_a_thread_that_never_stops_calling(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session, ends = session_with(server, limit=1), threading.Event()

    def call_on() -> int:
        count = 0
        while not ends.is_set():
            assert ask(session, 9) == echo_of(9)
            count += 1
        return count

    calling = [in_thread(call_on) for _ in range(2)]
    server.wait_until(lambda: server.commands)
    for number in range(50):
        assert gevent.spawn(ask, session, number).get(timeout=LONG_S) == echo_of(number)
    ends.set()
    assert all(count > 0 for count in results(calling))
    assert len(server.peers) == 1


def test_a_greenlet_does_not_wait_for_threads_whose_answers_do_not_come(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server, limit=3)
    connect_often(session, server, 2)

    def answers_only_nought(peer: Peer, command: Command) -> None:
        (held_until(gate) if command.args and command.args[0] else echo)(peer, command)

    server.script = answers_only_nought
    held = [in_thread(lambda n=number: ask(session, n)) for number in (1, 2)]  # type: ignore[misc]
    server.wait_until(lambda: server.counts["get_job_state"] == 2)
    assert gevent.spawn(ask, session, 0).get(timeout=LONG_S) == echo_of(0)
    gate.set()
    assert results(held) == [echo_of(1), echo_of(2)]


def test_what_a_frozen_server_owes_is_not_waited_for_for_ever_after_the_end(
    server: ScriptedServer,
    session_with: SessionWith,
    background: BackgroundHub,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else keeps the background thread running."""
    monkeypatch.setattr(pool, "DRAIN_WITHIN_S", 0.1)
    server.script = held_until(gate)
    background.acquire()
    session = session_with(server, limit=2)
    asked = [in_thread(lambda n=number: call(session, state_of(n), 0.1)) for number in range(5)]  # type: ignore[misc]
    for one in asked:
        assert isinstance(one.exception(LONG_S), ProtocolTimeoutError)
    session.close(0.0)
    await_true(lambda: session.connections == 0)
    assert not gate.is_set()
