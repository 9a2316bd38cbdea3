"""When a server that cannot be reached is tried again, on a clock that the test tells."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.transport.backoff import (
    CALLERS_PACE_S,
    SPREAD_SHARE,
    ConnectBackoff,
    retry_delays,
)

DELAY_S = 3.0

# -- pauses that grow ----------------------------------------------------------------


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
    found = itertools.islice(retry_delays(0.1, 5.0, lambda: next(jitter)), len(jitters))
    assert all(0.05 <= delay_s <= 5.0 for delay_s in found)


# -- what the attempts say -------------------------------------------------------------


@pytest.fixture
def backoff() -> ConnectBackoff:
    """One whose attempts come as early as they may."""
    return ConnectBackoff(lambda: 0.0)


def next_attempts(backoff: ConnectBackoff) -> tuple[float, float]:
    """Without anybody who asks for one, and for a caller."""
    return (
        backoff.next_attempt_at(DELAY_S, by_caller=False),
        backoff.next_attempt_at(DELAY_S, by_caller=True),
    )


def fail(backoff: ConnectBackoff, began_at: float, now: float) -> None:
    backoff.began(began_at)
    backoff.failed(OSError("refused"), now)


def test_a_server_counts_as_reachable_until_an_attempt_fails(backoff: ConnectBackoff) -> None:
    assert backoff.error is None
    assert next_attempts(backoff) == (-math.inf, -math.inf)
    fail(backoff, 10.0, 10.0)
    assert str(backoff.error) == "refused"


def test_attempts_keep_the_delay_from_beginning_to_beginning(backoff: ConnectBackoff) -> None:
    for began_at in (10.0, 20.0, 30.0):
        fail(backoff, began_at, began_at + 0.75)
        assert backoff.next_attempt_at(DELAY_S, by_caller=False) == began_at + DELAY_S


def test_an_attempt_comes_later_by_its_spread_and_never_earlier() -> None:
    backoff = ConnectBackoff(lambda: 1.0)
    fail(backoff, 10.0, 10.0)
    latest = 10.0 + DELAY_S * (1 + SPREAD_SHARE)
    assert backoff.next_attempt_at(DELAY_S, by_caller=False) == pytest.approx(latest)


def test_an_attempt_of_one_user_delays_that_of_another(backoff: ConnectBackoff) -> None:
    fail(backoff, 10.0, 10.0)
    backoff.began(13.0)
    assert backoff.next_attempt_at(DELAY_S, by_caller=False) == 13.0 + DELAY_S


def test_callers_who_ask_for_an_attempt_have_one_soon_but_not_at_once(
    backoff: ConnectBackoff,
) -> None:
    fail(backoff, 10.0, 10.0)
    assert backoff.next_attempt_at(DELAY_S, by_caller=True) == 10.0 + CALLERS_PACE_S


def test_callers_never_wait_longer_than_the_delay(backoff: ConnectBackoff) -> None:
    # The attempt itself has taken the delay: the next one may be at once.
    fail(backoff, 10.0, 20.0)
    assert next_attempts(backoff) == (10.0 + DELAY_S, 10.0 + DELAY_S)


def test_a_connection_alone_does_not_end_the_delays(backoff: ConnectBackoff) -> None:
    fail(backoff, 10.0, 10.0)
    backoff.connected()
    assert backoff.error is None
    assert backoff.is_pending
    assert backoff.next_attempt_at(DELAY_S, by_caller=False) == 10.0 + DELAY_S


def test_a_reply_ends_the_delays(backoff: ConnectBackoff) -> None:
    fail(backoff, 10.0, 10.0)
    backoff.answered()
    assert not backoff.is_pending
    assert next_attempts(backoff) == (-math.inf, -math.inf)
