"""Notifications: who is told, what a cut costs, and that the socket is always read."""

from __future__ import annotations

import threading

import gevent
import pytest

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.transport import subscriptions
from spalloc_gevent.transport.notification_queue import MOST_UNREAD, Key, Kind, NotificationQueue
from spalloc_gevent.transport.session import ServerSession
from spalloc_gevent.transport.subscriptions import MAX_SINGLE
from spalloc_gevent.transport.waiting import ChangeCounter
from spalloc_gevent.wire.requests import Request
from tests.contract.support import await_true, in_thread
from tests.transport.asking import SessionWith, ask, call
from tests.transport.scripted_server import (
    LONG_S,
    Command,
    Peer,
    ScriptedServer,
    echo,
    first_only,
)


def watch(session: ServerSession, count: int) -> list[ChangeCounter]:
    """Watch jobs 0 to `count` - 1; returns when each has been told to look once."""
    watched = [ChangeCounter() for _ in range(count)]

    def watch_all() -> None:
        for job_id, changes in enumerate(watched):
            session.subscriptions.watch_job(job_id, changes.increment)

    session.background.run(watch_all)
    for changes in watched:
        wait_beyond(changes, 0)
    return watched


def wait_beyond(changes: ChangeCounter, seen: int) -> None:
    assert changes.wait_beyond(seen, Deadline(LONG_S).at)


def subscribe(
    session: ServerSession, queue: NotificationQueue, kind: Kind = Kind.JOB, key: Key = None
) -> None:
    assert session.subscribe(queue, kind, key, Deadline(LONG_S))


def take(queue: NotificationQueue) -> object:
    return queue.take(Deadline(LONG_S).at)


def confirmed(session: ServerSession) -> None:
    """Return once the server has confirmed all that is wanted."""
    deadline = Deadline(LONG_S).at
    assert session.background.run(session.subscriptions.wait_until_confirmed, deadline)


# -- jobs that are watched -----------------------------------------------------------------


