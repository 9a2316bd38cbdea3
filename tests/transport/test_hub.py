"""The background thread: its door, its life, its end."""

from __future__ import annotations

import os
import signal
import threading

import gevent
import gevent.event
import pytest

from spalloc_gevent.engine.hub import Hub, HubThread
from spalloc_gevent.engine.outcome import NotSettledError, Outcome
from spalloc_gevent.errors import ClosedError, WouldDeadlockError
from tests.contract.support import in_thread
from tests.transport.scripted_server import LONG_S


def test_nothing_runs_before_the_first_user_and_after_the_last(hub: Hub) -> None:
    running = [hub.running]
    first, second = hub.acquire(), hub.acquire()
    running.append(hub.running)
    hub.release(first, LONG_S)
    running.append(hub.running)
    hub.release(second, LONG_S)
    running.append(hub.running)
    assert first is second
    assert running == [False, True, True, False]
    assert first.join(LONG_S)


def test_a_new_user_after_the_last_gets_a_new_thread(hub: Hub) -> None:
    first = hub.acquire()
    hub.release(first, LONG_S)
    second = hub.acquire()
    assert second is not first
    assert second.call(lambda: 5, timeout_s=LONG_S) == 5


def test_users_that_come_at_once_share_one_thread(hub: Hub) -> None:
    found: list[HubThread] = []
    threads = [threading.Thread(target=lambda: found.append(hub.acquire())) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert len(found) == 50
    assert len(set(found)) == 1


class InterruptsItsStarter(HubThread):
    """A thread whose first deed is Ctrl+C."""

    def _main(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        super()._main()


def test_a_start_that_is_interrupted_leaves_no_thread_behind() -> None:
    thread = InterruptsItsStarter({})
    with pytest.raises(KeyboardInterrupt):
        thread.start()
    assert thread.join(LONG_S)


def test_what_runs_on_the_hub_is_waited_for_again_and_again(hub: Hub) -> None:
    thread = hub.acquire()
    assert [thread.call(lambda: 1, timeout_s=LONG_S) for _ in range(1000)] == [1] * 1000


def test_greenlets_wait_for_the_hub_together(hub: Hub) -> None:
    thread = hub.acquire()
    asked = [gevent.spawn(thread.call, pow, n, 2, timeout_s=LONG_S) for n in range(200)]
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in asked] == [n * n for n in range(200)]


def test_an_exception_on_the_hub_comes_out_where_it_is_waited_for(hub: Hub) -> None:
    with pytest.raises(ZeroDivisionError):
        hub.acquire().call(divmod, 1, 0, timeout_s=LONG_S)


def test_what_is_posted_runs_in_order(hub: Hub) -> None:
    thread, order = hub.acquire(), list[int]()
    for number in range(100):
        thread.post(order.append, number)
    thread.call(lambda: None, timeout_s=LONG_S)
    assert order == list(range(100))


def test_a_blocking_call_on_the_hubs_own_thread_is_refused(hub: Hub) -> None:
    thread = hub.acquire()
    with pytest.raises(WouldDeadlockError, match="the hub's own thread"):
        thread.call(thread.call, len, timeout_s=LONG_S)


def test_a_blocking_call_in_a_callback_of_the_users_loop_is_refused() -> None:
    caught: list[BaseException] = []
    done = gevent.event.Event()

    def wait_in_callback() -> None:
        try:
            Outcome[int]()
        except WouldDeadlockError as error:
            caught.append(error)
        done.set()

    gevent.get_hub().loop.run_callback(wait_in_callback)
    assert done.wait(LONG_S)
    assert "make it in a greenlet" in str(caught[0])


def test_the_door_is_closed_after_the_end(hub: Hub) -> None:
    thread = hub.acquire()
    hub.end()
    assert thread.join(LONG_S)
    with pytest.raises(ClosedError):
        thread.post(print)


def test_an_answer_for_a_thread_whose_hub_is_gone_keeps_nobody_else_from_theirs(hub: Hub) -> None:
    thread = hub.acquire()
    gone: list[Outcome[int]] = []

    def make_and_leave() -> None:
        gevent.sleep(0)
        gone.append(Outcome())
        gevent.get_hub().destroy(destroy_loop=True)

    short_lived = threading.Thread(target=make_and_leave)
    short_lived.start()
    short_lived.join(LONG_S)

    def wait_for_two() -> int:
        waiting: Outcome[int] = Outcome()

        def settle_both() -> None:
            gone[0].settle(1)
            waiting.settle(2)

        thread.post(settle_both)
        return waiting.wait()

    assert in_thread(wait_for_two).result(LONG_S) == 2


def test_a_wait_that_is_killed_leaves_the_door_usable(hub: Hub) -> None:
    thread = hub.acquire()
    greenlet = gevent.spawn(thread.call, gevent.sleep, LONG_S)
    gevent.sleep(0)
    greenlet.kill()
    with pytest.raises(NotSettledError):
        thread.call(gevent.sleep, LONG_S, timeout_s=0.05)
    assert thread.call(lambda: 3, timeout_s=LONG_S) == 3


def test_what_is_shared_is_made_once_and_ends_with_its_last_user(hub: Hub) -> None:
    made = [hub.share("key", object) for _ in range(3)]
    assert len(set(made)) == 1
    assert [hub.unshare("key", made[0]) for _ in range(3)] == [False, False, True]
    assert hub.share("key", object) is not made[0]
