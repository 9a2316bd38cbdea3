"""How threads and greenlets wait: for a wake from anywhere, for a socket, for a deadline."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import gevent
import gevent.event
import pytest

from spalloc_gevent.errors import WouldDeadlockError
from spalloc_gevent.transport import native, waiting
from spalloc_gevent.transport.connection import Connection
from spalloc_gevent.transport.waiting import (
    MOST_READERS,
    ChangeCounter,
    Waiter,
    hub_waker,
    sleep,
    wait_readable,
    wait_writable,
)
from tests.contract.support import await_true, in_thread
from tests.transport.scripted_server import LONG_S


def late() -> float:
    """A deadline that only ends a hang."""
    return monotonic() + LONG_S


def soon() -> float:
    return monotonic() + 0.02


def in_plain_thread(work: Callable[[], Any]) -> Any:
    return in_thread(work).result(LONG_S)


def in_hub_of_its_own(work: Callable[[], Any]) -> Any:
    """In the main greenlet of a thread whose hub has nothing else to do."""

    def with_hub() -> Any:
        gevent.sleep(0)
        try:
            return work()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    return in_thread(with_hub).result(LONG_S)


def in_greenlet(work: Callable[[], Any]) -> Any:
    return gevent.spawn(work).get(timeout=LONG_S)


@pytest.fixture(params=[in_plain_thread, in_hub_of_its_own, in_greenlet])
def somewhere(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    """Has something done by a thread, by a greenlet, or by one whose hub has nothing else to do."""
    place: Callable[[Callable[[], Any]], Any] = request.param
    return place


Somewhere = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def connections() -> Iterator[Callable[[], tuple[Connection, Any]]]:
    """Makes connections, each with the server's end of it."""
    ends: list[Any] = []

    def make() -> tuple[Connection, Any]:
        ours, theirs = native.new_socket_pair()
        connection = Connection(native.Socket(fileno=ours.detach()))
        ends.extend([connection.sock, theirs])
        return connection, theirs

    yield make
    for end in ends:
        end.close()


Connect = Callable[[], tuple[Connection, Any]]

# -- waiters -----------------------------------------------------------------------------


def test_one_that_was_woken_before_it_waits_does_not_wait(somewhere: Somewhere) -> None:
    def wait() -> tuple[bool, Any]:
        waiter = Waiter()
        waiter.wake("value")
        return waiter.wait(), waiter.value

    assert somewhere(wait) == (True, "value")


def test_one_is_woken_by_another_thread(somewhere: Somewhere) -> None:
    def wait() -> tuple[bool, Any]:
        waiter = Waiter()
        in_thread(lambda: waiter.wake(7))
        return waiter.wait(late()), waiter.value

    assert somewhere(wait) == (True, 7)


def test_one_waits_for_ever_for_another_thread(somewhere: Somewhere) -> None:
    def wait() -> bool:
        waiter = Waiter()
        in_thread(waiter.wake)
        return waiter.wait(math.inf)

    assert somewhere(wait)


def test_one_is_woken_by_the_greenlets_of_another_hub(somewhere: Somewhere) -> None:
    def wait() -> bool:
        waiter = Waiter()
        in_thread(lambda: gevent.spawn(waiter.wake).join())
        return waiter.wait(late())

    assert somewhere(wait)


def test_a_greenlet_is_woken_by_another_of_its_hub() -> None:
    waiter = Waiter()
    gevent.spawn(waiter.wake)
    assert waiter.wait(late())


def test_one_gives_up_at_its_deadline_and_can_be_woken_afterwards(somewhere: Somewhere) -> None:
    def wait() -> list[bool]:
        waiter = Waiter()
        gave_up = [waiter.wait(0.0), waiter.wait(soon())]
        waiter.wake()
        return [*gave_up, waiter.wait(late())]

    assert somewhere(wait) == [False, False, True]


def test_deadlines_are_kept_in_their_order() -> None:
    ended: list[int] = []

    def wait(number: int) -> None:
        Waiter().wait(monotonic() + 0.05 * number)
        ended.append(number)

    gevent.joinall([gevent.spawn(wait, n) for n in (3, 1, 2)], LONG_S, raise_error=True)
    assert ended == [1, 2, 3]


