"""``JobGroup``: many jobs, one by one or all together; and all are given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from spalloc_gevent import Job, JobState
from spalloc_gevent.batch import JobGroup, allocation, bad_boards
from spalloc_gevent.errors import ClosedError, QueueTimeoutError, SpallocError
from spalloc_gevent.transport import threads as threads_module
from spalloc_gevent.transport.threads import start_thread
from tests.contract.conftest import MakeServer, Refusal
from tests.contract.support import (
    ONE_TRIAD,
    PATIENCE_S,
    FirstBoard,
    Server,
    StoppableServer,
    await_true,
    destroying,
    in_thread,
    job_of,
    listed,
    native_threads,
    owner,
    results,
)

HASTY_S = 0.2


pytestmark = pytest.mark.usefixtures("quick_and_forgetful")


def group_of(server: Server, requests: Any, **options: Any) -> JobGroup:
    given = {"owner": owner(), "config_filenames": [], **options}
    return JobGroup(requests, hostname=server.host, port=server.port, **given)


def numbers(server: Server) -> set[int]:
    return {told["job_id"] for told in listed(server)}


# ------------------------------------------------------------------- one by one


def test_jobs_come_as_they_are_ready_and_all_are_given_back(server: Server) -> None:
    with group_of(server, 10) as group:
        jobs = list(group.as_ready(PATIENCE_S))
        assert len({job.id for job in jobs}) == 10
        assert {job.state for job in jobs} == {JobState.ready}
        assert group.counts == {"in use": 10}
    assert group.counts == {"done": 10}
    assert listed(server) == []


def test_requests_may_differ(server: Server) -> None:
    with group_of(server, [3, (1, 1), (2, 1, 0), ()]) as group:
        sizes = sorted(len(job.boards or []) for job in group.as_ready(PATIENCE_S))
    assert sizes == [1, 1, 3, 3]


def test_no_more_are_open_than_may_be(server: Server) -> None:
    most = 0
    with group_of(server, 12, max_open=3) as group:
        for job in group.as_ready(PATIENCE_S):
            most = max(most, len(listed(server)))
            assert sum(group.counts.values()) == 12
            job.destroy()
    assert most <= 3
    assert group.counts == {"done": 12}


@pytest.mark.own_server("stops it and starts it again")
def test_a_restart_of_the_server_costs_no_request(server: StoppableServer) -> None:
    with group_of(server, 60, max_open=4) as group:
        for number, job in enumerate(group.as_ready(PATIENCE_S)):
            if number == 10:
                server.restart()
            job.destroy()
        assert group.counts == {"done": 60}
    assert listed(server) == []


def test_a_closed_job_makes_room_as_well(server: Server) -> None:
    with group_of(server, 3, max_open=1, keepalive=None) as group:
        for job in group.as_ready(PATIENCE_S):
            job.close()
        assert group.counts == {"done": 3}
    # What was closed is nobody's here any more.
    assert len(listed(server)) == 3


def test_those_that_cannot_be_had_keep_no_other_back(server: Server, never_met: Refusal) -> None:
    with group_of(server, [1, 100_000, 1]) as group:
        got: list[Job] = []
        with pytest.raises(never_met.error, match=never_met.match):
            got.extend(group.as_ready(PATIENCE_S))
        assert len(got) == 0 or len(got) == 2
        assert len(group.failures) == 1
        assert group.counts == {"in use": 2, "failed": 1}
    assert listed(server) == []


def test_bad_boards_are_replaced(server: Server) -> None:
    first = FirstBoard()
    with group_of(server, 4, check=first.is_another) as group:
        places = [job.boards for job in group.as_ready(PATIENCE_S)]
    assert first.boards not in places
    assert len(places) == 4


@pytest.mark.own_server("has machines of its own")
def test_waiting_for_the_next_has_a_limit(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    with group_of(server, [3, 3]) as group:
        ready = group.as_ready(HASTY_S)
        first = next(ready)
        with pytest.raises(QueueTimeoutError, match="no job was ready in time: 1 queued, 1 in use"):
            next(ready)
        first.destroy()
        assert next(group.as_ready(PATIENCE_S)).id == 2


def test_the_program_may_be_greenlets(server: Server) -> None:
    ticks: list[int] = []

    def tick() -> None:
        while True:
            ticks.append(1)
            gevent.sleep(0.001)

    ticking = gevent.spawn(tick)
    with group_of(server, 5) as group:
        assert len(list(group.as_ready(PATIENCE_S))) == 5
    ticking.kill()
    assert len(ticks) > 1


# ------------------------------------------------------------------- all together


def test_all_are_there_in_order_or_none(server: Server) -> None:
    with group_of(server, [3, 1, 2], all_or_nothing=True, timeout=PATIENCE_S) as group:
        assert [len(job.boards or []) for job in group.jobs] == [3, 1, 3]
        assert {job.state for job in group.jobs} == {JobState.ready}
    assert listed(server) == []


@pytest.mark.own_server("has machines of its own")
def test_half_of_a_machine_is_not_held_hostage(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    with destroying(job_of(server, 0, 0, 0)) as other:
        group = group_of(server, 3, all_or_nothing=True, timeout=HASTY_S)
        with pytest.raises(
            QueueTimeoutError, match=r"no job was ready in time: 1 queued, 2 in use"
        ):
            group.__enter__()
        assert numbers(server) == {other.id}


def test_one_that_fails_ends_all(server: Server, never_met: Refusal) -> None:
    group = group_of(server, [1, 100_000], all_or_nothing=True, timeout=PATIENCE_S)
    with pytest.raises(never_met.error):
        group.__enter__()
    assert listed(server) == []


# ------------------------------------------------------------------- the end


def test_jobs_in_use_take_no_thread_each(server: Server) -> None:
    threads = native_threads()
    with group_of(server, 8) as group:
        assert len(list(group.as_ready(PATIENCE_S))) == 8
        await_true(lambda: len(native_threads() - threads) < 8)
        assert group.counts == {"in use": 8}


@pytest.mark.own_server("has machines of its own")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_gives_all_back_and_comes_out_as_itself(
    make_server: MakeServer, error: type[BaseException]
) -> None:
    server = make_server(ONE_TRIAD)
    threads = native_threads()
    # One in use, one queued, others not asked for.
    with pytest.raises(error), group_of(server, [3] * 5, max_open=2) as group:  # noqa: PT012
        next(group.as_ready(PATIENCE_S))
        await_true(lambda: group.counts.get("queued") == 1)
        raise error
    assert listed(server) == []
    assert len(bad_boards) == 0
    await_true(lambda: native_threads() <= threads)
    with pytest.raises(ClosedError, match="group of jobs has been closed"):
        next(group.as_ready())


def test_closing_ends_a_pause_and_a_settling(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "FIRST_PAUSE_S", 1000.0)
    looked = threading.Event()

    def check(job: Job) -> bool:
        looked.set()
        return False

    with (
        group_of(server, 1, check=check) as pausing,
        group_of(server, 1, settle=1000.0) as settling,
    ):
        assert looked.wait(PATIENCE_S)
        await_true(lambda: settling.counts.get("power") == 1)
        await_true(lambda: pausing.counts.get("bad") == 1)
    assert listed(server) == []
    assert len(bad_boards) == 1


def test_progress_is_told_in_order(server: Server) -> None:
    told: list[dict[str, int]] = []
    with group_of(server, 6, max_open=2, progress=told.append) as group:
        for job in group.as_ready(PATIENCE_S):
            job.destroy()
    assert all(sum(counts.values()) == 6 for counts in told)
    done = [counts.get("done", 0) for counts in told]
    assert done == sorted(done)
    assert told[-1] == {"done": 6}


def test_a_progress_callback_that_fails_is_told_once_and_harms_nothing(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(counts: dict[str, int]) -> None:
        raise ValueError(f"no {counts}")

    with group_of(server, 3, progress=fail) as group:
        assert len(list(group.as_ready(PATIENCE_S))) == 3
    assert [r.levelname for r in caplog.records if "progress" in r.getMessage()] == ["ERROR"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_open": 0}, ValueError, "max_open must be 1 or more, not 0"),
        ({"all_or_nothing": True}, TypeError, "needs a timeout"),
        ({"timeout": 1.0}, TypeError, "timeout is for all_or_nothing"),
        ({"all_or_nothing": True, "timeout": 1.0, "max_open": 1}, ValueError, "cannot be ready"),
        ({"resume_job_id": 1}, TypeError, "unexpected keyword argument 'resume_job_id'"),
        ({"colour": "red"}, TypeError, "unexpected keyword argument 'colour'"),
        ({"attempts": 0}, ValueError, "attempts must be 1 or more"),
        ({"requests": -1}, ValueError, "requests must be 0 or more, not -1"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    server: Server, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        group_of(server, **{"requests": 2, **options})


def test_several_threads_may_share_what_becomes_ready(server: Server) -> None:
    with group_of(server, 12) as group:
        takers = [in_thread(lambda: [job.id for job in group.as_ready()]) for _ in range(4)]
        taken = [number for found in results(takers) for number in found]
        assert set(taken) == numbers(server)
    assert len(taken) == 12
    assert listed(server) == []


def test_a_request_for_which_there_is_no_thread_fails_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []

    def start_two(work: Callable[[], object]) -> None:
        if len(started) == 2:
            raise SpallocError("cannot start a thread: enough")
        started.append(work)
        start_thread(work)

    monkeypatch.setattr(threads_module, "start_thread", start_two)
    with group_of(server, 3) as group:
        ready = group.as_ready(PATIENCE_S)
        assert {next(ready).state for _ in range(2)} == {JobState.ready}
        with pytest.raises(SpallocError, match="enough"):
            next(ready)
        assert group.counts == {"in use": 2, "failed": 1}
    assert listed(server) == []


def test_many_groups_at_once(server: Server) -> None:
    def use() -> int:
        used = 0
        with group_of(server, 8, max_open=2) as group:
            for job in group.as_ready(PATIENCE_S):
                job.destroy()
                used += 1
        return used

    uses = [in_thread(use) for _ in range(3)]
    assert [one.result(PATIENCE_S) for one in uses] == [8, 8, 8]
    assert listed(server) == []


def test_a_group_of_none_is_over_at_once(server: Server) -> None:
    with group_of(server, 0) as group:
        assert list(group.as_ready()) == []
    with group_of(server, [], all_or_nothing=True, timeout=1.0) as group:
        assert group.jobs == []
