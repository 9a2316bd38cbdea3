"""One job looked at again and again, without being touched while it is listed."""

from __future__ import annotations

from typing import Any

import pytest

from spalloc_gevent.scripts.jobs.subject import FORGOTTEN, Seen, Subject
from spalloc_gevent.scripts.jobs.view import JobLook, JobView
from spalloc_gevent.states import JobState
from tests.unit.fake_client import FakeClient, job, machine

LISTED = [("list_jobs",)]
NAMED = [("list_jobs",), ("get_job_state", 7)]

# What the Python server tells of a job that has ended; it has forgotten when that began.
DESTROYED = {"state": 4, "power": None, "keepalive": None, "reason": "done", "start_time": None}
# What the Java server does: it knows when, power is false, and the keepalive a time of day.
DESTROYED_ON_JAVA = {
    "state": 4,
    "power": False,
    "keepalive": 1_700_000_000.0,
    "reason": "",
    "start_time": job(7)["start_time"],
    "keepalivehost": "<Hidden>",
}


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def subject() -> Subject:
    return Subject(7)


def questions(client: FakeClient) -> list[tuple[object, ...]]:
    """What has been asked since the last time."""
    asked, client.asked = client.asked, []
    return asked


def test_a_listed_job_is_never_named(client: FakeClient, subject: Subject) -> None:
    for state in (JobState.queued, JobState.power, JobState.ready):
        client.jobs = [job(6), job(7, state=state), job(8)]
        seen = subject.look(client)
        assert (seen.state, seen.job, seen.is_over) == (state, client.jobs[1], False)
        assert questions(client) == LISTED


def test_a_job_that_is_not_listed_is_asked_for(client: FakeClient, subject: Subject) -> None:
    client.states[7] = DESTROYED
    assert subject.look(client) == Seen(7, JobState.destroyed, "done", is_over=True)
    assert questions(client) == NAMED


def test_once_its_end_has_been_told_nothing_is_asked_any_more(
    client: FakeClient, subject: Subject
) -> None:
    client.jobs = [job(7)]
    subject.look(client)
    client.jobs, client.states[7] = [], DESTROYED
    end = subject.look(client)
    questions(client)
    client.jobs = [job(7)]
    assert subject.look(client) is end
    assert questions(client) == []


def test_an_id_that_has_never_been_a_job_may_become_one(
    client: FakeClient, subject: Subject
) -> None:
    assert subject.look(client) == Seen(7, JobState.unknown)
    client.jobs = [job(7)]
    assert subject.look(client).state == JobState.queued


def test_a_job_that_the_server_knows_no_more_has_ended(
    client: FakeClient, subject: Subject
) -> None:
    client.jobs = [job(7)]
    subject.look(client)
    client.jobs = []
    assert subject.look(client) == Seen(7, JobState.unknown, is_over=True)


def test_a_job_that_is_listed_between_the_two_questions_goes_on(
    client: FakeClient, subject: Subject
) -> None:
    client.states[7] = {"state": 1, "start_time": job(7)["start_time"], "keepalive": 60.0}
    assert subject.look(client) == Seen(7, JobState.queued)
    client.jobs = [job(7)]
    assert subject.look(client).job == client.jobs[0]


# -- a server that began anew ------------------------------------------------------------


def test_another_job_of_the_same_id_is_not_taken_for_it(
    client: FakeClient, subject: Subject
) -> None:
    client.jobs = [job(7)]
    subject.look(client)
    client.jobs = [job(7, owner="a stranger", start_time=2_000_000_000.0)]
    questions(client)
    seen = subject.look(client)
    assert seen == Seen(7, JobState.unknown, FORGOTTEN, is_over=True)
    assert questions(client) == LISTED
    assert subject.look(client) is seen
    assert questions(client) == []


def test_the_end_of_another_job_of_the_same_id_is_not_taken_for_its_own(
    client: FakeClient, subject: Subject
) -> None:
    client.jobs = [job(7)]
    subject.look(client)
    client.jobs, client.states[7] = [], {**DESTROYED_ON_JAVA, "start_time": 2_000_000_000.0}
    assert subject.look(client) == Seen(7, JobState.unknown, FORGOTTEN, is_over=True)


def test_the_first_job_of_an_id_is_the_subject_whenever_it_began(
    client: FakeClient, subject: Subject
) -> None:
    client.jobs = [job(7, start_time=2_000_000_000.0)]
    assert not subject.look(client).is_over
    assert not subject.look(client).is_over


