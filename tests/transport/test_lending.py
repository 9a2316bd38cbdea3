"""Plain threads, which are lent connections, and everybody else's rights to those."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
import pytest

import spalloc_gevent
from spalloc_gevent.engine import lending, pool
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.hub import Hub, HubThread
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.errors import ClosedError, ConnectionLostError, ProtocolTimeoutError
from spalloc_gevent.protocol_client import ProtocolClient
from tests.transport.asking import LinkTo, ask, echo_of, held_until, state_of
from tests.transport.scripted_server import (
    LONG_S,
    Command,
    Peer,
    ScriptedServer,
    echo,
    first_only,
)

PACKAGE = str(Path(spalloc_gevent.__file__).parent)
DOOR = HubThread.post.__code__.co_filename
Fault = Callable[[Peer, Command], None]


@pytest.fixture
def lone() -> Iterator[ThreadPoolExecutor]:
    """A plain thread without a gevent hub."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def borrow(lone: ThreadPoolExecutor, link: ServerLink) -> None:
    """Have a connection lent to `lone`, by calls that the scripted server just echoes."""

    def call_until_lent() -> None:
        while not link.lends:
            link.run(Call("version"), LONG_S)

    lone.submit(call_until_lent).result(LONG_S)


def ask_alone(lone: ThreadPoolExecutor, link: ServerLink, number: int) -> Any:
    return lone.submit(ask, link, number).result(LONG_S)


def asking_alone(
    lone: ThreadPoolExecutor, link: ServerLink, server: ScriptedServer, number: int
) -> Future[Any]:
    """A question that has reached the server and not been answered yet."""
    asked = lone.submit(ask, link, number)
    server.wait_until(lambda: server.counts["get_job_state"])
    return asked


def hang_up(peer: Peer, command: Command) -> None:
    peer.hang_up()


# -- alone ---------------------------------------------------------------------------


def test_a_lone_caller_needs_no_hub_for_its_answers(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor, hub: Hub
) -> None:
    link, busy = link_to(server), threading.Event()
    borrow(lone, link)
    hub.acquire().post(busy.wait, LONG_S)
    answers = lone.submit(lambda: [ask(link, n) for n in range(1000)]).result(LONG_S)
    busy.set()
    assert answers == [echo_of(n) for n in range(1000)]
    assert [peer.sent_early for peer in server.peers] == [0]


def test_a_loan_is_no_threads_own(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor, hub: Hub
) -> None:
    link, busy = link_to(server), threading.Event()
    with ThreadPoolExecutor(1) as one_that_ends:
        borrow(one_that_ends, link)
    hub.acquire().post(busy.wait, LONG_S)
    answer = ask_alone(lone, link, 1)
    busy.set()
    assert answer == echo_of(1)


