"""One client's connections to one server, against servers that do what the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from spalloc_gevent.engine import pool
from spalloc_gevent.engine.arming import HANDFUL, Kind
from spalloc_gevent.engine.call import MOST_SENDS, Call
from spalloc_gevent.engine.hub import Hub
from spalloc_gevent.engine.inbox import MOST_UNREAD
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.pool import DEFAULT_LIMIT, MOST_UNPROVEN
from spalloc_gevent.engine.watches import Changes

from spalloc_gevent.errors import ClosedError, ConnectionLostError, ProtocolTimeoutError
from spalloc_gevent.protocol_client import ProtocolClient
from tests.contract.support import await_true
from tests.transport.asking import LinkTo, ask, echo_of, held_until, state_of
from tests.transport.scripted_server import (
    LONG_S,
    Command,
    Peer,
    ScriptedServer,
    echo,
    first_only,
)
from tools.real_server import free_port

# -- one command in flight ---------------------------------------------------------


def test_200_greenlets_never_have_two_commands_in_flight_on_a_connection(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    def echo_when_many_wait(peer: Peer, command: Command) -> None:
        server.wait_until(lambda: len(server.commands) >= MOST_UNPROVEN)
        peer.sent_early += peer.has_more_to_read()
        echo(peer, command)

    server.script = echo_when_many_wait
    link = link_to(server)
    asked = [gevent.spawn(lambda n: [ask(link, n) for _ in range(5)], n) for n in range(200)]
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in asked] == [[echo_of(n)] * 5 for n in range(200)]
    assert [peer.sent_early for peer in server.peers] == [0] * len(server.peers)
    assert len(server.commands) == 1000


def test_native_threads_and_greenlets_get_their_own_answers_at_once(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        asked = [gevent.spawn(ask, link, number + n) for n in range(5)] if number % 20 else []
        plain = ask(link, number)
        gevent.joinall(asked, LONG_S, raise_error=True)
        results[number] = [plain, *(greenlet.value for greenlet in asked)]

    threads = [threading.Thread(target=work, args=(10 * n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    for number in range(0, 200, 10):
        expected = [number, *range(number, number + 5)] if number % 20 else [number]
        assert results[number] == [echo_of(n) for n in expected]


def test_the_pool_grows_to_its_limit_and_not_beyond(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    gate = threading.Event()

    def hold_all_but_the_first(peer: Peer, command: Command) -> None:
        assert len(peer.commands) == 1 or gate.wait(LONG_S)
        echo(peer, command)

    server.script = hold_all_but_the_first
    link = link_to(server)
    asked = [gevent.spawn(ask, link, n) for n in range(60)]
    gevent.sleep(0)
    held = 2 * DEFAULT_LIMIT
    server.wait_until(lambda: len(server.commands) == held)
    assert server.open_connections == DEFAULT_LIMIT
    assert link.connections == DEFAULT_LIMIT
    gate.set()
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert len(server.peers) == DEFAULT_LIMIT
    assert [greenlet.value for greenlet in asked] == [echo_of(n) for n in range(60)]


def test_a_pool_that_is_idle_for_long_shrinks_to_one_connection(
    server: ScriptedServer, link_to: LinkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_FOR_S", 0.1)
    link = link_to(server)
    gevent.joinall([gevent.spawn(ask, link, n) for n in range(60)], LONG_S, raise_error=True)
    assert len(server.peers) > 1
    server.wait_until(lambda: server.open_connections == 1)
    assert ask(link, 7) == echo_of(7)
    assert sum(peer.end == "finished" for peer in server.peers) == len(server.peers) - 1


def test_nothing_connects_before_it_is_needed(server: ScriptedServer, link_to: LinkTo) -> None:
    link = link_to(server)
    assert link.connections == 0
    link.close()
    assert server.peers == []


# -- callers who give up -------------------------------------------------------------


def give_up_by_timeout(link: ServerLink, server: ScriptedServer) -> None:
    with pytest.raises(ProtocolTimeoutError, match=r"did not answer 'get_job_state' in 0\.2 s"):
        link.run(state_of(1), 0.2)


def give_up_by_gevent_timeout(link: ServerLink, server: ScriptedServer) -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
        link.run(state_of(1))


def give_up_by_kill(link: ServerLink, server: ScriptedServer) -> None:
    greenlet = gevent.spawn(link.run, state_of(1))
    gevent.sleep(0)
    server.wait_until(lambda: server.commands)
    greenlet.kill()
    assert isinstance(greenlet.value, gevent.GreenletExit)


@pytest.mark.parametrize(
    "give_up", [give_up_by_timeout, give_up_by_gevent_timeout, give_up_by_kill]
)
def test_the_late_answer_to_a_call_that_was_given_up_goes_to_nobody_else(
    server: ScriptedServer,
    link_to: LinkTo,
    give_up: Callable[[ServerLink, ScriptedServer], None],
) -> None:
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    link = link_to(server, limit=1)
    give_up(link, server)
    others = [gevent.spawn(ask, link, n) for n in (2, 3)]
    gevent.sleep(0)
    gate.set()
    gevent.joinall(others, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in others] == [echo_of(2), echo_of(3)]
    assert len(server.peers) == 1
    assert server.peers[0].sent_early == 0


def test_a_call_given_up_before_it_was_sent_is_never_sent(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    gate = threading.Event()
    server.script = first_only("version", held_until(gate))
    link = link_to(server, limit=1)
    first = gevent.spawn(link.run, Call("version"), LONG_S)
    gevent.sleep(0)
    server.wait_until(lambda: server.commands)
    with pytest.raises(ProtocolTimeoutError):
        link.run(state_of(1), 0.05)
    gate.set()
    assert first.get(timeout=LONG_S) == ["version", []]
    assert ask(link, 2) == echo_of(2)
    assert [command.args for command in server.commands] == [[], [2]]


def test_a_connection_that_owes_an_answer_for_too_long_is_left_politely(
    server: ScriptedServer, link_to: LinkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "RETIRE_AFTER_S", 0.1)
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    link = link_to(server, limit=1)
    give_up_by_timeout(link, server)
    assert ask(link, 2) == echo_of(2)
    assert len(server.peers) == 2
    gate.set()
    server.wait_until(lambda: server.peers[0].end == "finished")


def test_a_frozen_connection_is_left_for_another(server: ScriptedServer, link_to: LinkTo) -> None:
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    link = link_to(server)
    assert link.run(state_of(1, answer_within_s=0.2), LONG_S) == echo_of(1)
    assert len(server.peers) == 2
    gate.set()
    server.wait_until(lambda: server.peers[0].end == "finished")


# -- a server that says too much ------------------------------------------------------


def doubled(peer: Peer, command: Command) -> None:
    peer.send({"return": command.echo}, {"return": command.echo})


def and_a_stray(peer: Peer, command: Command) -> None:
    peer.send({"return": command.echo}, {"exception": "nobody asked"})


@pytest.mark.parametrize("fault", [doubled, and_a_stray])
def test_an_answer_too_many_breaks_the_connection_and_everyone_gets_their_own(
    server: ScriptedServer, link_to: LinkTo, fault: Callable[[Peer, Command], None]
) -> None:
    server.script = first_only("get_job_state", fault)
    link = link_to(server, limit=1)
    asked = [gevent.spawn(ask, link, n) for n in range(5)]
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in asked] == [echo_of(n) for n in range(5)]
    assert [len(peer.commands) for peer in server.peers] == [1, 4]


def test_an_unsolicited_answer_on_an_idle_connection_breaks_it(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    ask(link, 1)
    server.peers[0].answer("stray")
    server.wait_until(lambda: server.peers[0].end)
    assert ask(link, 2) == echo_of(2)
    assert len(server.peers) == 2


@pytest.mark.parametrize("garbage", [b"this is no JSON\n", b"\xff\xfe\n", b"[]\n", b"[" * 9999])
def test_garbage_breaks_the_connection_and_the_question_is_asked_again(
    server: ScriptedServer, link_to: LinkTo, garbage: bytes
) -> None:
    def send_garbage(peer: Peer, command: Command) -> None:
        peer.sock.sendall(garbage if garbage.endswith(b"\n") else garbage + b"\n")

    server.script = first_only("get_job_state", send_garbage)
    link = link_to(server)
    link.run(Call("version"), LONG_S)
    assert ask(link, 1) == echo_of(1)
    assert server.counts["get_job_state"] == 2


# -- lost connections -----------------------------------------------------------------


def hang_up(peer: Peer, command: Command) -> None:
    peer.hang_up()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_question_whose_connection_is_lost_is_asked_again(
    server: ScriptedServer, link_to: LinkTo, fresh: bool
) -> None:
    server.script = first_only("get_job_state", hang_up)
    link = link_to(server)
    if not fresh:
        link.run(Call("version"), LONG_S)
    assert ask(link, 1) == echo_of(1)
    assert server.counts["get_job_state"] == 2


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("name", ["create_job", "power_on_job_boards", "power_off_job_boards"])
def test_what_must_not_happen_twice_is_never_sent_again(
    server: ScriptedServer, link_to: LinkTo, name: str, fresh: bool
) -> None:
    server.script = first_only(name, hang_up)
    link = link_to(server)
    if not fresh:
        link.run(Call("version"), LONG_S)
    kwargs = {"owner": "me"} if name == "create_job" else {"job_id": 1}
    with pytest.raises(ConnectionLostError, match=f"{name!r}.*may or may not") as caught:
        link.run(Call(name, (), kwargs), LONG_S)
    assert caught.value.may_have_happened
    assert ask(link, 1) == echo_of(1)
    assert server.counts[name] == 1


def test_a_question_that_costs_every_connection_is_not_asked_for_ever(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    link.run(Call("version"), LONG_S)
    server.script = hang_up
    with pytest.raises(ConnectionLostError, match="sending it again did not help"):
        ask(link, 1)
    assert server.counts["get_job_state"] == MOST_SENDS


def test_a_server_that_closes_every_new_connection_counts_as_away(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    server.script = hang_up
    link = link_to(server)
    with pytest.raises(ConnectionLostError, match="closed a new connection"):
        ask(link, 1)
    patient = gevent.spawn(link.run, state_of(2, patient=True), LONG_S)
    gevent.sleep(0)
    server.script = echo
    assert patient.get(timeout=LONG_S) == echo_of(2)


def test_one_lost_new_connection_does_not_fail_the_calls_of_others(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    server.script = first_only("create_job", hang_up)
    link = link_to(server)
    lost = gevent.spawn(link.run, Call("create_job", (), {"owner": "me"}), LONG_S)
    others = [gevent.spawn(ask, link, n) for n in range(40)]
    gevent.joinall([lost], LONG_S)
    gevent.joinall(others, LONG_S)
    assert isinstance(lost.exception, ConnectionLostError)
    assert [greenlet.value for greenlet in others] == [echo_of(n) for n in range(40)]


# -- a server that is away ------------------------------------------------------------


def test_an_impatient_call_fails_naming_host_and_port(link_to: LinkTo) -> None:
    away = ScriptedServer()
    link = link_to(away)
    for _ in range(3):
        with pytest.raises(ConnectionLostError, match=f"127.0.0.1:{away.port}") as caught:
            ask(link, 1)
        assert not caught.value.may_have_happened
        assert isinstance(caught.value, OSError)


def test_a_patient_call_waits_for_the_server_and_goes_out_when_it_is_back(link_to: LinkTo) -> None:
    server = ScriptedServer()
    link = link_to(server)
    link.limit_retry_delay(0.1)
    with pytest.raises(ConnectionLostError):
        ask(link, 1)
    waiting = [gevent.spawn(link.run, state_of(n, patient=True), LONG_S) for n in range(20)]
    gevent.sleep(0)
    with server:
        gevent.joinall(waiting, LONG_S, raise_error=True)
        link.close()
    assert [greenlet.value for greenlet in waiting] == [echo_of(n) for n in range(20)]


def test_a_patient_call_whose_time_is_up_says_why_the_server_cannot_be_reached(
    link_to: LinkTo,
) -> None:
    with pytest.raises(ProtocolTimeoutError, match="cannot connect to the spalloc server"):
        link_to(ScriptedServer()).run(state_of(1, patient=True), 0.2)


def test_calls_work_again_after_the_server_was_restarted(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    assert ask(link, 1) == echo_of(1)
    server.stop()
    with pytest.raises(ConnectionLostError):
        ask(link, 2)
    server.start()
    assert link.run(state_of(3, patient=True), LONG_S) == echo_of(3)
    assert ask(link, 4) == echo_of(4)


def test_a_host_without_an_address_is_named(link_to: LinkTo) -> None:
    nowhere = ScriptedServer(host="no-such-host.invalid", port=free_port())
    with pytest.raises(ConnectionLostError, match=r"no-such-host\.invalid"):
        ask(link_to(nowhere), 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ipv4_and_ipv6_are_spoken(host: str, link_to: LinkTo) -> None:
    with ScriptedServer(host=host) as server:
        link = link_to(server)
        assert ask(link, 1) == echo_of(1)
        link.close()


# -- watches --------------------------------------------------------------------------


def watch(link: ServerLink, server: ScriptedServer, count: int) -> list[Changes]:
    watched = [Changes() for _ in range(count)]
    for job_id, changes in enumerate(watched):
        link.watch_job(job_id, changes)
    for changes in watched:
        link.await_change(changes, 0, LONG_S)
    return watched


def test_a_notification_wakes_those_it_names(server: ScriptedServer, link_to: LinkTo) -> None:
    link = link_to(server)
    named, other = watch(link, server, 2)
    server.wait_until(lambda: server.counts["notify_job"] == 2)
    # Armed and rung: what comes now is news.
    link.run(Call("version"), LONG_S)
    seen = other.count
    peer = next(peer for peer in server.peers if peer.commands[0].name == "notify_job")
    before = named.count
    peer.send({"jobs_changed": [0]})
    link.await_change(named, before, LONG_S)
    assert named.count == before + 1
    assert other.count == seen


def test_watches_are_armed_again_after_a_cut_and_everyone_is_rung(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    watched = watch(link, server, 3)
    server.wait_until(lambda: server.counts["notify_job"] == 3)
    seen = [changes.count for changes in watched]
    server.peers[0].hang_up()
    server.wait_until(lambda: server.counts["notify_job"] == 6)
    for changes, count in zip(watched, seen, strict=True):
        link.await_change(changes, count, LONG_S)
        assert changes.count > count
    assert [command.args for command in server.peers[1].commands] == [[0], [1], [2]]


def test_watches_are_armed_again_after_the_server_was_restarted(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    (changes,) = watch(link, server, 1)
    seen = changes.count
    server.stop()
    server.start()
    server.wait_until(lambda: server.counts["notify_job"] == 2)
    link.await_change(changes, seen, LONG_S)
    assert changes.count > seen


def test_hundreds_of_watched_jobs_cost_one_watch_for_all(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    watch(link, server, 300)
    assert server.counts["notify_job"] <= HANDFUL + 1
    assert server.open_connections == 1
    server.peers[0].hang_up()
    server.wait_until(lambda: len(server.peers) == 2 and server.peers[1].commands)
    assert [command.args for command in server.peers[1].commands] == [[]]


def test_notifications_share_no_connection_with_other_commands(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    watch(link, server, 2)
    ask(link, 1)
    names = [{command.name for command in peer.commands} for peer in server.peers]
    assert names == [{"notify_job"}, {"get_job_state"}]


def test_the_socket_is_read_though_nobody_asks_and_what_is_kept_is_bounded(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    told, most = threading.Event(), 30_000
    flood = [{"jobs_changed": [n], "padding": "x" * 200} for n in range(most)]

    def answer_and_flood(peer: Peer, command: Command) -> None:
        echo(peer, command)
        for start in range(0, most, 1000):
            peer.send(*flood[start : start + 1000])
        told.set()

    server.script = first_only("notify_job", answer_and_flood)
    link = link_to(server)
    inbox = link.open_inbox()
    link.want(inbox, Kind.JOB, None, LONG_S)
    # More than any socket buffer holds: it can only be told when it is read.
    assert told.wait(LONG_S)
    link.want(inbox, Kind.MACHINE, None, LONG_S)
    unread = list(iter(lambda: link.unread_notification(inbox), None))
    assert len(unread) == MOST_UNREAD + 1
    assert unread[0]["jobs_changed"] == [0]
    assert unread[-1]["jobs_changed"][-1] == most - 1


def test_a_waiter_for_notifications_is_told_when_their_connection_is_lost(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    inbox = link.open_inbox()
    link.want(inbox, Kind.JOB, None, LONG_S)
    waiting = gevent.spawn(link.next_notification, inbox, LONG_S)
    gevent.sleep(0)
    server.peers[0].hang_up()
    with pytest.raises(ConnectionLostError):
        waiting.get(timeout=LONG_S)
    server.wait_until(lambda: server.counts["notify_job"] == 2)
    server.peers[1].send({"jobs_changed": [5]})
    assert link.next_notification(inbox, LONG_S) == {"jobs_changed": [5]}


# -- the end ----------------------------------------------------------------------------


def test_every_connection_is_closed_politely(server: ScriptedServer, link_to: LinkTo) -> None:
    link = link_to(server)
    watch(link, server, 1)
    gevent.joinall([gevent.spawn(ask, link, n) for n in range(40)], LONG_S, raise_error=True)
    link.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}


def test_a_connection_that_owes_an_answer_is_closed_politely_after_a_time_out(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    link = link_to(server)
    give_up_by_timeout(link, server)
    link.close(0.0)
    gate.set()
    server.wait_until(lambda: server.peers[0].end)
    assert server.peers[0].end == "finished"


def test_closing_fails_those_who_wait_and_those_who_come_later(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    gate = threading.Event()
    server.script = held_until(gate)
    link = link_to(server, limit=1)
    waiting = [gevent.spawn(ask, link, n) for n in range(3)]
    gevent.sleep(0)
    server.wait_until(lambda: server.commands)
    link.close(0.0)
    gate.set()
    gevent.joinall(waiting, LONG_S)
    answered = [greenlet for greenlet in waiting if greenlet.successful()]
    refused = [greenlet for greenlet in waiting if not greenlet.successful()]
    assert [greenlet.value for greenlet in answered] == [echo_of(0)]
    assert all(isinstance(greenlet.exception, ClosedError) for greenlet in refused)
    with pytest.raises(ClosedError):
        ask(link, 9)


def test_a_command_that_outlives_its_caller_goes_out_before_the_close(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    gate = threading.Event()
    server.script = first_only("get_job_state", held_until(gate))
    link = link_to(server, limit=1)
    give_up_by_timeout(link, server)
    destroy = Call("destroy_job", (1,), outlives_caller=True)
    with pytest.raises(ProtocolTimeoutError):
        link.run(destroy, 0.05)
    gate.set()
    link.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert server.counts["destroy_job"] == 1


def test_an_unknown_command_travels_on_a_connection_of_its_own(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    server.script = first_only("dance", hang_up)
    link = link_to(server)
    ask(link, 1)
    with pytest.raises(ConnectionLostError, match="'dance'"):
        link.run(Call("dance"), LONG_S)
    assert ask(link, 2) == echo_of(2)
    assert [[c.name for c in peer.commands] for peer in server.peers] == [
        ["get_job_state", "get_job_state"],
        ["dance"],
    ]


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_host_name_that_cannot_be_encoded_is_a_clear_error(host: str) -> None:
    client = ProtocolClient(host, 22244, timeout=10)
    with pytest.raises(ConnectionLostError, match="cannot connect to the spalloc server at"):
        client.version()
    client.close()


def test_what_a_frozen_server_owes_is_not_waited_for_for_ever_after_the_end(
    server: ScriptedServer, link_to: LinkTo, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else keeps the hub running."""
    monkeypatch.setattr(pool, "RETIRE_AFTER_S", 0.1)
    gate = threading.Event()
    server.script = held_until(gate)
    hub.acquire()
    link = link_to(server, limit=2)
    calls = [Call("destroy_job", (n,), outlives_caller=True) for n in range(5)]
    for call in calls:
        link.begin(call)
    server.wait_until(lambda: server.counts["destroy_job"] == 2)
    for call in calls:
        link.give_up(call)
    link.close(0.0)
    await_true(lambda: link.connections == 0)
    assert all(call.outcome.settled for call in calls)
    gate.set()
