"""Who is told of what."""

from __future__ import annotations

import pytest

from spalloc_gevent.simulator.watches import SeparateWatches, Watches


@pytest.fixture
def watches() -> Watches[str]:
    return Watches()


def told(watches: Watches[str], *changed: int) -> dict[str, list[int]]:
    return dict(watches.concerned(set(changed)))


def test_watcher_hears_of_what_it_watches_only(watches: Watches[str]) -> None:
    watches.start("me", 1)
    watches.start("me", 2)
    watches.start("you", 3)
    assert told(watches, 1, 2, 4) == {"me": [1, 2]}


def test_watcher_of_everything_hears_everything(watches: Watches[str]) -> None:
    watches.start("me", 1)
    watches.start("me", None)
    watches.start("me", 2)
    assert told(watches, 3, 1) == {"me": [1, 3]}


def test_nobody_hears_of_nothing(watches: Watches[str]) -> None:
    watches.start("me", None)
    assert told(watches) == {}


def test_watch_of_everything_does_not_end_by_ending_one(watches: Watches[str]) -> None:
    watches.start("me", None)
    watches.stop("me", 1)
    assert told(watches, 1) == {"me": [1]}
    watches.stop("me", None)
    assert told(watches, 1) == {}


def test_stopping_null_ends_every_watch(watches: Watches[str]) -> None:
    watches.start("me", 1)
    watches.start("me", 2)
    watches.stop("me", None)
    assert told(watches, 1, 2) == {}


def test_stopping_what_was_never_watched_does_nothing(watches: Watches[str]) -> None:
    watches.stop("me", 1)
    watches.stop("me", None)
    watches.start("me", 1)
    watches.stop("me", 2)
    assert told(watches, 1) == {"me": [1]}


def test_forgotten_watcher_hears_nothing(watches: Watches[str]) -> None:
    watches.start("me", None)
    watches.forget("me")
    watches.forget("nobody")
    assert told(watches, 1) == {}


def test_separate_watches_end_separately_and_tell_twice() -> None:
    watches: SeparateWatches[str] = SeparateWatches()
    watches.start("me", 1)
    watches.start("me", None)
    assert list(watches.concerned({1})) == [("me", [1]), ("me", [1])]
    watches.stop("me", None)
    assert list(watches.concerned({1, 2})) == [("me", [1])]
    watches.stop("me", 1)
    assert list(watches.concerned({1})) == []
    watches.start("me", None)
    watches.forget("me")
    assert list(watches.concerned({1})) == []
