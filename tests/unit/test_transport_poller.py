"""How long a server that is looked at is left alone between two looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.transport.poller import (
    LONGEST_REST_S,
    SHARE_OF_CPU,
    SHARE_OF_SERVER,
    SHORTEST_REST_S,
    rest_s,
)

spans = st.floats(0, 1000)


def test_after_a_look_that_costs_nothing_comes_the_shortest_rest() -> None:
    assert rest_s(0.0, 0.0) == SHORTEST_REST_S == 0.1


def test_a_look_that_is_dear_here_is_followed_by_a_longer_rest() -> None:
    assert rest_s(0.03, 0.0) == 0.03 / SHARE_OF_CPU
    assert rest_s(0.03, 0.001) == 0.03 / SHARE_OF_CPU


def test_a_look_that_is_dear_for_the_server_is_followed_by_a_longer_rest() -> None:
    assert rest_s(0.001, 0.15) == 0.15 / SHARE_OF_SERVER


def test_news_waits_no_longer_than_the_longest_rest() -> None:
    assert rest_s(60.0, 60.0) == LONGEST_REST_S


@given(spans, spans)
def test_a_rest_keeps_to_both_shares_and_to_its_bounds(cpu_s: float, asked_s: float) -> None:
    rest = rest_s(cpu_s, asked_s)
    assert SHORTEST_REST_S <= rest <= LONGEST_REST_S
    if rest < LONGEST_REST_S:
        assert cpu_s <= SHARE_OF_CPU * rest * 1.001
        assert asked_s <= SHARE_OF_SERVER * rest * 1.001


@given(spans, spans, spans)
def test_a_dearer_look_never_has_a_shorter_rest(cpu_s: float, asked_s: float, more: float) -> None:
    assert rest_s(cpu_s + more, asked_s) >= rest_s(cpu_s, asked_s)
    assert rest_s(cpu_s, asked_s + more) >= rest_s(cpu_s, asked_s)