def test_a_deadline_that_is_very_far_away_is_no_harm(somewhere: Somewhere) -> None:
    def wait() -> bool:
        waiter = Waiter()
        in_thread(waiter.wake)
        return waiter.wait(monotonic() + 1e12)

    assert somewhere(wait)


def test_other_greenlets_run_while_one_waits() -> None:
    waiter, steps = Waiter(), []

    def work() -> None:
        for step in range(3):
            gevent.sleep(0)
            steps.append(step)
        waiter.wake()

    gevent.spawn(work)
    assert waiter.wait(late())
    assert steps == [0, 1, 2]


def test_thousands_that_wait_are_each_woken_with_their_own_value() -> None:
    waiters: list[Waiter] = []

    def wait() -> Any:
        waiter = Waiter()
        waiters.append(waiter)
        assert waiter.wait(late())
        return waiter.value

    greenlets = [gevent.spawn(wait) for _ in range(2_000)]
    gevent.sleep(0)

    def wake_all() -> None:
        for number, waiter in enumerate(waiters):
            waiter.wake(number)

    waking = in_thread(wake_all)
    gevent.joinall(greenlets, LONG_S, raise_error=True)
    waking.result(LONG_S)
    assert [greenlet.value for greenlet in greenlets] == list(range(2_000))


@pytest.mark.parametrize("end", ["kill", "timeout"])
def test_a_wait_that_is_interrupted_leaves_the_hub_in_order(end: str) -> None:
    waiter: list[Waiter] = []
    outcome: list[BaseException] = []

    def wait() -> None:
        waiter.append(Waiter())
        try:
            with gevent.Timeout(0.02 if end == "timeout" else None):
                waiter[0].wait(late())
        except (gevent.GreenletExit, gevent.Timeout) as error:
            outcome.append(error)
        # A wake for the wait that was interrupted must not end another one of this greenlet.
        waiter[0].wake()
        outcome.append(TimeoutError() if Waiter().wait(soon()) is False else ValueError())

    greenlet = gevent.spawn(wait)
    gevent.sleep(0)
    if end == "kill":
        greenlet.kill(block=False)
    greenlet.get(timeout=LONG_S)
    kind = gevent.GreenletExit if end == "kill" else gevent.Timeout
    assert [type(error) for error in outcome] == [kind, TimeoutError]


def test_a_nudge_ends_a_threads_wait_and_wakes_it_not() -> None:
    waiter: list[Waiter] = []
    returned = threading.Semaphore(0)

    def wait() -> list[bool]:
        waiter.append(Waiter())
        woken = [waiter[0].wait(late())]
        returned.release()
        return [*woken, waiter[0].wait(late())]

    waited = in_thread(wait)
    await_true(lambda: bool(waiter))
    waiter[0].nudge()
    assert returned.acquire(timeout=LONG_S)
    waiter[0].wake()
    assert waited.result(LONG_S) == [False, True]


def test_who_blocks_a_thread_and_who_does_not_is_told() -> None:
    assert in_thread(lambda: Waiter().blocks_thread).result(LONG_S)
    assert not Waiter().blocks_thread


def test_waiting_makes_no_hub_for_a_plain_thread() -> None:
    def wait() -> bool:
        sleep(0.001)
        return hub_waker() is None

    assert in_thread(wait).result(LONG_S)


def test_a_wake_for_a_hub_that_is_gone_keeps_nobody_else_from_theirs() -> None:
    gone: list[Waiter] = []

    def make_and_leave() -> None:
        gevent.sleep(0)
        gone.append(Waiter())
        gevent.get_hub().destroy(destroy_loop=True)

    # The next thread often has the number of one that has ended.
    in_thread(make_and_leave).result(LONG_S)
    waiter = Waiter()

    def wake_both() -> None:
        gone[0].wake()
        waiter.wake()

    in_thread(wake_both).result(LONG_S)
    assert waiter.wait(late())