# -- the Java server ---------------------------------------------------------------------


def test_the_java_servers_destroyed_job_has_ended_with_no_reason_given(
    client: FakeClient, subject: Subject
) -> None:
    client.jobs = [job(7)]
    subject.look(client)
    client.jobs, client.states[7] = [], DESTROYED_ON_JAVA
    assert subject.look(client) == Seen(7, JobState.destroyed, is_over=True)


def test_the_java_servers_refusal_of_an_unknown_job_is_no_error(
    client: FakeClient, subject: Subject
) -> None:
    client.states[7] = "no such job"
    assert subject.look(client) == Seen(7, JobState.unknown)
    client.jobs = [job(7, args=None, kwargs=None, owner="<Hidden>", boards=[])]
    assert subject.look(client).state == JobState.queued
    client.jobs = []
    assert subject.look(client) == Seen(7, JobState.unknown, is_over=True)


# -- seen as a whole ---------------------------------------------------------------------

TRIAD = [(0, 0, 0), (0, 0, 1), (0, 0, 2)]
HARDWARE = {"width": 16, "height": 16, "connections": [[[8, 4], "b"], [[0, 0], "a"]]}


def looked_at(view: JobView, client: FakeClient, **facts: Any) -> JobLook:
    client.jobs = [job(7, TRIAD, **facts)]
    return view.collect(client)


def test_watching_a_job_asks_once_for_its_machine_and_never_for_the_job(
    client: FakeClient, subject: Subject
) -> None:
    client.machines = [machine(4, 2)]
    view = JobView(subject)
    for _ in range(3):
        look = looked_at(view, client)
        assert (look.hostname, look.machine) == (None, client.machines[0])
    assert questions(client) == [("list_jobs",), ("list_machines",), ("list_jobs",), ("list_jobs",)]


def test_a_queued_job_needs_no_machine(client: FakeClient, subject: Subject) -> None:
    client.jobs = [job(7)]
    assert JobView(subject, hostname_in=(2, 3)).collect(client).machine is None
    assert questions(client) == LISTED


def test_the_hostname_is_that_of_chip_0_0_and_asked_for_only_if_wanted(
    client: FakeClient, subject: Subject
) -> None:
    client.machines, client.hardware[7] = [machine(4, 2)], HARDWARE
    assert looked_at(JobView(subject, hostname_in=(2, 3)), client).hostname == "a"
    assert ("get_job_machine_info", 7) in questions(client)
    assert looked_at(JobView(subject), client).hostname is None
    assert ("get_job_machine_info", 7) not in questions(client)


def test_the_hostname_is_asked_for_once_and_not_before_its_state(
    client: FakeClient, subject: Subject
) -> None:
    client.machines, client.hardware[7] = [machine(4, 2)], HARDWARE
    view = JobView(subject, hostname_in=(JobState.ready,))
    states = (JobState.power, JobState.ready, JobState.ready, JobState.power)
    hostnames = [looked_at(view, client, state=state).hostname for state in states]
    assert hostnames == [None, "a", "a", "a"]
    assert questions(client).count(("get_job_machine_info", 7)) == 1


def test_boards_that_went_meanwhile_have_no_hostname(client: FakeClient, subject: Subject) -> None:
    client.machines = [machine(4, 2)]
    client.hardware[7] = "boards not allocated"
    assert looked_at(JobView(subject, hostname_in=(2, 3)), client).hostname is None


def test_an_ended_job_is_final_and_one_that_runs_is_not(
    client: FakeClient, subject: Subject
) -> None:
    view = JobView(subject)
    client.machines = [machine(4, 2)]
    assert not view.is_final(looked_at(view, client))
    client.jobs, client.states[7] = [], DESTROYED
    end = view.collect(client)
    assert view.is_final(end)
    document = view.document(end)
    assert (document["state"], document["reason"]) == ("destroyed", "done")
    assert document["boards"] is None


def test_what_is_known_of_a_job_is_told_under_the_same_names_whatever_its_state(
    client: FakeClient, subject: Subject
) -> None:
    view = JobView(subject)
    unknown = view.document(view.collect(client))
    client.machines = [machine(4, 2)]
    known = view.document(looked_at(view, client))
    assert set(known) == set(unknown)
    assert (known["width"], known["height"], known["boards"]) == (16, 16, TRIAD)
