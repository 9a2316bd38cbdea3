"""The background thread: how it is reached, its life, its end."""

from __future__ import annotations

import math
import signal
import sys
import threading
from typing import Any

import gevent
import pytest

from spalloc_gevent.errors import ClosedError, WouldDeadlockError
from spalloc_gevent.transport.background import BackgroundHub, _Thread
from tests.contract.support import await_true, in_thread, native_threads, results
from tests.transport.scripted_server import LONG_S


def number_of_thread(background: BackgroundHub) -> int:
    return background.run(threading.get_native_id)


# -- its life --------------------------------------------------------------------------


def test_it_runs_from_its_first_user_to_its_last(background: BackgroundHub) -> None:
    running = [background.running]
    for change in (background.acquire, background.acquire, background.release, background.release):
        change()
        running.append(background.running)
    assert running == [False, True, True, True, False]


@pytest.mark.parametrize("wait_s", [LONG_S, float(sys.maxsize), math.inf])
def test_the_last_user_may_wait_for_the_end_of_the_thread(
    background: BackgroundHub, wait_s: float
) -> None:
    before = native_threads()
    background.acquire()
    number = str(number_of_thread(background))
    background.release(wait_s)
    # The kernel's own entry of a thread goes a moment after it.
    await_true(lambda: number not in native_threads() - before)


def test_a_new_user_after_the_last_gets_a_new_thread(background: BackgroundHub) -> None:
    background.acquire()
    background.release(LONG_S)
    background.acquire()
    assert background.run(pow, 2, 3) == 8


def test_users_that_come_at_once_share_one_thread(background: BackgroundHub) -> None:
    def use() -> int:
        background.acquire()
        return number_of_thread(background)

    assert len(set(results([in_thread(use) for _ in range(50)]))) == 1


def test_a_use_starts_the_thread_with_its_first_work_and_ends_once(
    background: BackgroundHub,
) -> None:
    use, other = background.use(), background.use()
    running = [background.running]
    use.start()
    other.run(int)
    running.append(background.running)
    use.close()
    use.close()
    running.append(background.running)
    other.close(LONG_S)
    running.append(background.running)
    assert running == [False, True, True, False]


def test_a_use_that_is_closed_starts_nothing(background: BackgroundHub) -> None:
    use = background.use()
    use.close()
    with pytest.raises(ClosedError):
        use.spawn(int)
    assert not background.running


class InterruptsItsStarter(_Thread):
    """A thread whose first deed is Ctrl+C."""

    def _main(self) -> None:
        # To the very thread that waits for this one, so that it is not woken first.
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)
        super()._main()


def test_a_start_that_is_interrupted_leaves_no_thread_behind(background: BackgroundHub) -> None:
    thread = InterruptsItsStarter(background)
    with pytest.raises(KeyboardInterrupt):
        thread.start()
    assert thread.join(LONG_S)


def test_nothing_starts_after_the_end(background: BackgroundHub) -> None:
    background.acquire()
    background.end()
    with pytest.raises(ClosedError):
        background.call_soon(print)
    with pytest.raises(ClosedError, match="the program is ending"):
        background.acquire()


# -- its end ---------------------------------------------------------------------------


def test_the_end_of_the_thread_waits_for_cleanups_and_drains(background: BackgroundHub) -> None:
    done: list[str] = []

    def finish(what: str) -> None:
        gevent.sleep(0.05)
        done.append(what)

    background.acquire()
    background.run(background.add_cleanup, lambda: finish("cleanup"))
    background.drain(finish, "drain")
    background.release(LONG_S)
    assert sorted(done) == ["cleanup", "drain"]


def test_other_greenlets_end_with_the_thread(background: BackgroundHub) -> None:
    ended: list[type[BaseException]] = []

    def wait_for_ever() -> None:
        try:
            gevent.sleep(LONG_S * 100)
        except BaseException as error:
            ended.append(type(error))
            raise

    background.acquire()
    background.spawn(wait_for_ever)
    background.run(gevent.sleep)
    background.release(LONG_S)
    assert ended == [gevent.GreenletExit]


# -- work for it -----------------------------------------------------------------------


def test_what_runs_there_is_waited_for_again_and_again(background: BackgroundHub) -> None:
    background.acquire()
    assert [background.run(int, "1") for _ in range(1000)] == [1] * 1000


def test_greenlets_wait_for_it_together(background: BackgroundHub) -> None:
    background.acquire()
    asked = [gevent.spawn(background.run, pow, n, 2) for n in range(200)]
    gevent.joinall(asked, LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in asked] == [n * n for n in range(200)]


def test_an_exception_there_comes_out_where_it_is_waited_for(background: BackgroundHub) -> None:
    background.acquire()
    with pytest.raises(ZeroDivisionError):
        background.run(divmod, 1, 0)


def test_calls_are_made_in_order(background: BackgroundHub) -> None:
    order: list[int] = []
    background.acquire()
    for number in range(100):
        background.call_soon(order.append, number)
    background.run(int)
    assert order == list(range(100))


def test_a_call_that_raises_keeps_no_other_from_being_made(
    background: BackgroundHub, capfd: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []
    background.acquire()
    background.call_soon(divmod, 1, 0)
    background.call_soon(made.append, 1)
    background.run(int)
    assert made == [1]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_blocking_call_on_its_own_thread_is_refused(background: BackgroundHub) -> None:
    background.acquire()
    with pytest.raises(WouldDeadlockError, match="the hub's own thread"):
        background.run(background.run, len)


def test_a_wait_that_is_killed_leaves_it_usable(background: BackgroundHub) -> None:
    background.acquire()
    waiting = gevent.spawn(background.run, gevent.sleep, 0.05)
    gevent.sleep(0)
    waiting.kill()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        background.run(gevent.sleep, LONG_S)
    assert background.run(pow, 2, 3) == 8


# -- what its users share ----------------------------------------------------------------


def test_what_is_shared_is_made_once_and_ends_with_its_last_user(
    background: BackgroundHub,
) -> None:
    made = [background.share("key", object) for _ in range(3)]
    assert len(set(made)) == 1
    assert [background.unshare("key", made[0]) for _ in range(3)] == [False, False, True]
    assert background.share("key", object) is not made[0]


def test_what_is_shared_no_more_is_not_ended_by_another_user(background: BackgroundHub) -> None:
    old = background.share("key", object)
    background.unshare("key", old)
    background.share("key", object)
    assert not background.unshare("key", old)


def test_there_is_one_of_each_singleton(background: BackgroundHub) -> None:
    class Singleton:
        def __init__(self, hub: BackgroundHub) -> None:
            self.hub = hub

    background.acquire()
    made: list[Any] = [background.run(background.singleton, Singleton) for _ in range(2)]
    assert made[0] is made[1]
    assert made[0].hub is background