def test_a_wake_for_a_hub_that_is_gone_by_its_own_thread_does_no_harm() -> None:
    def wake_after_the_end() -> bool:
        gevent.sleep(0)
        waiter = Waiter()
        gevent.get_hub().destroy(destroy_loop=True)
        waiter.wake()
        return waiter.woken

    assert in_thread(wake_after_the_end).result(LONG_S)


def test_a_new_hub_of_a_thread_is_waited_in_as_the_first() -> None:
    def wait_in_two_hubs() -> list[bool]:
        woken = []
        for _ in range(2):
            gevent.sleep(0)
            waiter = Waiter()
            in_thread(waiter.wake)
            woken.append(waiter.wait(late()))
            gevent.get_hub().destroy(destroy_loop=True)
        return woken

    assert in_thread(wait_in_two_hubs).result(LONG_S) == [True, True]


def test_a_blocking_call_in_a_callback_of_the_users_loop_is_refused() -> None:
    caught: list[BaseException] = []
    done = gevent.event.Event()

    def wait_in_callback() -> None:
        try:
            Waiter().wait()
        except WouldDeadlockError as error:
            caught.append(error)
        done.set()

    gevent.get_hub().loop.run_callback(wait_in_callback)
    assert done.wait(LONG_S)
    assert "make it in a greenlet" in str(caught[0])


def test_a_hub_that_waits_for_nothing_else_ends_when_its_greenlets_do() -> None:
    def use_and_leave() -> bool:
        sleep(0.001)
        gevent.spawn(sleep, 0.001)
        # True once nothing keeps the loop from ending, as gevent tells.
        return bool(gevent.wait(timeout=LONG_S))

    def with_hub() -> bool:
        gevent.sleep(0)
        return use_and_leave()

    assert in_thread(with_hub).result(LONG_S)


# -- counters ----------------------------------------------------------------------------


def test_a_change_wakes_all_who_wait_in_threads_and_in_several_hubs() -> None:
    counter = ChangeCounter()

    def wait_in_greenlets() -> list[bool]:
        waits = [gevent.spawn(counter.wait_beyond, 0, late()) for _ in range(20)]
        gevent.joinall(waits, LONG_S, raise_error=True)
        return [greenlet.value is True for greenlet in waits]

    plain = [in_thread(lambda: counter.wait_beyond(0, late())) for _ in range(5)]
    hubs = [in_thread(wait_in_greenlets) for _ in range(3)]
    here = [gevent.spawn(counter.wait_beyond, 0, late()) for _ in range(20)]
    gevent.sleep(0)
    await_true(lambda: len(counter._waiters) == 5 + 3 * 20 + 20)
    counter.increment()
    gevent.joinall(here, LONG_S, raise_error=True)
    assert [wait.result(LONG_S) for wait in plain] == [True] * 5
    assert [wait.result(LONG_S) for wait in hubs] == [[True] * 20] * 3
    assert [greenlet.value for greenlet in here] == [True] * 20
    assert not counter.has_waiters


def test_a_change_before_the_wait_is_not_missed(somewhere: Somewhere) -> None:
    counter = ChangeCounter()
    seen = counter.count
    counter.increment()
    assert somewhere(lambda: counter.wait_beyond(seen, late()))
    assert not somewhere(lambda: counter.wait_beyond(counter.count, soon()))


def test_a_wait_for_a_change_that_does_not_come_leaves_nothing(somewhere: Somewhere) -> None:
    counter = ChangeCounter()
    assert not somewhere(lambda: counter.wait_beyond(0, soon()))
    assert not counter.has_waiters


def test_a_wait_for_a_change_that_is_killed_leaves_nothing() -> None:
    counter = ChangeCounter()
    greenlet = gevent.spawn(counter.wait_beyond, 0, late())
    gevent.sleep(0)
    waiting = [counter.has_waiters]
    greenlet.kill()
    waiting.append(counter.has_waiters)
    assert waiting == [True, False]
    counter.increment()


