"""The list of jobs is asked for only where no other connection tells whose jobs these are."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from spalloc_gevent.engine import vouching
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.watches import Changes

from spalloc_gevent.wire.identity import Identity
from tests.contract.support import await_true, in_thread, results
from tests.transport.asking import LinkTo, ask, echo_of
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection waits for another one's word for as long as that takes."""
    monkeypatch.setattr(vouching, "WORD_WITHIN_S", LONG_S)


def hold(link: ServerLink, job_id: int) -> Held:
    held = Held(job_id, Identity("me"))
    link._thread.call(link.hold_on_hub, held)
    return held


def holding(link: ServerLink) -> None:
    """Have the link hold job 1, and a connection that knows it."""
    assert ask(link, 0) == echo_of(0)
    hold(link, 1)


def before(gate: threading.Event, *names: str) -> Callable[[Peer, Command], None]:
    """Commands of these names are answered once the gate is open."""

    def script(peer: Peer, command: Command) -> None:
        if command.name in names:
            assert gate.wait(LONG_S)
        if command.name == "list_jobs":
            peer.answer([{"job_id": 1, "owner": "me", "start_time": 1.0}])
        else:
            echo(peer, command)

    return script


def test_connections_that_are_older_than_a_job_lead_to_it(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    assert ask(link, 1) == echo_of(1)
    assert server.counts["list_jobs"] == 0


@pytest.mark.usefixtures("patient")
def test_a_new_connection_has_the_word_of_one_that_answers(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    gate = threading.Event()
    server.script = before(gate, "get_job_state")
    asked = [in_thread(lambda: ask(link, 1)) for _ in range(8)]
    server.wait_until(lambda: len(server.peers) > 1)
    gate.set()
    assert results(asked) == [echo_of(1)] * 8
    # All on the one connection, or on others that it vouched for.
    assert server.counts["list_jobs"] == 0


def test_one_look_at_the_list_is_enough_for_all_after_a_loss(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    asked: list[str] = []
    answer = before(threading.Event())

    def script(peer: Peer, command: Command) -> None:
        asked.append(command.name)
        answer(peer, command)

    server.script = script
    server.peers[0].hang_up()
    server.wait_until(lambda: server.peers[0].end is not None)
    assert results([in_thread(lambda: ask(link, 1)) for _ in range(20)]) == [echo_of(1)] * 20
    assert server.counts["list_jobs"] == 1
    assert asked[0] == "list_jobs"


def test_where_no_other_answers_the_list_is_looked_at(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    gate = threading.Event()
    server.script = before(gate, "list_machines")
    stuck = in_thread(lambda: link.run(Call("list_machines"), LONG_S))
    server.wait_until(lambda: server.counts["list_machines"])
    assert ask(link, 1) == echo_of(1)
    assert server.counts["list_jobs"] == 1
    gate.set()
    stuck.result(LONG_S)


@pytest.mark.usefixtures("patient")
def test_a_call_that_names_no_held_job_asks_for_nobody_s_word(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    gate = threading.Event()
    server.script = before(gate, "list_machines")
    stuck = in_thread(lambda: link.run(Call("list_machines"), LONG_S))
    server.wait_until(lambda: server.counts["list_machines"])
    assert ask(link, 2) == echo_of(2)
    assert server.counts["list_jobs"] == 0
    gate.set()
    stuck.result(LONG_S)


@pytest.mark.usefixtures("patient")
def test_a_connection_for_notifications_has_the_pool_s_word(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    link.watch_job(1, Changes())
    await_true(lambda: server.counts["notify_job"] == 1)
    assert (server.counts["version"], server.counts["list_jobs"]) == (1, 0)


def test_a_connection_for_notifications_looks_at_the_list_where_the_pool_is_silent(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server)
    holding(link)
    gate = threading.Event()
    server.script = before(gate, "version")
    link.watch_job(1, Changes())
    await_true(lambda: server.counts["notify_job"] == 1)
    assert server.counts["list_jobs"] >= 1
    gate.set()
