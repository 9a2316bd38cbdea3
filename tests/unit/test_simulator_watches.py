"""Who is told of what."""

from __future__ import annotations

import pytest

from spalloc_gevent.simulator.watches import JavaJobWatches, JavaMachineWatches, Watches


class Server:
    """What watches look at: a clock, and the jobs that live."""

    def __init__(self, *living: int) -> None:
        self.now = 0.0
        self.living = set(living)
        self.python: Watches[str] = Watches()
        self.java: JavaJobWatches[str] = JavaJobWatches(lambda: self.now, lambda: {*self.living})

    def told(self, *changed: int) -> list[tuple[str, list[int]]]:
        return list(self.python.concerned(set(changed)))

    def java_tells(self, *changed: int, at: float = 0.0) -> list[tuple[str, list[int]]]:
        self.now = at
        return list(self.java.concerned(set(changed)))


@pytest.fixture
def server() -> Server:
    return Server(1)


def test_watcher_hears_of_what_it_watches_only(server: Server) -> None:
    for watcher, job_id in (("me", 1), ("me", 2), ("you", 3)):
        server.python.start(watcher, job_id)
    assert server.told(1, 2, 4) == [("me", [1, 2])]
    assert server.told() == []


def test_watcher_of_everything_hears_everything_until_it_stops_that(server: Server) -> None:
    for job_id in (1, None, 2):
        server.python.start("me", job_id)
    assert server.told(3, 1) == [("me", [1, 3])]
    server.python.stop("me", 1)
    assert server.told(1) == [("me", [1])]
    server.python.stop("me", None)
    assert server.told(1) == []


def test_stopping_null_ends_every_watch_and_what_was_never_watched_none(server: Server) -> None:
    server.python.stop("me", 1)
    server.python.stop("me", None)
    server.python.start("me", 1)
    server.python.stop("me", 2)
    assert server.told(1, 2) == [("me", [1])]
    server.python.start("me", 2)
    server.python.stop("me", None)
    assert server.told(1, 2) == []


def test_forgotten_watcher_hears_nothing(server: Server) -> None:
    server.python.start("me", None)
    server.python.forget("me")
    server.python.forget("nobody")
    assert server.told(1) == []


def test_watch_of_all_covers_the_jobs_that_live_when_its_wait_begins(server: Server) -> None:
    server.java.start("me", None)
    server.living.add(2)
    assert server.java_tells(2) == []
    assert server.java_tells(1) == [("me", [1])]
    assert server.java_tells(2) == [("me", [2])]


def test_watch_of_all_takes_in_new_jobs_after_a_minute(server: Server) -> None:
    server.java.start("me", None)
    server.living.add(2)
    assert server.java_tells(at=59.0) == []
    assert server.java_tells(2, at=59.5) == []
    assert server.java.next_due() == 60.0
    assert server.java_tells(at=60.0) == []
    assert server.java_tells(2, at=60.5) == [("me", [2])]


def test_watch_of_all_that_began_with_no_job_hears_at_once() -> None:
    server = Server()
    server.java.start("me", None)
    assert server.java_tells() == []
    server.living.add(1)
    assert server.java_tells() == []
    assert server.java_tells(1) == [("me", [1])]


def test_stopping_the_watch_of_all_tells_of_all_once() -> None:
    server = Server(1, 2)
    server.java.start("me", None)
    server.java.stop("me", None)
    assert server.java_tells(1) == [("me", [1, 2])]
    assert server.java_tells(1) == []


def test_watch_of_one_job_repeats_itself_every_minute_after_the_first_change(
    server: Server,
) -> None:
    server.java.start("me", 1)
    assert server.java.next_due() == float("inf")
    assert server.java_tells(at=100.0) == []
    assert server.java_tells(1, at=101.0) == [("me", [1])]
    assert server.java.next_due() == 161.0
    assert server.java_tells(at=160.0) == []
    assert server.java_tells(at=161.0) == server.java_tells(at=221.0) == [("me", [1])]
    server.java.stop("me", 1)
    assert server.java_tells(1, at=300.0) == []


def test_watches_of_one_and_of_all_jobs_are_told_separately(server: Server) -> None:
    server.java.start("me", 1)
    server.java.start("me", None)
    assert server.java_tells(1) == [("me", [1]), ("me", [1])]
    server.java.forget("me")
    assert server.java_tells(1) == []


def test_each_watch_of_machines_is_told_and_ends_with_its_client_only() -> None:
    watches: JavaMachineWatches[str] = JavaMachineWatches()
    watches.start("me", None)
    watches.start("me", "b")
    watches.stop("me", None)
    assert list(watches.concerned({"a", "b"})) == [("me", ["a", "b"]), ("me", ["b"])]
    assert list(watches.concerned({"a"})) == [("me", ["a"])]
    watches.forget("me")
    assert list(watches.concerned({"a"})) == []