def test_no_change_is_missed_by_those_who_follow_them() -> None:
    counter, last = ChangeCounter(), 2_000

    def follow() -> int:
        seen = 0
        while seen < last:
            assert counter.wait_beyond(seen, late())
            seen = counter.count
        return seen

    followers = [in_thread(follow) for _ in range(3)]
    greenlet = gevent.spawn(follow)
    for number in range(last):
        counter.increment()
        if number % 100 == 0:
            gevent.sleep(0)
    assert greenlet.get(timeout=LONG_S) == last
    assert [follower.result(LONG_S) for follower in followers] == [last] * 3


# -- sockets -----------------------------------------------------------------------------


def test_a_connection_is_waited_for_until_something_comes(
    somewhere: Somewhere, connections: Connect
) -> None:
    connection, server = connections()

    def wait() -> list[bool]:
        readable = [wait_readable(connection, soon())]
        in_thread(lambda: server.send(b"x"))
        return [*readable, wait_readable(connection, late())]

    assert somewhere(wait) == [False, True]


def test_the_end_of_a_connection_is_something_to_read(
    somewhere: Somewhere, connections: Connect
) -> None:
    connection, server = connections()
    server.close()
    assert somewhere(lambda: wait_readable(connection, late()))


def test_a_connection_may_be_waited_for_in_one_hub_after_the_other(connections: Connect) -> None:
    connection, server = connections()
    for place in (in_greenlet, in_hub_of_its_own, in_plain_thread, in_greenlet, in_hub_of_its_own):
        server.send(b"x")
        assert place(lambda: wait_readable(connection, late()))
        connection.sock.recv(1)


def test_a_greenlet_that_waits_for_a_connection_can_be_woken(connections: Connect) -> None:
    connection, _ = connections()
    woken: list[bool] = []

    def wait() -> bool:
        waiter = Waiter()
        in_thread(waiter.wake)
        readable = wait_readable(connection, late(), waiter)
        woken.append(waiter.woken)
        return readable

    assert in_greenlet(wait) is False
    assert woken == [True]


def test_a_hub_keeps_few_watchers_however_many_connections_it_has_waited_for(
    connections: Connect,
) -> None:
    for _ in range(3 * MOST_READERS):
        connection, server = connections()
        server.send(b"x")
        assert wait_readable(connection, late())
        # The next one often has the same descriptor.
        connection.sock.close()
        server.close()
    waker = hub_waker()
    assert waker is not None
    assert len(waker._readers) <= MOST_READERS + 1


def test_a_connection_whose_wait_is_killed_is_as_good_as_before(connections: Connect) -> None:
    connection, server = connections()
    greenlet = gevent.spawn(wait_readable, connection, late())
    gevent.sleep(0)
    greenlet.kill()
    server.send(b"x")
    assert wait_readable(connection, late())


def test_a_full_socket_is_waited_for_until_it_takes_more(
    somewhere: Somewhere, connections: Connect
) -> None:
    connection, server = connections()

    def wait() -> list[bool]:
        connection.sock.setblocking(False)
        try:
            while connection.sock.send(b"x" * 65536):
                pass
        except BlockingIOError:
            pass
        writable = [wait_writable(connection.fileno(), soon())]
        in_thread(lambda: [server.recv(1 << 20) for _ in range(2)])
        return [*writable, wait_writable(connection.fileno(), late())]

    assert somewhere(wait) == [False, True]


# -- the main thread -----------------------------------------------------------------------


def test_the_main_thread_looks_up_for_signals_in_a_wait_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A handler that raises, but whose signal came just before the thread fell asleep.
    looks: list[float] = []
    monkeypatch.setattr(waiting, "SIGNAL_WITHIN_S", 0.01)
    switch = waiting.HubWaker._switch

    def counted(self: Any, resume: Any, deadline: float) -> Any:
        looks.append(deadline)
        if len(looks) == 3:
            raise KeyboardInterrupt
        return switch(self, resume, deadline)

    monkeypatch.setattr(waiting.HubWaker, "_switch", counted)
    with pytest.raises(KeyboardInterrupt), gevent.Timeout(LONG_S):
        Waiter().wait(math.inf)
    assert len(looks) == 3
