"""What tells a job from another one with its number."""

from __future__ import annotations

from typing import Any

import pytest

from spalloc_gevent.wire.identity import Identity, as_start_time, by_number

OURS = Identity("me", 123.5)
YOUNG = Identity("me")
"""Ours, before the server has told when it began."""


@pytest.mark.parametrize("owner", ["me", "you", "", "<Hidden>", None, 7])
def test_when_it_began_decides_whoever_is_told_to_own_it(owner: Any) -> None:
    assert OURS.is_told_by({"owner": owner, "start_time": 123.5})
    assert not OURS.is_told_by({"owner": owner, "start_time": 123.75})


@pytest.mark.parametrize("start_time", [None, "yesterday", True])
def test_without_that_the_owner_decides(start_time: Any) -> None:
    assert OURS.is_told_by({"owner": "me", "start_time": start_time})
    assert not OURS.is_told_by({"owner": "you", "start_time": start_time})
    assert not OURS.is_told_by({"owner": "you"})
    assert YOUNG.is_told_by({"owner": "me", "start_time": 1.0})
    assert not YOUNG.is_told_by({"owner": "you", "start_time": 1.0})


@pytest.mark.parametrize("owner", ["", " ", "<Hidden>", None, 7, ["me"]])
def test_an_owner_that_is_not_told_tells_nothing(owner: Any) -> None:
    assert OURS.is_told_by({"owner": owner})
    assert YOUNG.is_told_by({"owner": owner, "start_time": 1.0})


def test_a_job_of_which_nothing_is_known_may_be_any() -> None:
    assert Identity().is_told_by({"owner": "you", "start_time": 1.0})
    assert Identity(start_time=1.0).is_told_by({"owner": "you"})


def test_the_start_time_is_taken_in_once() -> None:
    assert YOUNG.completed(5.0) == Identity("me", 5.0)
    assert OURS.completed(5.0) is OURS
    assert YOUNG.completed(None) == YOUNG


@pytest.mark.parametrize("told", [None, "1", True, [], {}])
def test_what_is_no_number_is_no_start_time(told: Any) -> None:
    assert as_start_time(told) is None
    assert as_start_time(1) == 1.0


@pytest.mark.parametrize("jobs", [None, 1, "jobs", {}, [None], [[]], [{}], [{"job_id": "1"}]])
def test_what_is_no_job_is_left_out_of_the_list(jobs: Any) -> None:
    assert by_number(jobs) == {}


def test_jobs_are_found_by_their_numbers() -> None:
    assert by_number([{"job_id": 2}, None, {"job_id": 1}]) == {2: {"job_id": 2}, 1: {"job_id": 1}}