def test_an_answer_of_any_size_reaches_a_lone_caller(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    text = "x" * 1_000_000
    link = link_to(server)
    borrow(lone, link)
    server.script = first_only("get_job_state", lambda peer, _: peer.answer(text))
    assert ask_alone(lone, link, 1) == text
    assert ask_alone(lone, link, 2) == echo_of(2)
    assert len(server.peers) == 1


def test_a_question_of_any_size_reaches_the_server(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    # More than socket buffers hold: the hub has to send the rest.
    name = "x" * 20_000_000
    link = link_to(server)
    borrow(lone, link)
    place = (name, 0, 0, 0)
    asked = lone.submit(lambda: link.run(Call("get_board_position", place), LONG_S))
    assert asked.result(LONG_S) == ["get_board_position", list(place)]
    assert ask_alone(lone, link, 2) == echo_of(2)
    assert len(server.peers) == 1


def test_a_refusal_reaches_a_lone_caller(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server)
    borrow(lone, link)
    server.script = first_only("get_job_state", lambda peer, _: peer.send({"exception": "no!"}))
    with pytest.raises(Exception, match=r"server refused 'get_job_state': no!"):
        ask_alone(lone, link, 1)
    assert ask_alone(lone, link, 2) == echo_of(2)


def test_a_slow_answer_to_a_lone_caller_comes_by_way_of_the_hub(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server), threading.Event()
    borrow(lone, link)
    server.script = first_only("get_job_state", held_until(gate))
    asked = lone.submit(ask, link, 1)
    with pytest.raises(TimeoutError):
        asked.result(2 * lending.LONGEST_WAIT_S)
    gate.set()
    assert asked.result(LONG_S) == echo_of(1)
    assert server.counts["get_job_state"] == 1


# -- those who are not alone ------------------------------------------------------------


def test_a_lent_connection_is_back_when_another_needs_it(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server, limit=1)
    borrow(lone, link)
    assert gevent.spawn(ask, link, 1).get(timeout=LONG_S) == echo_of(1)
    assert not link.lends
    assert ask_alone(lone, link, 2) == echo_of(2)
    assert len(server.peers) == 1


def test_whoever_comes_during_a_call_of_a_lone_one_goes_next(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server, limit=1), threading.Event()
    borrow(lone, link)
    server.script = first_only("get_job_state", held_until(gate))
    asked = asking_alone(lone, link, server, 1)
    others = [gevent.spawn(ask, link, n) for n in (2, 3)]
    gevent.sleep(0)
    gate.set()
    gevent.joinall(others, LONG_S, raise_error=True)
    assert [other.value for other in others] == [echo_of(2), echo_of(3)]
    assert asked.result(LONG_S) == echo_of(1)
    assert len(server.peers) == 1
    assert server.peers[0].sent_early == 0


def test_threads_that_come_and_go_get_their_own_answers(
    server: ScriptedServer, link_to: LinkTo
) -> None:
    link = link_to(server, limit=2)

    def work(number: int) -> bool:
        numbers = range(1000 * number, 1000 * number + 100 * number)
        return all(ask(link, n) == echo_of(n) for n in numbers)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))
    assert all(peer.sent_early == 0 for peer in server.peers)


def test_a_thread_with_a_gevent_hub_never_blocks_its_greenlets(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server), threading.Event()
    borrow(lone, link)
    server.script = first_only("get_job_state", held_until(gate))

    def ask_and_open_the_gate() -> Any:
        asked = gevent.spawn(ask, link, 1)
        opened = gevent.spawn(gate.set)
        gevent.joinall([opened], LONG_S, raise_error=True)
        return asked.get(timeout=LONG_S)

    with ThreadPoolExecutor(1) as other:
        assert other.submit(ask_and_open_the_gate).result(LONG_S) == echo_of(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Call("create_job", (), {"owner": "me"}),
        lambda: Call("power_on_job_boards", (1,)),
        lambda: Call("power_off_job_boards", (1,)),
        lambda: Call("destroy_job", (1,), outlives_caller=True),
        lambda: Call("list_jobs", late=print),
        lambda: Call("get_job_state", (1,), urgent_at=0.0),
        lambda: Call("get_job_state", (1,), answer_within_s=LONG_S),
    ],
)
def test_what_has_rules_of_its_own_always_goes_by_way_of_the_hub(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor, call: Callable[[], Call]
) -> None:
    link = link_to(server)
    borrow(lone, link)
    assert lone.submit(lambda: link.run(call(), LONG_S)).result(LONG_S)
    # What others send brings a lent connection home, and so does this.
    assert not link.lends
    assert len(server.counts) == 2


# -- giving up ---------------------------------------------------------------------------


def test_the_late_answer_to_a_lone_call_that_timed_out_goes_to_nobody_else(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server, limit=1), threading.Event()
    borrow(lone, link)
    server.script = first_only("get_job_state", held_until(gate))
    timed_out = lone.submit(lambda: link.run(state_of(1), 0.2))
    with pytest.raises(ProtocolTimeoutError, match=r"did not answer 'get_job_state' in 0\.2 s"):
        timed_out.result(LONG_S)
    gate.set()
    assert [ask_alone(lone, link, n) for n in range(2, 9)] == [echo_of(n) for n in range(2, 9)]
    assert len(server.peers) == 1
    assert server.peers[0].sent_early == 0


