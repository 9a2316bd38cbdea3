"""Notifications that nobody has asked for yet: in order, for their owner, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import gevent
import pytest

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.transport.notification_queue import (
    MOST_KEYS,
    MOST_UNREAD,
    Key,
    Kind,
    NotificationQueue,
)
from tests.contract.support import await_true, in_thread

LONG_S = 30.0


def jobs_changed(*ids: object) -> dict[str, Any]:
    return {"jobs_changed": list(ids)}


def queue_of(*subscribed: tuple[Kind, Key]) -> NotificationQueue:
    queue = NotificationQueue()
    queue.subscribed.update(subscribed)
    return queue


@pytest.fixture
def queue() -> NotificationQueue:
    """That of somebody who has subscribed to all jobs."""
    return queue_of((Kind.JOB, None))


def take(queue: NotificationQueue) -> dict[str, Any] | None:
    return queue.take(Deadline(LONG_S).at)


def read_all(queue: NotificationQueue) -> list[dict[str, Any]]:
    return list(iter(lambda: queue.take(0.0), None))


# -- what is kept ------------------------------------------------------------------------


def test_notifications_are_read_in_the_order_they_came(queue: NotificationQueue) -> None:
    for number in range(3):
        queue.put(jobs_changed(number))
    assert read_all(queue) == [jobs_changed(n) for n in range(3)]


def test_the_owner_of_a_few_subscriptions_is_told_of_those_only() -> None:
    queue = queue_of((Kind.JOB, 2), (Kind.JOB, 4))
    queue.put(jobs_changed(1, 2, 3, 4))
    queue.put(jobs_changed(5))
    assert read_all(queue) == [jobs_changed(2, 4)]


def test_unread_notifications_are_bounded_and_their_news_is_kept(queue: NotificationQueue) -> None:
    for number in range(MOST_UNREAD + 500):
        queue.put(jobs_changed(number))
    told = read_all(queue)
    assert len(told) == MOST_UNREAD + 1
    assert told[-1] == jobs_changed(*range(MOST_UNREAD, MOST_UNREAD + 500))


def test_one_job_that_changes_for_ever_takes_no_more_memory(queue: NotificationQueue) -> None:
    for _ in range(MOST_UNREAD + 5_000):
        queue.put(jobs_changed(1))
    assert read_all(queue) == [jobs_changed(1)] * (MOST_UNREAD + 1)


def test_the_keys_in_a_merged_notification_are_bounded_the_latest_are_kept(
    queue: NotificationQueue,
) -> None:
    for _ in range(MOST_UNREAD):
        queue.put(jobs_changed(0))
    queue.put(jobs_changed(*range(MOST_KEYS + 10)))
    assert read_all(queue)[-1] == jobs_changed(*range(10, MOST_KEYS + 10))


def test_jobs_and_machines_are_merged_apart() -> None:
    queue = queue_of((Kind.JOB, None), (Kind.MACHINE, None))
    for _ in range(MOST_UNREAD):
        queue.put(jobs_changed(0))
    queue.put(jobs_changed(1))
    queue.put({"machines_changed": ["m"]})
    assert read_all(queue)[MOST_UNREAD:] == [jobs_changed(1), {"machines_changed": ["m"]}]


def test_once_the_merged_ones_are_read_the_next_are_kept_one_by_one_again(
    queue: NotificationQueue,
) -> None:
    for _ in range(MOST_UNREAD + 1):
        queue.put(jobs_changed(0))
    read_all(queue)
    queue.put(jobs_changed(1))
    queue.put(jobs_changed(1))
    assert read_all(queue) == [jobs_changed(1)] * 2


def test_what_names_no_job_in_a_notification_is_left_out() -> None:
    queue = queue_of((Kind.JOB, 1))
    queue.put(jobs_changed([], {}, None, 1))
    assert read_all(queue) == [jobs_changed(1)]


# -- who waits ---------------------------------------------------------------------------


def waits(queue: NotificationQueue, count: int = 1) -> bool:
    return len(queue._waiters) == count


@pytest.fixture(params=["a thread", "a greenlet"])
def taking(request: pytest.FixtureRequest) -> Callable[[NotificationQueue], Callable[[], Any]]:
    """Has somebody wait for a notification; a function that returns what came of it."""

    def in_a_thread(queue: NotificationQueue) -> Callable[[], Any]:
        taken: Future[Any] = in_thread(lambda: take(queue))
        return lambda: taken.result(LONG_S)

    def in_a_greenlet(queue: NotificationQueue) -> Callable[[], Any]:
        taken = gevent.spawn(take, queue)
        gevent.sleep(0)
        return lambda: taken.get(timeout=LONG_S)

    return in_a_thread if request.param == "a thread" else in_a_greenlet


def test_a_notification_goes_to_one_that_waits_the_first(
    queue: NotificationQueue, taking: Callable[[NotificationQueue], Callable[[], Any]]
) -> None:
    first = taking(queue)
    await_true(lambda: waits(queue))
    second = taking(queue)
    await_true(lambda: waits(queue, 2))
    queue.put(jobs_changed(1))
    assert first() == jobs_changed(1)
    assert waits(queue)
    queue.put(jobs_changed(2))
    assert second() == jobs_changed(2)
    assert read_all(queue) == []


def test_one_that_has_given_up_gets_nothing(queue: NotificationQueue) -> None:
    assert queue.take(0.0) is None
    queue.put(jobs_changed(1))
    assert read_all(queue) == [jobs_changed(1)]


def test_what_one_got_as_it_was_killed_is_unread_again_and_in_front(
    queue: NotificationQueue,
) -> None:
    taken = gevent.spawn(take, queue)
    gevent.sleep(0)
    taken.kill(block=False)
    queue.put(jobs_changed(1))
    queue.put(jobs_changed(2))
    killed: object = taken.get(timeout=LONG_S)
    assert isinstance(killed, gevent.GreenletExit)
    assert read_all(queue) == [jobs_changed(1), jobs_changed(2)]


def test_one_that_is_killed_before_anything_came_takes_nothing(queue: NotificationQueue) -> None:
    taken = gevent.spawn(take, queue)
    gevent.sleep(0)
    taken.kill()
    queue.put(jobs_changed(1))
    assert read_all(queue) == [jobs_changed(1)]


def test_threads_that_take_at_once_lose_nothing_and_get_nothing_twice() -> None:
    queue, count = queue_of((Kind.JOB, None)), MOST_UNREAD // 2
    taken: list[int] = []
    mutex = threading.Lock()

    def take_until_the_end() -> None:
        while (body := take(queue)) != jobs_changed(-1):
            assert body is not None
            with mutex:
                taken.extend(body["jobs_changed"])

    takers = [in_thread(take_until_the_end) for _ in range(4)]
    for number in range(count):
        queue.put(jobs_changed(number))
    for _ in takers:
        queue.put(jobs_changed(-1))
    for taker in takers:
        taker.result(LONG_S)
    assert sorted(taken) == list(range(count))


# -- gaps --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ClosedError("closed"), OSError("reset")])
def test_all_who_wait_are_told_of_a_gap(
    queue: NotificationQueue,
    error: Exception,
    taking: Callable[[NotificationQueue], Callable[[], Any]],
) -> None:
    waiting = [taking(queue), taking(queue)]
    await_true(lambda: waits(queue, 2))
    queue.put_gap(error)
    for outcome in waiting:
        with pytest.raises(type(error) if isinstance(error, ClosedError) else ConnectionLostError):
            outcome()
    assert read_all(queue) == []


def test_a_gap_that_nobody_waited_for_is_told_once_in_its_place(queue: NotificationQueue) -> None:
    queue.put(jobs_changed(1))
    queue.put_gap(OSError("reset"))
    queue.put(jobs_changed(2))
    assert take(queue) == jobs_changed(1)
    with pytest.raises(ConnectionLostError, match="the connection was lost: reset"):
        take(queue)
    assert read_all(queue) == [jobs_changed(2)]
