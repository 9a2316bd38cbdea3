"""The held jobs, told from others by the server's list of jobs."""

from __future__ import annotations

from typing import Any

import pytest

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.outcome import Unawaited
from spalloc_gevent.engine.roll import FORGOTTEN, LOST, Roll, Vetting
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.messages import Refused, Returned


class Fates(dict[int, str | None]):
    """What the held jobs were told of their ends: reasons by number."""

    def held(self, job_id: int, owner: str = "me", start_time: float | None = 1.0) -> Held:
        def gone(info: Any) -> None:
            assert job_id not in self
            self[job_id] = info["reason"]

        return Held(job_id, Identity(owner, start_time), gone)


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
    vetting = Vetting(roll)
    assert answer(vetting, [listed(1)]).name == "list_jobs"
    assert is_over(vetting)
    assert (fates, roll.is_gone(1)) == ({}, False)


@pytest.mark.parametrize("changes", [{"owner": "you"}, {"start_time": 2.0}])
def test_a_job_that_is_listed_as_another_is_lost(
    roll: Roll, fates: Fates, changes: dict[str, Any]
) -> None:
    roll.enter(fates.held(1))
    roll.enter(fates.held(2))
    answer(Vetting(roll), [listed(1, **changes), listed(2)])
    assert fates == {1: LOST}
    assert (roll.is_gone(1), roll.is_gone(2)) == (True, False)


def test_the_start_time_is_learned_from_the_list(roll: Roll, fates: Fates) -> None:
    held = fates.held(1, start_time=None)
    roll.enter(held)
    answer(Vetting(roll), [listed(1, start_time=7.0)])
    assert held.identity == Identity("me", 7.0)


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        (JobState.destroyed, "Out of time.", "Out of time."),
        (JobState.unknown, None, FORGOTTEN),
        (JobState.queued, None, LOST),
        (JobState.ready, None, LOST),
    ],
)
def test_one_that_is_not_listed_is_asked_about_at_once(
    roll: Roll, fates: Fates, state: JobState, reason: str | None, told: str
) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll)
    answer(vetting, [])
    question = answer(vetting, {"state": state, "reason": reason})
    assert (question.name, question.job_id, question.may_be_sent_again) == (
        "get_job_state", 1, False
    )  # fmt: skip
    assert is_over(vetting)
    assert fates == {1: told}


def test_one_that_came_after_the_question_is_newer_than_the_list(roll: Roll, fates: Fates) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll)
    question = vetting.next_call(Unawaited())
    assert question is not None
    roll.enter(fates.held(2))
    question.answered(Returned([listed(1)]))
    assert is_over(vetting)
    assert fates == {}


@pytest.mark.parametrize("value", [Refused("no such thing"), None, "jobs"])
def test_a_server_that_does_not_list_its_jobs_is_believed(
    roll: Roll, fates: Fates, value: Any
) -> None:
    roll.enter(fates.held(1))
    vetting = Vetting(roll)
    answer(vetting, value)
    assert is_over(vetting)
    assert fates == {}


def test_a_number_is_gone_when_all_that_was_held_by_it_is(roll: Roll, fates: Fates) -> None:
    lost = fates.held(1)
    roll.enter(lost)
    answer(Vetting(roll), [listed(1, owner="you")])
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
