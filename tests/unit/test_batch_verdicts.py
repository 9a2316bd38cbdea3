"""What a case came to, from what the executor says of it."""

from __future__ import annotations

import concurrent.futures

import pytest

from spalloc_gevent.errors import (
    AllocationError,
    ConnectionLostError,
    IncompatibleServerError,
    JobDestroyedError,
    ProtocolTimeoutError,
    QueueTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.scripts.batch_records import Verdict
from spalloc_gevent.scripts.batch_trial import LostError, Outcome
from spalloc_gevent.scripts.batch_verdicts import NOT_STARTED, TryAgain, outcome_of

PASSED = Outcome(Verdict.PASSED, 0)


def future_of(result: Outcome | Exception | None) -> concurrent.futures.Future[Outcome]:
    """A future that is done; None: that was cancelled."""
    future: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
    if result is None:
        future.cancel()
    elif isinstance(result, Outcome):
        future.set_result(result)
    else:
        future.set_exception(result)
    return future


def outcome(
    result: Outcome | Exception | None, *, is_stopping: bool = False, may_run_again: bool = False
) -> Outcome:
    return outcome_of(future_of(result), is_stopping=is_stopping, may_run_again=may_run_again)


def test_what_a_case_came_to_is_its_outcome() -> None:
    assert outcome(PASSED) == outcome(PASSED, is_stopping=True) == PASSED


def test_a_case_that_was_cancelled_was_not_started() -> None:
    assert outcome(None, is_stopping=True) == NOT_STARTED


@pytest.mark.parametrize(
    "error",
    [
        AllocationError("no good boards in 3 attempts"),
        QueueTimeoutError("job 3 was still queued"),
        JobDestroyedError("job 3 was given no boards"),
        SpallocServerException("create_job", "no such machine"),
        IncompatibleServerError("version 9"),
    ],
)
def test_without_boards_there_is_a_reason(error: Exception) -> None:
    assert outcome(error) == Outcome(Verdict.NO_BOARDS, None, str(error))


def test_what_nobody_has_thought_of_is_told_with_its_kind() -> None:
    assert outcome(KeyError("x")) == Outcome(Verdict.NO_BOARDS, None, "KeyError: 'x'")


@pytest.mark.parametrize("error", [ConnectionLostError("refused"), ProtocolTimeoutError("late")])
def test_a_server_out_of_reach_is_no_case_s_fault(error: Exception) -> None:
    with pytest.raises(TryAgain, match=str(error)):
        outcome(error)
    assert outcome(error, is_stopping=True) == NOT_STARTED


@pytest.mark.parametrize(
    ("is_stopping", "may_run_again", "verdict"),
    [
        (False, False, Verdict.LOST),
        (True, False, Verdict.LOST),
        (True, True, Verdict.CANCELLED),
    ],
)
def test_a_lost_case_is_cancelled_only_if_it_would_have_been_run_again(
    is_stopping: bool, may_run_again: bool, verdict: Verdict
) -> None:
    found = outcome(LostError("gone"), is_stopping=is_stopping, may_run_again=may_run_again)
    assert found == Outcome(verdict, None, "gone")