def test_a_lent_connection_that_owes_an_answer_for_too_long_is_left_politely(
    server: ScriptedServer,
    link_to: LinkTo,
    lone: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "RETIRE_AFTER_S", 0.1)
    link, gate = link_to(server, limit=1), threading.Event()
    borrow(lone, link)
    server.script = first_only("get_job_state", held_until(gate))
    with pytest.raises(ProtocolTimeoutError):
        lone.submit(lambda: link.run(state_of(1), 0.1)).result(LONG_S)
    assert ask_alone(lone, link, 2) == echo_of(2)
    gate.set()
    server.wait_until(lambda: server.peers[0].end == "finished")


class Interruption(BaseException):
    """As Ctrl+C, but known to be the test's own."""


def interrupted_at(step: int, run: Callable[[], Any]) -> bool:
    """Run it in this thread, interrupted before its `step`th bytecode; False if it has fewer.

    Only the package's own count, not what the garbage collector runs in between; nor the door's:
    a trace can interrupt a ``with`` just before it lets go of its lock, a signal cannot.
    """
    steps = itertools.count()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) or file == DOOR:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(steps) == step:
            sys.settrace(None)
            raise Interruption
        return trace

    sys.settrace(trace)
    try:
        run()
    except Interruption:
        return True
    finally:
        sys.settrace(None)
    return False


def test_a_call_interrupted_anywhere_leaves_everything_in_order(
    server: ScriptedServer,
    link_to: LinkTo,
    lone: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is in doubt must be let go of, not waited for.
    monkeypatch.setattr(pool, "RETIRE_AFTER_S", 2 * LONG_S)
    link = link_to(server, limit=1)
    numbers = itertools.count(1)

    def interrupt(step: int) -> bool:
        call = state_of(next(numbers))
        return interrupted_at(step, lambda: link.run(call, LONG_S))

    step = 0
    borrow(lone, link)
    while lone.submit(interrupt, step).result(LONG_S):
        number = next(numbers)
        # With a limit of one, a connection that was lost would leave none for this.
        assert ask_alone(lone, link, number) == echo_of(number), f"interrupted at {step}"
        borrow(lone, link)
        step += 1
    assert step > 100, "there was nothing to interrupt"
    link.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}
    assert all(peer.sent_early == 0 for peer in server.peers)
    asked = [command.args[0] for command in server.commands if command.args]
    assert len(asked) == len(set(asked))


# -- a server that says too much, or nothing any more --------------------------------------


def garbage(peer: Peer, command: Command) -> None:
    peer.sock.sendall(b"this is no JSON\n")


@pytest.mark.parametrize("fault", [garbage, hang_up])
def test_a_lone_question_whose_connection_breaks_is_asked_again(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor, fault: Fault
) -> None:
    link = link_to(server)
    borrow(lone, link)
    server.script = first_only("get_job_state", fault)
    assert ask_alone(lone, link, 1) == echo_of(1)
    assert server.counts["get_job_state"] == 2


def test_a_lone_question_that_costs_every_connection_is_not_asked_for_ever(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server)
    borrow(lone, link)
    server.script = hang_up
    with pytest.raises(ConnectionLostError, match="sending it again did not help"):
        ask_alone(lone, link, 1)


