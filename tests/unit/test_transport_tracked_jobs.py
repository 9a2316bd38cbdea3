"""The jobs that this program holds, told from others by the server's list of jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import gevent
import gevent.event
import pytest

from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.states import JobState
from spalloc_gevent.transport import tracked_jobs
from spalloc_gevent.transport.connection import Connection
from spalloc_gevent.transport.server_kind import ServerKind
from spalloc_gevent.transport.tracked_jobs import (
    FORGOTTEN,
    LIST_SHARE,
    LOST,
    TrackedJob,
    TrackedJobs,
    unknown_job,
)
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.messages import AnyReply, ErrorReply, Reply
from spalloc_gevent.wire.requests import Request

LONG_S = 30.0


class FakeConnection:
    """A new connection whose replies the test knows beforehand; None stands for a late one."""

    def __init__(self, *replies: Any, made_at: float = 5.0) -> None:
        self.made_at = self.sent_at = made_at
        self.leads_to_java_server = False
        self.asked: list[Request] = []
        self.waited_until: list[float] = []
        self._replies = iter(replies)

    def exchange(self, request: Request, deadline: float) -> AnyReply | None:
        self.asked.append(request)
        self.waited_until.append(deadline)
        self.sent_at += 1.0
        value = next(self._replies)
        return value if value is None or isinstance(value, ErrorReply) else Reply(value)

    @property
    def questions(self) -> list[tuple[str, object]]:
        return [(request.name, request.job_id) for request in self.asked]


@pytest.fixture
def tracked() -> TrackedJobs:
    return TrackedJobs(ServerKind())


def verify(
    tracked: TrackedJobs, connection: FakeConnection, ask_another: Callable[[], object] = int
) -> None:
    tracked.verify(cast("Connection", connection), ask_another)


def is_verified(tracked: TrackedJobs, connection: FakeConnection) -> bool:
    return tracked.is_verified(cast("Connection", connection))


def track(
    tracked: TrackedJobs, job_id: int, start_time: float | None = 1.0, keepalive_s: float = 60.0
) -> TrackedJob:
    job = TrackedJob(job_id, Identity("me", start_time), keepalive_s)
    tracked.add(job)
    return job


def listed(job_id: int, owner: str = "me", start_time: float | None = 1.0) -> dict[str, Any]:
    return {"job_id": job_id, "owner": owner, "start_time": start_time}


def reasons(jobs: Iterable[TrackedJob]) -> dict[int, str | None]:
    """Why those that are lost are."""
    return {job.job_id: job.end["reason"] for job in jobs if job.end is not None}


# -- the list --------------------------------------------------------------------------


def test_a_job_that_is_listed_as_ours_stays(tracked: TrackedJobs) -> None:
    job = track(tracked, 1)
    connection = FakeConnection([listed(1)])
    verify(tracked, connection)
    assert connection.questions == [("list_jobs", None)]
    assert (job.end, tracked.why_lost(1)) == (None, None)
    assert is_verified(tracked, connection)


@pytest.mark.parametrize("changes", [{"owner": "you", "start_time": None}, {"start_time": 2.0}])
def test_a_job_that_is_listed_as_another_is_lost(
    tracked: TrackedJobs, changes: dict[str, Any]
) -> None:
    jobs = [track(tracked, 1), track(tracked, 2)]
    verify(tracked, FakeConnection([listed(1, **changes), listed(2)]))
    assert reasons(jobs) == {1: LOST}
    assert (tracked.why_lost(1), tracked.why_lost(2)) == (LOST, None)


def test_the_start_time_is_learned_from_the_list(tracked: TrackedJobs) -> None:
    job = track(tracked, 1, start_time=None)
    changes: list[object] = []
    job.watch(lambda: changes.append(job.identity))
    verify(tracked, FakeConnection([listed(1, start_time=7.0)]))
    assert changes == [Identity("me", 7.0)]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"state": JobState.destroyed, "reason": "Out of time."}, "Out of time."),
        ({"state": JobState.unknown}, FORGOTTEN),
        ({"state": JobState.queued, "start_time": 2.0}, LOST),
        ({"state": JobState.ready, "start_time": 2.0}, LOST),
        (ErrorReply("no such job"), FORGOTTEN),
        # It is ours all the same, or nothing is told of it.
        ({"state": JobState.ready, "start_time": 1.0}, None),
        ({"state": JobState.ready}, None),
        (ErrorReply("Unknown error 1205"), None),
    ],
)
def test_one_that_is_not_listed_is_asked_about_on_the_same_connection(
    tracked: TrackedJobs, state: Any, told: str | None
) -> None:
    job = track(tracked, 1)
    connection = FakeConnection([], state)
    verify(tracked, connection)
    assert connection.questions == [("list_jobs", None), ("get_job_state", 1)]
    assert reasons([job]) == ({} if told is None else {1: told})
    assert is_verified(tracked, connection)


def test_one_that_came_after_the_question_is_newer_than_the_list(tracked: TrackedJobs) -> None:
    track(tracked, 1)

    class AnotherIsMadeMeanwhile(FakeConnection):
        def exchange(self, request: Request, deadline: float) -> AnyReply | None:
            track(tracked, 2)
            return super().exchange(request, deadline)

    connection = AnotherIsMadeMeanwhile([listed(1)])
    verify(tracked, connection)
    assert len(connection.asked) == 1
    assert tracked.why_lost(2) is None


def test_a_server_that_does_not_list_its_jobs_is_believed(tracked: TrackedJobs) -> None:
    job = track(tracked, 1)
    connection = FakeConnection(ErrorReply("no such thing"))
    verify(tracked, connection)
    assert job.end is None
    assert is_verified(tracked, connection)


@pytest.mark.parametrize("value", [None, "jobs", {}, [None], [[1]], [{"job_id": []}], [{}]])
def test_a_list_that_is_none_has_every_job_asked_about(tracked: TrackedJobs, value: Any) -> None:
    class ListsNothing(FakeConnection):
        def exchange(self, request: Request, deadline: float) -> AnyReply | None:
            reply = super().exchange(request, deadline)
            return Reply(value) if request.name == "list_jobs" else reply

    job = track(tracked, 1)
    connection = ListsNothing("the list", {"state": JobState.ready, "start_time": 1.0})
    verify(tracked, connection)
    assert connection.questions == [("list_jobs", None), ("get_job_state", 1)]
    assert job.end is None


def test_what_is_known_to_have_ended_is_not_asked_about(tracked: TrackedJobs) -> None:
    track(tracked, 1).learn_end(unknown_job(LOST))
    connection = FakeConnection([])
    verify(tracked, connection)
    assert len(connection.asked) == 1


# -- who need not be asked ---------------------------------------------------------------


def test_without_jobs_every_connection_is_good(tracked: TrackedJobs) -> None:
    verify(tracked, FakeConnection())
    assert tracked.count == 0


def test_one_made_before_a_command_that_a_verified_one_answered_is_good(
    tracked: TrackedJobs,
) -> None:
    track(tracked, 1)
    verified = FakeConnection(made_at=6.0)
    tracked.answered(cast("Connection", verified))
    verify(tracked, FakeConnection(made_at=5.0))
    assert not is_verified(tracked, FakeConnection(made_at=7.0))


def test_the_word_of_another_connection_saves_the_list(tracked: TrackedJobs) -> None:
    track(tracked, 1)

    def another_answers() -> None:
        tracked.answered(cast("Connection", FakeConnection(made_at=6.0)))

    verify(tracked, FakeConnection(made_at=5.0), another_answers)


def test_the_server_that_never_gives_a_number_twice_is_not_asked(tracked: TrackedJobs) -> None:
    track(tracked, 1)
    answered = FakeConnection()
    answered.leads_to_java_server = True
    tracked.answered(cast("Connection", answered))
    # Made after the last reply, so that nothing else vouches for it.
    verify(tracked, FakeConnection(made_at=50.0))


def test_its_version_alone_is_no_proof_that_a_server_never_gives_a_number_twice(
    tracked: TrackedJobs,
) -> None:
    track(tracked, 1)
    tracked.server.learn_version("5.0.0")
    connection = FakeConnection([listed(1)])
    verify(tracked, connection)
    assert connection.questions == [("list_jobs", None)]
    assert tracked.server.is_java


def test_the_list_that_one_is_told_serves_all_that_were_made_before(tracked: TrackedJobs) -> None:
    track(tracked, 1)
    asked, answer = gevent.event.Event(), gevent.event.Event()

    class Slow(FakeConnection):
        def exchange(self, request: Request, deadline: float) -> AnyReply | None:
            asked.set()
            assert answer.wait(LONG_S)
            return super().exchange(request, deadline)

    first = Slow([listed(1)], made_at=5.0)
    others = [FakeConnection(made_at=5.0) for _ in range(5)]
    verifying = [gevent.spawn(verify, tracked, first)]
    assert asked.wait(LONG_S)
    verifying += [gevent.spawn(verify, tracked, other) for other in others]
    gevent.sleep(0)
    answer.set()
    gevent.joinall(verifying, LONG_S, raise_error=True)
    assert [len(other.asked) for other in others] == [0] * 5


# -- no list in time ---------------------------------------------------------------------


def test_a_list_that_does_not_come_in_time_leads_nowhere_and_the_next_is_waited_for_longer(
    tracked: TrackedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracked_jobs, "monotonic", lambda: 0.0)
    track(tracked, 1)
    waited_s = []
    for _ in range(3):
        connection = FakeConnection(None)
        with pytest.raises(ConnectionLostError, match="list of jobs in time"):
            verify(tracked, connection)
        assert not is_verified(tracked, connection)
        waited_s += connection.waited_until
    assert waited_s == [60.0 * LIST_SHARE * factor for factor in (1, 2, 4)]


def test_a_late_list_counts_when_it_comes(tracked: TrackedJobs) -> None:
    jobs = [track(tracked, 1), track(tracked, 2)]
    connection = FakeConnection(None)
    with pytest.raises(ConnectionLostError):
        verify(tracked, connection)
    late = connection.asked[0].late_reply
    assert late is not None
    late(Reply([listed(1), listed(2, start_time=2.0)]))
    assert reasons(jobs) == {2: LOST}
    assert is_verified(tracked, connection)


def test_a_late_list_that_misses_a_job_verifies_nothing(tracked: TrackedJobs) -> None:
    job = track(tracked, 1)
    connection = FakeConnection(None)
    with pytest.raises(ConnectionLostError):
        verify(tracked, connection)
    late = connection.asked[0].late_reply
    assert late is not None
    late(Reply([]))
    # What became of it has to be asked, and nobody can on that connection.
    assert job.end is None
    assert not is_verified(tracked, connection)


def test_a_state_that_does_not_come_in_time_leads_nowhere(tracked: TrackedJobs) -> None:
    track(tracked, 1)
    connection = FakeConnection([], None)
    with pytest.raises(ConnectionLostError, match="state of a job in time"):
        verify(tracked, connection)
    assert not is_verified(tracked, connection)


def test_one_that_breaks_while_it_is_verified_keeps_no_other_from_it(tracked: TrackedJobs) -> None:
    track(tracked, 1)

    class Broken(FakeConnection):
        def exchange(self, request: Request, deadline: float) -> AnyReply | None:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        verify(tracked, Broken())
    connection = FakeConnection([listed(1)])
    verify(tracked, connection)
    assert is_verified(tracked, connection)


# -- numbers -----------------------------------------------------------------------------


def test_an_end_before_anybody_wants_to_know_is_told_once_and_at_once() -> None:
    job = TrackedJob(1, Identity("me"), None)
    job.learn_end(unknown_job(LOST))
    told: list[Any] = []
    job.watch(lambda: told.append(job.end))
    job.learn_end(unknown_job(FORGOTTEN))
    assert told == [unknown_job(LOST)]


def test_a_number_is_lost_when_all_that_was_held_by_it_is(tracked: TrackedJobs) -> None:
    lost = track(tracked, 1)
    verify(tracked, FakeConnection([listed(1, start_time=2.0)]))
    assert tracked.why_lost(1) == LOST
    ours = track(tracked, 1, start_time=9.0)
    assert tracked.why_lost(1) is None
    tracked.remove(lost)
    tracked.remove(lost)
    assert tracked.why_lost(1) is None
    tracked.remove(ours)
    assert tracked.count == 0


@pytest.mark.parametrize("job_id", [None, "1", [1], {}])
def test_what_is_no_number_of_ours_is_not_lost(tracked: TrackedJobs, job_id: object) -> None:
    track(tracked, 1).learn_end(unknown_job(LOST))
    assert tracked.why_lost(job_id) is None


def test_a_job_whose_end_was_told_without_a_reason_is_lost_all_the_same(
    tracked: TrackedJobs,
) -> None:
    job = track(tracked, 1)
    job.learn_state({**unknown_job(""), "state": JobState.destroyed, "reason": None})
    assert job.is_over
    assert tracked.why_lost(1) == "no reason was given"


def test_the_shortest_keepalive_is_that_of_the_jobs_that_are_held_now(
    tracked: TrackedJobs,
) -> None:
    shortest = [tracked.shortest_keepalive_s]
    long, short = track(tracked, 1, keepalive_s=60.0), track(tracked, 2, keepalive_s=5.0)
    shortest.append(tracked.shortest_keepalive_s)
    tracked.remove(short)
    shortest.append(tracked.shortest_keepalive_s)
    tracked.remove(long)
    tracked.add(TrackedJob(3, Identity("me"), None))
    shortest.append(tracked.shortest_keepalive_s)
    assert shortest == [math.inf, 5.0, 60.0, math.inf]
