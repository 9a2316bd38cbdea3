"""A mailbox hands each thing to one of those who wait, and keeps what nobody has taken."""

from __future__ import annotations

from collections import Counter
from functools import partial

import gevent
import pytest

from spalloc_gevent.transport.mailbox import Mailbox
from tests.contract.support import PATIENCE_S, await_true, in_thread, results
from tests.faults.interruption import Interrupted, Interruption, interrupt_at_each_step


def await_takers(mailbox: Mailbox[int], count: int) -> None:
    await_true(lambda: len(mailbox._takers) == count)


def test_what_is_there_is_taken_in_the_order_in_which_it_came() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for number in range(3):
        mailbox.put(number)
    assert [mailbox.take() for _ in range(2)] == [0, 1]
    assert mailbox.drain() == [2]
    assert mailbox.drain() == []


def test_of_those_who_wait_the_last_who_came_is_served_first() -> None:
    mailbox: Mailbox[int] = Mailbox()
    takers = []
    for number in range(3):
        takers.append(in_thread(mailbox.take))
        await_takers(mailbox, number + 1)
    for number in range(3):
        assert mailbox.has_takers
        mailbox.put(number)
        assert takers[2 - number].result(PATIENCE_S) == number
    assert not mailbox.has_takers


def test_a_greenlet_that_takes_lets_others_run() -> None:
    mailbox: Mailbox[int] = Mailbox()
    taker = gevent.spawn(mailbox.take)
    gevent.sleep(0)
    assert mailbox.has_takers
    putter = in_thread(lambda: mailbox.put(1))
    assert taker.get(timeout=PATIENCE_S) == 1
    putter.result(PATIENCE_S)


def test_a_greenlet_that_is_killed_leaves_what_it_was_woken_for_to_the_next() -> None:
    mailbox: Mailbox[int] = Mailbox()
    takers = [gevent.spawn(mailbox.take) for _ in range(2)]
    gevent.sleep(0)
    # It wakes the last, whose hub does not run meanwhile.
    in_thread(lambda: mailbox.put(1)).result(PATIENCE_S)
    takers[1].kill()
    assert takers[0].get(timeout=PATIENCE_S) == 1
    assert not mailbox.has_takers


def test_a_greenlet_that_gives_up_is_not_woken() -> None:
    mailbox: Mailbox[int] = Mailbox()
    with gevent.Timeout(0), pytest.raises(gevent.Timeout):
        mailbox.take()
    assert not mailbox.has_takers
    mailbox.put(1)
    assert mailbox.take() == 1


def test_nothing_is_lost_or_doubled_among_many_threads() -> None:
    mailbox: Mailbox[int] = Mailbox()
    takers = [in_thread(lambda: [mailbox.take() for _ in range(200)]) for _ in range(10)]

    def put_from(first: int) -> None:
        for number in range(first, first + 200):
            mailbox.put(number)

    results([in_thread(partial(put_from, first)) for first in range(0, 2000, 200)])
    taken = Counter(number for numbers in results(takers) for number in numbers)
    assert taken == Counter(range(2000))


def test_a_put_that_is_interrupted_at_any_step_leaves_nobody_asleep_beside_a_thing() -> None:
    step = 0
    interrupted = True
    while interrupted:
        step += 1
        mailbox: Mailbox[int] = Mailbox()
        takers = [in_thread(mailbox.take) for _ in range(2)]
        await_takers(mailbox, 2)
        try:
            with Interruption(step) as interruption:
                mailbox.put(0)
        except Interrupted:
            interrupted = True
        else:
            interrupted = not interruption.left
        for number in (1, 2):
            mailbox.put(number)
        # What was interrupted may have been put or not; both takers have something even so.
        taken = results(takers)
        left = mailbox.drain()
        assert sorted(taken + left) in ([0, 1, 2], [1, 2])
    assert step > 5


def test_a_take_that_is_interrupted_at_any_step_leaves_no_taker_behind() -> None:
    mailbox: Mailbox[int] = Mailbox()

    def take_one() -> None:
        mailbox.put(1)
        mailbox.take()

    def look() -> None:
        assert not mailbox.has_takers
        mailbox.drain()
        mailbox.put(2)
        assert mailbox.take() == 2

    assert interrupt_at_each_step(take_one, look) > 5
