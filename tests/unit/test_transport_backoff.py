"""When a server that cannot be reached is tried again, on a clock that the test tells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.transport.backoff import CALLERS_PACE_S, ConnectBackoff, retry_delays

# -- delays --------------------------------------------------------------------------


def delays(count: int, jitter: float, first_s: float = 0.1, longest_s: float = 5.0) -> list[float]:
    return list(itertools.islice(retry_delays(first_s, longest_s, lambda: jitter), count))


def test_retry_delays_double_up_to_the_longest() -> None:
    assert delays(8, jitter=1.0) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_jitter_shortens_a_delay_to_half_of_it_at_most() -> None:
    assert delays(3, jitter=0.0) == pytest.approx([0.05, 0.1, 0.2])


def test_the_first_delay_is_never_more_than_the_longest() -> None:
    assert delays(2, jitter=1.0, first_s=3.0, longest_s=1.0) == [1.0, 1.0]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_every_delay_is_positive_and_bounded(jitters: list[float]) -> None:
    jitter = iter(jitters)
    found = itertools.islice(retry_delays(jitter=lambda: next(jitter)), len(jitters))
    assert all(0.05 <= delay_s <= 5.0 for delay_s in found)


# -- what the attempts say -------------------------------------------------------------


def doubling(longest_s: float) -> Iterator[float]:
    return (min(longest_s, 2.0**number) for number in itertools.count())


@pytest.fixture
def backoff() -> ConnectBackoff:
    """One whose delays are 1, 2, 4 and 5 s."""
    return ConnectBackoff(doubling)


def next_attempts(backoff: ConnectBackoff) -> tuple[float, float]:
    """For somebody who waits for the server, and for a caller who does not."""
    return backoff.next_attempt_at(by_caller=False), backoff.next_attempt_at(by_caller=True)


def test_a_server_counts_as_reachable_until_an_attempt_fails(backoff: ConnectBackoff) -> None:
    downs = [backoff.is_down]
    assert next_attempts(backoff) <= (0.0, CALLERS_PACE_S)
    backoff.failed(OSError("refused"), now=10.0, began_at=10.0)
    downs.append(backoff.is_down)
    assert downs == [False, True]
    assert str(backoff.error) == "refused"


def test_those_who_wait_for_the_server_try_it_after_the_delay(backoff: ConnectBackoff) -> None:
    backoff.failed(OSError(), now=10.0, began_at=10.0)
    assert backoff.next_attempt_at(by_caller=False) == 11.0


def test_callers_who_do_not_wait_may_try_soon_but_not_at_once(backoff: ConnectBackoff) -> None:
    backoff.failed(OSError(), now=10.0, began_at=10.0)
    assert backoff.next_attempt_at(by_caller=True) == 10.0 + CALLERS_PACE_S


def test_nobody_tries_later_than_those_who_wait(backoff: ConnectBackoff) -> None:
    # The attempt itself has taken the delay: the next one may be at once.
    backoff.failed(OSError(), now=20.0, began_at=10.0)
    assert next_attempts(backoff) == (20.0, 20.0)


def test_the_time_that_an_attempt_took_counts_as_delay(backoff: ConnectBackoff) -> None:
    backoff.failed(OSError("no answer"), now=10.0, began_at=9.25)
    assert backoff.next_attempt_at(by_caller=False) == 10.25


def test_a_connection_alone_does_not_start_the_delays_again(backoff: ConnectBackoff) -> None:
    backoff.failed(OSError(), now=0.0, began_at=0.0)
    backoff.connected()
    assert not backoff.is_down
    assert backoff.is_pending
    backoff.failed(OSError(), now=0.0, began_at=0.0)
    assert backoff.next_attempt_at(by_caller=False) == 2.0


def test_a_reply_starts_the_delays_again(backoff: ConnectBackoff) -> None:
    backoff.failed(OSError(), now=0.0, began_at=0.0)
    backoff.connected()
    backoff.answered()
    assert not backoff.is_pending
    backoff.failed(OSError(), now=0.0, began_at=0.0)
    assert backoff.next_attempt_at(by_caller=False) == 1.0


def test_the_longest_delay_that_anybody_wants_holds_from_the_next_failure_on(
    backoff: ConnectBackoff,
) -> None:
    tried_at = []
    for longest_s in (5.0, 5.0, 0.5, 0.5, 5.0):
        backoff.failed(OSError(), now=0.0, began_at=0.0, longest_s=longest_s)
        tried_at.append(backoff.next_attempt_at(by_caller=False))
    assert tried_at == [1.0, 2.0, 0.5, 0.5, 1.0]
