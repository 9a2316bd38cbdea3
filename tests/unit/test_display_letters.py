"""Letters that stand for things in a picture."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.letters import letter_order, lettered, letters


def test_letters_go_on_as_the_columns_of_a_spreadsheet() -> None:
    keys = list(itertools.islice(letters(), 26 + 26 * 26 + 1))
    assert keys[:2] + keys[25:29] == ["A", "B", "Z", "AA", "AB", "AC"]
    assert keys[-2:] == ["ZZ", "AAA"]


def test_what_stays_keeps_its_letters_and_what_comes_gets_those_that_are_free() -> None:
    first = lettered([11, 12, 13])
    assert first == {11: "A", 12: "B", 13: "C"}
    second = lettered([11, 13, 14, 15], first)
    assert second == {11: "A", 14: "B", 13: "C", 15: "D"}
    assert list(second) == [11, 14, 13, 15]


@given(st.lists(st.frozensets(st.integers(0, 60)), max_size=6))
def test_letters_are_never_shared_and_never_change_while_something_stays(
    sights: list[frozenset[int]],
) -> None:
    known: dict[int, str] = {}
    for things in sights:
        given_now = lettered(things, known)
        assert set(given_now) == things
        assert len(set(given_now.values())) == len(things)
        assert all(given_now[thing] == known[thing] for thing in things & set(known))
        assert list(given_now.values()) == sorted(given_now.values(), key=letter_order)
        known = given_now


def test_z_comes_before_aa() -> None:
    assert sorted(["AA", "B", "Z", "A"], key=letter_order) == ["A", "B", "Z", "AA"]
