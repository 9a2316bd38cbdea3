"""Who is told of what."""

from __future__ import annotations

import pytest

from spalloc_gevent.simulator.watches import JavaJobWatches, JavaMachineWatches, Watches


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


class JavaServer:
    """What watches of the Java server look at: a clock, and the jobs that live."""

    def __init__(self, *living: int) -> None:
        self.now = 0.0
        self.living = set(living)
        self.watches: JavaJobWatches[str] = JavaJobWatches(
            lambda: self.now, lambda: set(self.living)
        )

    def tells(self, *changed: int, at: float = 0.0) -> list[tuple[str, list[int]]]:
        self.now = at
        return list(self.watches.concerned(set(changed)))


def test_watch_of_all_covers_the_jobs_that_live_when_its_wait_begins() -> None:
    server = JavaServer(1)
    server.watches.start("me", None)
    server.living.add(2)
    assert server.tells(2) == []
    assert server.tells(1) == [("me", [1])]
    assert server.tells(2) == [("me", [2])]


def test_watch_of_all_takes_in_new_jobs_after_a_minute() -> None:
    server = JavaServer(1)
    server.watches.start("me", None)
    server.living.add(2)
    assert server.tells(at=59.0) == []
    assert server.tells(2, at=59.5) == []
    assert server.watches.next_due == 60.0
    assert server.tells(at=60.0) == []
    assert server.tells(2, at=60.5) == [("me", [2])]


def test_watch_of_all_that_began_with_no_job_hears_at_once() -> None:
    server = JavaServer()
    server.watches.start("me", None)
    assert server.tells() == []
    server.living.add(1)
    assert server.tells() == []
    assert server.tells(1) == [("me", [1])]


def test_stopping_the_watch_of_all_tells_of_all_once() -> None:
    server = JavaServer(1, 2)
    server.watches.start("me", None)
    server.watches.stop("me", None)
    assert server.tells(1) == [("me", [1, 2])]
    assert server.tells(1) == []


def test_watch_of_one_job_repeats_itself_every_minute_after_the_first_change() -> None:
    server = JavaServer(1)
    server.watches.start("me", 1)
    assert server.watches.next_due == float("inf")
    assert server.tells(at=100.0) == []
    assert server.tells(1, at=101.0) == [("me", [1])]
    assert server.watches.next_due == 161.0
    assert server.tells(at=160.0) == []
    assert server.tells(at=161.0) == server.tells(at=221.0) == [("me", [1])]
    server.watches.stop("me", 1)
    assert server.tells(1, at=300.0) == []


def test_watches_of_one_and_of_all_jobs_are_told_separately() -> None:
    server = JavaServer(1)
    server.watches.start("me", 1)
    server.watches.start("me", None)
    assert server.tells(1) == [("me", [1]), ("me", [1])]
    server.watches.forget("me")
    assert server.tells(1) == []


def test_each_watch_of_machines_is_told_and_ends_with_its_client_only() -> None:
    watches: JavaMachineWatches[str] = JavaMachineWatches()
    watches.start("me", None)
    watches.start("me", "b")
    assert list(watches.concerned({"a", "b"})) == [("me", ["a", "b"]), ("me", ["b"])]
    assert list(watches.concerned({"a"})) == [("me", ["a"])]
    watches.forget("me")
    assert list(watches.concerned({"a"})) == []
