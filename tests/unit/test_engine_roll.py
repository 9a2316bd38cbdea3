"""The held jobs, told from others by the server's list of jobs."""

from __future__ import annotations

from typing import Any

import pytest
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.outcome import Unawaited
from spalloc_gevent.engine.roll import FORGOTTEN, LOST, Roll, Vetting

from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import UNKNOWN_JOB
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.messages import Refused, Returned


class Fates(dict[int, str | None]):
    """What the held jobs were told of their ends: reasons by number."""

    def __init__(self) -> None:
        self.learned: list[Held] = []

    def held(self, job_id: int, owner: str = "me", start_time: float | None = 1.0) -> Held:
        def gone(info: Any) -> None:
            assert job_id not in self
            self[job_id] = info["reason"]

        held = Held(job_id, Identity(owner, start_time))
        held.attach(gone, lambda: self.learned.append(held))
        return held


@pytest.fixture
def fates() -> Fates:
    return Fates()


@pytest.fixture
def roll() -> Roll:
    return Roll()


def listed(job_id: int, owner: str = "me", start_time: float = 1.0) -> dict[str, Any]:
    return {"job_id": job_id, "owner": owner, "start_time": start_time}


def answer(vetting: Vetting, value: Any) -> Call:
    """Have the next question answered; the question."""
    call = vetting.next_call(Unawaited())
    assert call is not None
    call.answered(value if isinstance(value, Refused) else Returned(value))
    return call


def is_over(vetting: Vetting) -> bool:
    return vetting.next_call(Unawaited()) is None


def test_a_job_that_is_listed_as_ours_stays(roll: Roll, fates: Fates) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll, 5.0)
    assert answer(vetting, [listed(1)]).name == "list_jobs"
    assert is_over(vetting)
    assert (fates, roll.is_gone(1)) == ({}, False)


@pytest.mark.parametrize("changes", [{"owner": "you", "start_time": None}, {"start_time": 2.0}])
def test_a_job_that_is_listed_as_another_is_lost(
    roll: Roll, fates: Fates, changes: dict[str, Any]
) -> None:
    roll.enter(fates.held(1))
    roll.enter(fates.held(2))
    answer(Vetting(roll, 5.0), [listed(1, **changes), listed(2)])
    assert fates == {1: LOST}
    assert (roll.is_gone(1), roll.is_gone(2)) == (True, False)


def test_the_start_time_is_learned_from_the_list(roll: Roll, fates: Fates) -> None:
    held = fates.held(1, start_time=None)
    roll.enter(held)
    answer(Vetting(roll, 5.0), [listed(1, start_time=7.0)])
    assert held.identity == Identity("me", 7.0)
    assert fates.learned == [held]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"state": JobState.destroyed, "reason": "Out of time."}, "Out of time."),
        ({"state": JobState.unknown}, FORGOTTEN),
        ({"state": JobState.queued, "start_time": 2.0}, LOST),
        ({"state": JobState.ready, "start_time": 2.0}, LOST),
        (Refused("no such job"), FORGOTTEN),
        # It is ours all the same, or nothing is told of it.
        ({"state": JobState.ready, "start_time": 1.0}, None),
        ({"state": JobState.ready}, None),
        (Refused("Unknown error 1205"), None),
    ],
)
def test_one_that_is_not_listed_is_asked_about_at_once(
    roll: Roll, fates: Fates, state: Any, told: str | None
) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll, 5.0)
    answer(vetting, [])
    question = answer(vetting, state)
    assert (question.name, question.job_id, question.may_be_sent_again) == (
        "get_job_state", 1, False
    )  # fmt: skip
    assert is_over(vetting)
    assert fates == ({} if told is None else {1: told})


def test_one_that_came_after_the_question_is_newer_than_the_list(roll: Roll, fates: Fates) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll, 5.0)
    question = vetting.next_call(Unawaited())
    assert question is not None
    roll.enter(fates.held(2))
    question.answered(Returned([listed(1)]))
    assert is_over(vetting)
    assert fates == {}


def test_a_server_that_does_not_list_its_jobs_is_believed(roll: Roll, fates: Fates) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll, 5.0)
    answer(vetting, Refused("no such thing"))
    assert is_over(vetting)
    assert fates == {}


@pytest.mark.parametrize("value", [None, "jobs", {}, [None], [[1]], [{"job_id": []}], [{}]])
def test_a_list_that_is_none_has_every_job_asked_about(
    roll: Roll, fates: Fates, value: Any
) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll, 5.0)
    answer(vetting, value)
    assert answer(vetting, {"state": JobState.ready, "start_time": 1.0}).name == "get_job_state"
    assert is_over(vetting)
    assert fates == {}


def test_what_is_known_to_have_ended_is_not_asked_about(roll: Roll, fates: Fates) -> None:
    lost, over = fates.held(1), fates.held(2)
    roll.enter(lost)
    roll.enter(over)
    answer(Vetting(roll, 5.0), [listed(1, start_time=2.0), listed(2)])
    over.is_over = True
    vetting = Vetting(roll, 5.0)
    answer(vetting, [])
    assert is_over(vetting)


def test_an_end_before_anybody_wants_to_know_is_told_once_and_at_once(fates: Fates) -> None:
    held = Held(1, Identity("me"))
    held.end(UNKNOWN_JOB)
    told: list[Any] = []
    held.attach(told.append, lambda: None)
    held.end(UNKNOWN_JOB)
    held.attach(told.append, lambda: None)
    assert told == [UNKNOWN_JOB]


def test_a_number_is_gone_when_all_that_was_held_by_it_is(roll: Roll, fates: Fates) -> None:
    lost = fates.held(1)
    roll.enter(lost)
    answer(Vetting(roll, 5.0), [listed(1, start_time=2.0)])
    assert roll.is_gone(1)
    ours = Fates().held(1, start_time=9.0)
    roll.enter(ours)
    assert not roll.is_gone(1)
    assert roll.known_as(1) == (lost, ours)
    roll.strike(lost)
    roll.strike(lost)
    assert roll.known_as(1) == (ours,)
    roll.strike(ours)
    assert not roll


def test_a_job_is_held_until_the_last_word_about_it_is_answered(roll: Roll, fates: Fates) -> None:
    held = fates.held(1)
    roll.enter(held)
    last_word = Call("destroy_job", (1,), outcome=Unawaited())
    roll.strike(held, last_word)
    assert roll.entries() == [held]
    last_word.answered(Returned(None))
    assert roll.entries() == []
    assert not roll