def test_a_notification_tells_those_it_names(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    named, other = watch(session, 2)
    # What comes now is news.
    confirmed(session)
    before, seen = named.count, other.count
    server.peers[0].send({"jobs_changed": [0]})
    wait_beyond(named, before)
    assert named.count == before + 1
    assert other.count == seen


def test_subscriptions_are_made_again_after_a_cut_and_everyone_looks(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    watched = watch(session, 3)
    confirmed(session)
    seen = [changes.count for changes in watched]
    server.peers[0].hang_up()
    server.wait_until(lambda: server.counts["notify_job"] == 6)
    for changes, count in zip(watched, seen, strict=True):
        wait_beyond(changes, count)
    assert [command.args for command in server.peers[1].commands] == [[0], [1], [2]]


def test_subscriptions_are_made_again_after_the_server_was_restarted(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    (changes,) = watch(session, 1)
    confirmed(session)
    seen = changes.count
    server.stop()
    server.start()
    server.wait_until(lambda: server.counts["notify_job"] == 2)
    wait_beyond(changes, seen)


def test_hundreds_of_watched_jobs_cost_one_subscription_for_all(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    watch(session, 300)
    assert server.counts["notify_job"] <= MAX_SINGLE + 1
    assert server.open_connections == 1
    server.peers[0].hang_up()
    server.wait_until(lambda: len(server.peers) == 2 and server.peers[1].commands)
    assert [command.args for command in server.peers[1].commands] == [[]]


def test_a_job_that_is_watched_no_more_is_unsubscribed(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session, changes = session_with(server), ChangeCounter()
    for change in (session.subscriptions.watch_job, session.subscriptions.unwatch_job):
        session.background.run(change, 5, changes.increment)
        server.wait_until(lambda: server.commands)
    # Nothing is wanted any more, and the connection is not needed.
    server.wait_until(lambda: server.open_connections == 0)
    assert server.counts["notify_job"] == 1
    assert server.peers[0].end == "finished"


def test_notifications_share_no_connection_with_other_commands(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    watch(session, 2)
    ask(session, 1)
    names = [{command.name for command in peer.commands} for peer in server.peers]
    assert names == [{"notify_job"}, {"get_job_state"}]


def test_a_quiet_connection_is_asked_whether_it_lives(
    server: ScriptedServer, session_with: SessionWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "PROBE_AFTER_S", 0.05)
    watch(session_with(server), 1)
    server.wait_until(lambda: server.counts["notify_job"] >= 3)
    assert len(server.peers) == 1


def test_a_frozen_connection_is_left_for_another(
    server: ScriptedServer, session_with: SessionWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "PROBE_AFTER_S", 0.05)
    monkeypatch.setattr(subscriptions, "ANSWER_WITHIN_S", 0.2)
    (changes,) = watch(session_with(server), 1)
    server.wait_until(lambda: server.commands)

    def silent_on_the_first(peer: Peer, command: Command) -> None:
        if peer.number > 1:
            echo(peer, command)

    server.script = silent_on_the_first
    server.wait_until(lambda: len(server.peers) > 1 and server.peers[1].commands)
    # What may have been missed is looked for.
    wait_beyond(changes, 1)


# -- what a client subscribes to -----------------------------------------------------------


def test_the_socket_is_read_though_nobody_asks_and_what_is_kept_is_bounded(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    told, most = threading.Event(), 30_000
    flood = [{"jobs_changed": [n], "padding": "x" * 200} for n in range(most)]

    def answer_and_flood(peer: Peer, command: Command) -> None:
        echo(peer, command)
        for start in range(0, most, 1000):
            peer.send(*flood[start : start + 1000])
        told.set()

    server.script = first_only("notify_job", answer_and_flood)
    session = session_with(server)
    queue = session.open_queue()
    subscribe(session, queue)
    # More than any socket buffer holds: it can only be told when it is read.
    assert told.wait(LONG_S)
    subscribe(session, queue, Kind.MACHINE)
    unread = list(iter(lambda: queue.take(0.0), None))
    assert len(unread) == MOST_UNREAD + 1
    assert unread[0]["jobs_changed"] == [0]
    assert unread[-1]["jobs_changed"][-1] == most - 1


def test_who_waits_for_notifications_is_told_when_their_connection_is_lost(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    queue = session.open_queue()
    subscribe(session, queue)
    waiting = gevent.spawn(take, queue)
    gevent.sleep(0)
    server.peers[0].hang_up()
    with pytest.raises(ConnectionLostError):
        waiting.get(timeout=LONG_S)
    server.wait_until(lambda: server.counts["notify_job"] == 2)
    server.peers[1].send({"jobs_changed": [5]})
    assert take(queue) == {"jobs_changed": [5]}


def test_a_gap_is_told_to_who_comes_after_it(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    queue = session.open_queue()
    subscribe(session, queue)
    server.peers[0].hang_up()
    server.wait_until(lambda: server.counts["notify_job"] == 2)
    server.peers[1].send({"jobs_changed": [5]})
    with pytest.raises(ConnectionLostError):
        take(queue)
    assert take(queue) == {"jobs_changed": [5]}


def test_a_subscription_that_a_server_does_not_confirm_ends_with_the_deadline(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    server.script = lambda *_: None
    session = session_with(server)
    queue = session.open_queue()
    assert session.subscribe(queue, Kind.JOB, 1, Deadline(0.1)) is False


def test_a_subscription_to_a_server_that_is_away_is_a_lost_connection(
    session_with: SessionWith,
) -> None:
    session = session_with(ScriptedServer())
    queue = session.open_queue()
    with pytest.raises(ConnectionLostError, match="cannot connect to the spalloc server"):
        session.subscribe(queue, Kind.JOB, 1, Deadline(LONG_S))


def test_a_subscription_that_was_refused_takes_no_others_with_it(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    server.script = first_only("notify_job", lambda peer, _: peer.send({"exception": "no"}))
    session = session_with(server)
    queue = session.open_queue()
    subscribe(session, queue, Kind.JOB, 1)
    subscribe(session, queue, Kind.JOB, 2)
    server.peers[0].send({"jobs_changed": [2]})
    assert take(queue) == {"jobs_changed": [2]}
    assert len(server.peers) == 1


# -- the end -------------------------------------------------------------------------------


def test_its_connection_is_closed_politely(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    watch(session, 1)
    call(session, Request("version"))
    session.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}


def test_closing_tells_who_waits_for_a_notification(
    server: ScriptedServer, session_with: SessionWith
) -> None:
    session = session_with(server)
    queue = session.open_queue()
    subscribe(session, queue)
    waiting = in_thread(lambda: take(queue))
    await_true(lambda: bool(queue._waiters))
    session.close()
    with pytest.raises(ClosedError):
        waiting.result(LONG_S)
