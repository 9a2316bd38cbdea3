"""Which job the server's list tells of under a number."""

from __future__ import annotations

from spalloc_gevent.wire.identity import Identity

OURS = Identity("me", 123.5)


def test_a_job_is_told_by_its_owner_and_the_time_it_began() -> None:
    assert OURS.is_told_by({"owner": "me", "start_time": 123.5})
    assert not OURS.is_told_by({"owner": "you", "start_time": 123.5})
    assert not OURS.is_told_by({"owner": "me", "start_time": 124.0})


def test_what_is_not_known_of_a_job_tells_nothing_apart() -> None:
    assert Identity().is_told_by({"owner": "anybody", "start_time": 1.0})
    assert Identity("me").is_told_by({"owner": "me", "start_time": 1.0})
    assert not Identity("me").is_told_by({"owner": "you", "start_time": 1.0})
    assert not Identity(start_time=2.0).is_told_by({"owner": "me", "start_time": 1.0})


def test_an_owner_that_the_server_hides_may_be_anybody() -> None:
    assert OURS.is_told_by({"owner": "<Hidden>", "start_time": 123.5})
    assert not OURS.is_told_by({"owner": "<Hidden>", "start_time": 124.0})


def test_a_start_time_once_known_stays() -> None:
    assert Identity("me").completed(5.0) == Identity("me", 5.0)
    assert OURS.completed(5.0) == OURS