def test_an_answer_too_many_breaks_a_lent_connection_and_is_nobodys(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    def answer_twice(peer: Peer, command: Command) -> None:
        peer.send({"return": command.echo}, {"return": "one too many"})

    link = link_to(server)
    borrow(lone, link)
    server.script = first_only("get_job_state", answer_twice)
    assert [ask_alone(lone, link, n) for n in range(5)] == [echo_of(n) for n in range(5)]
    assert len(server.peers) == 2


def test_a_stray_answer_on_a_lent_connection_is_nobodys(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server)
    borrow(lone, link)
    server.peers[0].answer("stray")
    assert ask_alone(lone, link, 1) == echo_of(1)
    assert len(server.peers) == 2


def test_a_lone_call_survives_the_end_of_its_idle_connection(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server)
    borrow(lone, link)
    server.peers[0].hang_up()
    assert ask_alone(lone, link, 1) == echo_of(1)
    assert server.counts["get_job_state"] == 1


def test_a_notification_before_the_answer_is_no_answer(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    def tell_and_answer(peer: Peer, command: Command) -> None:
        peer.send({"jobs_changed": [1]})
        peer.send({"machines_changed": ["m"]}, {"return": command.echo})

    link = link_to(server)
    borrow(lone, link)
    server.script = tell_and_answer
    assert [ask_alone(lone, link, n) for n in range(9)] == [echo_of(n) for n in range(9)]
    assert len(server.peers) == 1


def test_a_lent_connection_that_nobody_uses_is_watched_again(
    server: ScriptedServer,
    link_to: LinkTo,
    lone: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lending, "UNUSED_FOR_S", 0.05)
    link = link_to(server)
    borrow(lone, link)
    server.peers[0].answer("stray")
    server.wait_until(lambda: server.peers[0].end)
    assert not link.lends


# -- many plain threads ------------------------------------------------------------------


def lend_some(link: ServerLink, threads: ThreadPoolExecutor, count: int) -> None:
    """Have `count` connections or more lent, by so many threads that call at once."""
    enough = threading.Event()

    def call_until_enough() -> None:
        while not enough.is_set():
            link.run(Call("version"), LONG_S)
            if link.lent >= count:
                enough.set()

    for calling in [threads.submit(call_until_enough) for _ in range(2 * count)]:
        calling.result(LONG_S)


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    """Plain threads without a gevent hub, as many as a test likes to use."""
    with ThreadPoolExecutor(16) as threads:
        yield threads


def ask_in_each(crowd: ThreadPoolExecutor, link: ServerLink, numbers: Sequence[int]) -> list[Any]:
    return [asked.result(LONG_S) for asked in [crowd.submit(ask, link, n) for n in numbers]]


def test_threads_that_call_at_once_need_no_hub_for_their_answers(
    server: ScriptedServer, link_to: LinkTo, crowd: ThreadPoolExecutor, hub: Hub
) -> None:
    link, busy, both_there = link_to(server), threading.Event(), threading.Barrier(2)

    def answered_when_both_have_asked(peer: Peer, command: Command) -> None:
        both_there.wait(LONG_S)
        peer.answer(command.echo)

    lend_some(link, crowd, 2)
    server.script = answered_when_both_have_asked
    hub.acquire().post(busy.wait, LONG_S)
    answers = ask_in_each(crowd, link, [1, 2])
    busy.set()
    assert answers == [echo_of(1), echo_of(2)]


def test_a_crowd_gets_its_own_answers_over_no_more_connections_than_the_pool_has(
    server: ScriptedServer, link_to: LinkTo, crowd: ThreadPoolExecutor
) -> None:
    link = link_to(server, limit=4)

    def work(number: int) -> bool:
        return all(ask(link, 100 * number + n) == echo_of(100 * number + n) for n in range(100))

    assert all(crowd.map(work, range(32)))
    assert len(server.peers) <= 4
    assert all(peer.sent_early == 0 for peer in server.peers)


def test_a_greenlet_gets_a_lent_connection_that_no_thread_is_using(
    server: ScriptedServer, link_to: LinkTo, crowd: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server, limit=4), threading.Event()
    lend_some(link, crowd, 3)
    server.script = held_until(gate)
    asked = [gevent.spawn(ask, link, n) for n in range(4)]
    gevent.sleep(0)
    server.wait_until(lambda: server.counts["get_job_state"] == 4)
    gate.set()
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [one.value for one in asked] == [echo_of(n) for n in range(4)]
    assert len(server.peers) <= 4


def test_a_greenlet_does_not_wait_for_threads_whose_answers_do_not_come(
    server: ScriptedServer, link_to: LinkTo, crowd: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server, limit=3), threading.Event()
    lend_some(link, crowd, 2)

    def answers_only_nought(peer: Peer, command: Command) -> None:
        (held_until(gate) if command.args[0] else echo)(peer, command)

    server.script = answers_only_nought
    held = [crowd.submit(ask, link, n) for n in (1, 2)]
    server.wait_until(lambda: server.counts["get_job_state"] == 2)
    assert gevent.spawn(ask, link, 0).get(timeout=LONG_S) == echo_of(0)
    gate.set()
    assert [one.result(LONG_S) for one in held] == [echo_of(1), echo_of(2)]


def test_threads_that_stop_calling_leave_nothing_lent(
    server: ScriptedServer,
    link_to: LinkTo,
    crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = link_to(server, limit=4)
    lend_some(link, crowd, 3)
    monkeypatch.setattr(lending, "UNUSED_FOR_S", 0.05)
    for peer in server.peers:
        peer.answer("stray")
    server.wait_until(lambda: all(peer.end for peer in server.peers))
    assert not link.lends


@pytest.mark.parametrize("fault", [garbage, hang_up])
def test_a_crowd_whose_connections_break_is_answered_all_the_same(
    server: ScriptedServer, link_to: LinkTo, crowd: ThreadPoolExecutor, fault: Fault
) -> None:
    link = link_to(server, limit=4)
    lend_some(link, crowd, 3)
    server.script = first_only("get_job_state", fault)
    assert ask_in_each(crowd, link, range(40)) == [echo_of(n) for n in range(40)]


def test_lent_connections_are_closed_politely_whoever_uses_them(
    server: ScriptedServer, link_to: LinkTo, crowd: ThreadPoolExecutor
) -> None:
    link = link_to(server, limit=4)
    lend_some(link, crowd, 3)
    link.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert {peer.end for peer in server.peers} == {"finished"}


# -- the end -----------------------------------------------------------------------------


def test_a_lent_connection_is_closed_politely(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server)
    borrow(lone, link)
    link.close()
    server.wait_until(lambda: server.open_connections == 0)
    assert [peer.end for peer in server.peers] == ["finished"]
    with pytest.raises(ClosedError):
        ask_alone(lone, link, 1)


def test_a_lone_call_in_flight_at_the_close_is_answered_and_the_close_polite(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link, gate = link_to(server), threading.Event()
    borrow(lone, link)
    server.script = first_only("get_job_state", held_until(gate))
    asked = asking_alone(lone, link, server, 1)
    link.close(0.0)
    gate.set()
    assert asked.result(LONG_S) == echo_of(1)
    server.wait_until(lambda: server.open_connections == 0)
    assert [peer.end for peer in server.peers] == ["finished"]


def test_a_lone_call_that_is_never_answered_ends_with_the_close(
    server: ScriptedServer, link_to: LinkTo, lone: ThreadPoolExecutor
) -> None:
    link = link_to(server)
    borrow(lone, link)
    server.script = lambda *_: None
    asked = asking_alone(lone, link, server, 1)
    link.close(0.0)
    with pytest.raises(ConnectionLostError):
        asked.result(LONG_S)


def test_a_lone_caller_is_served_after_its_server_was_restarted(
    server: ScriptedServer, lone: ThreadPoolExecutor
) -> None:
    client = ProtocolClient(server.host, server.port, LONG_S, patient=True)
    borrow(lone, client.link)
    server.stop()
    server.start()
    assert lone.submit(client.version).result(LONG_S)
    lone.submit(client.close).result(LONG_S)
