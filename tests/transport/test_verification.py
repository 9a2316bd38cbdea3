"""The list of jobs is asked for only where no other connection tells whose jobs these are."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import JobDestroyedError
from spalloc_gevent.transport.connection import connect
from spalloc_gevent.transport.growers import MOST_GROWING
from spalloc_gevent.transport.session import ServerSession
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.requests import Request
from tests.contract.support import await_true, in_thread, results
from tests.transport.asking import SessionWith, ask, call, echo_of
from tests.transport.scripted_server import LONG_S, Command, Peer, Script, ScriptedServer, echo


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end at the latest, so that nobody is held for ever."""
    event = threading.Event()
    yield event
    event.set()


def track(session: ServerSession, job_id: int) -> TrackedJob:
    job = TrackedJob(job_id, Identity("me"), 60.0)
    session.background.run(session.tracked.add, job)
    return job


def track_after_a_call(session: ServerSession) -> TrackedJob:
    """Have the session hold job 1, and a connection that knows it."""
    assert ask(session, 0) == echo_of(0)
    return track(session, 1)


def watch(session: ServerSession, job_id: int) -> None:
    session.background.run(session.subscriptions.watch_job, job_id, int)


def listing(gate: threading.Event, *names: str, owner: str = "me") -> Script:
    """Lists job 1; commands of these names are answered once the gate is open."""

    def script(peer: Peer, command: Command) -> None:
        if command.name in names:
            assert gate.wait(LONG_S)
        if command.name == "list_jobs":
            peer.answer([{"job_id": 1, "owner": owner, "start_time": 1.0}])
        else:
            echo(peer, command)

    return script


def lose_the_connection(server: ScriptedServer) -> None:
    server.peers[0].hang_up()
    server.wait_until(lambda: server.peers[0].end is not None)


def test_connections_that_are_older_than_a_job_lead_to_it(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    assert ask(session, 1) == echo_of(1)
    assert server.counts["list_jobs"] == 0


def test_a_new_connection_needs_no_list_while_another_answers(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    request = Request("version")
    connection = session.pool.acquire(request, Deadline(LONG_S).at, new=True)
    assert connection is not None
    session.pool.release(connection, request)
    # The idle one has answered after the new one was made: both lead to the same server.
    assert server.counts["version"] >= 1
    assert server.counts["list_jobs"] == 0


def test_a_look_or_a_few_at_the_list_serve_all_after_a_loss(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    asked: list[str] = []
    answer = listing(gate)

    def script(peer: Peer, command: Command) -> None:
        asked.append(command.name)
        answer(peer, command)

    server.script = script
    lose_the_connection(server)
    assert results([in_thread(lambda: ask(session, 1)) for _ in range(20)]) == [echo_of(1)] * 20
    # One that was made after the question needs a word of its own.
    assert 1 <= server.counts["list_jobs"] <= MOST_GROWING
    assert asked[0] == "list_jobs"


def test_where_no_other_answers_the_list_is_looked_at(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    server.script = listing(gate, "list_machines")
    stuck = in_thread(lambda: call(session, Request("list_machines")))
    server.wait_until(lambda: server.counts["list_machines"])
    assert ask(session, 1) == echo_of(1)
    assert server.counts["list_jobs"] == 1
    gate.set()
    stuck.result(LONG_S)


def test_a_connection_made_by_hand_is_used_once_it_leads_to_the_jobs(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    server.script = listing(gate, "list_jobs")
    made = connect(server.host, server.port, Deadline(LONG_S).at)
    session.pool.renew(made)
    server.wait_until(lambda: server.counts["list_jobs"])
    assert made.holder is not None
    gate.set()
    await_true(lambda: made.holder is None)
    assert ask(session, 1) == echo_of(1)
    assert (server.counts["list_jobs"], len(server.peers)) == (1, 2)


def test_a_connection_made_by_hand_that_breaks_is_replaced(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    gate.set()
    answer = listing(gate)
    server.script = lambda peer, command: (
        peer.hang_up() if peer is server.peers[1] else answer(peer, command)
    )
    session.pool.renew(connect(server.host, server.port, Deadline(LONG_S).at))
    assert ask(session, 1) == echo_of(1)
    await_true(lambda: session.pool.connections == 1)


def test_a_number_that_is_anothers_after_a_loss_is_named_to_nobody(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    job = track_after_a_call(session)
    server.script = listing(gate, owner="somebody else")
    lose_the_connection(server)
    # Whoever asks next finds out; nobody sends the number any more.
    assert ask(session, 2) == echo_of(2)
    assert job.end is not None
    with pytest.raises(JobDestroyedError, match="job 1 is gone: the server has lost its memory"):
        ask(session, 1)
    assert [c.args for c in server.commands if c.name == "get_job_state"] == [[0], [2]]


def test_a_connection_for_notifications_needs_no_list_while_a_call_s_connection_answers(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    watch(session, 1)
    await_true(lambda: server.counts["notify_job"] == 1)
    assert (server.counts["version"], server.counts["list_jobs"]) == (1, 0)


def test_a_connection_for_notifications_looks_at_the_list_where_the_pool_is_silent(
    server: ScriptedServer, session_with: SessionWith, gate: threading.Event
) -> None:
    session = session_with(server)
    track_after_a_call(session)
    server.script = listing(gate, "version")
    watch(session, 1)
    await_true(lambda: server.counts["notify_job"] == 1)
    assert server.counts["list_jobs"] == 1
