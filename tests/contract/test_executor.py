"""``SpallocExecutor``: every task on boards of its own, and the contract of an executor kept."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import gevent
import pytest

from spalloc_gevent import Job, JobDestroyedError, JobState
from spalloc_gevent.batch import Allocation, SpallocExecutor, bad_boards
from spalloc_gevent.errors import AllocationError, ConnectionLostError, QueueTimeoutError
from tests.contract.conftest import MakeServer, Refusal
from tests.contract.support import (
    ONE_TRIAD,
    PATIENCE_S,
    SLOW_POWER_S,
    FirstBoard,
    Server,
    StoppableServer,
    Tap,
    asked,
    await_true,
    destroy_from_elsewhere,
    in_thread,
    job_of,
    listed,
    native_threads,
    nothing_left_behind,
    owner,
)

HASTY_S = 0.2

pytestmark = pytest.mark.usefixtures("quick_and_forgetful")


def executor_on(server: Server, *what: int, **options: Any) -> SpallocExecutor:
    given = {"owner": owner(), "config_filenames": [], **options}
    return SpallocExecutor(*what, hostname=server.host, port=server.port, **given)


def number_of(boards: Any, *_: object) -> int:
    number: int = boards.id
    return number


def numbers(server: Server) -> set[int]:
    return {told["job_id"] for told in listed(server)}


class Gate:
    """A task that goes on when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, job: Job) -> int | None:
        self.jobs.append(job)
        self.entered.release()
        assert self.opened.wait(PATIENCE_S)
        return job.id

    def await_entry(self) -> Job:
        assert self.entered.acquire(timeout=PATIENCE_S)
        return self.jobs[-1]


# ------------------------------------------------------------------- boards for each


@pytest.mark.parametrize("workers", ["threads", "greenlets"])
def test_each_task_has_ready_boards_of_its_own(server: Server, workers: str) -> None:
    def task(job: Job, number: int) -> tuple[int, int | None, JobState, int]:
        return number, job.id, job.state, len(job.boards or [])

    with executor_on(server, 3, max_jobs=4, workers=workers) as executor:
        found = list(executor.map(task, range(12)))
    assert [number for number, *_ in found] == list(range(12))
    assert len({job_id for _, job_id, *_ in found}) == 12
    assert {told[2:] for told in found} == {(JobState.ready, 3)}
    assert listed(server) == []
    assert executor.counts == {"done": 12}


@pytest.mark.parametrize("workers", ["threads", "greenlets"])
def test_nothing_is_left_behind(server: Server, workers: str) -> None:
    # The guardian is left to who comes next.
    options = {"workers": workers, "guardian": False}
    with nothing_left_behind(server), executor_on(server, **options) as executor:
        list(executor.map(number_of, range(8)))


def test_no_more_jobs_are_held_than_may_be(server: Server) -> None:
    with executor_on(server, max_jobs=3) as executor:
        counts = list(executor.map(lambda *_: len(listed(server)), range(20)))
    assert max(counts) <= 3


def test_boards_are_given_back_when_a_future_is_done(server: Server) -> None:
    with executor_on(server) as executor:
        job_id = executor.submit(number_of).result(PATIENCE_S)
        assert job_id not in numbers(server)


def test_keywords_and_arguments_are_passed_on(server: Server) -> None:
    def task(_: Job, /, *args: int, **keywords: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return args, keywords

    with executor_on(server) as executor:
        assert executor.submit(task, 1, 2, fn=3).result(PATIENCE_S) == ((1, 2), {"fn": 3})


def test_what_a_task_raises_comes_out_and_its_boards_go_back(server: Server) -> None:
    def task(_: Job) -> None:
        raise KeyError("boards")

    with executor_on(server) as executor:
        future = executor.submit(task)
        assert isinstance(future.exception(PATIENCE_S), KeyError)
        assert listed(server) == []
        assert executor.counts == {"failed": 1}


@pytest.mark.parametrize("failure", [SystemExit, KeyboardInterrupt])
def test_a_task_that_wants_to_end_the_program_ends_nothing(
    server: Server, failure: type[BaseException]
) -> None:
    def task(_: Job) -> None:
        raise failure

    with executor_on(server, max_jobs=1) as executor:
        assert isinstance(executor.submit(task).exception(PATIENCE_S), failure)
        assert executor.submit(number_of).result(PATIENCE_S)


def test_the_progress_is_told(server: Server) -> None:
    told: list[dict[str, int]] = []
    with executor_on(server, max_jobs=2, progress=told.append) as executor:
        list(executor.map(number_of, range(5)))
    assert told[0] == {"waiting": 1}
    assert told[-1] == {"done": 5}
    assert all(counts.get("in use", 0) <= 2 for counts in told)


# ------------------------------------------------------------------- the standard's contract


def test_map_stops_with_the_shortest_and_keeps_the_order(server: Server) -> None:
    with executor_on(server, max_jobs=4) as executor:
        found = executor.map(lambda _, a, b: a * b, range(10), [1, 10, 100])
        assert list(found) == [0, 10, 200]


def test_map_raises_what_the_task_has_raised_in_its_place(server: Server) -> None:
    with executor_on(server) as executor:
        found = executor.map(lambda _, n: 1 // n, [1, 0, 1])
        assert next(found) == 1
        with pytest.raises(ZeroDivisionError):
            next(found)


@pytest.mark.own_server("has machines of its own")
def test_map_that_takes_too_long_times_out(make_server: MakeServer) -> None:
    server = make_server(power_seconds=SLOW_POWER_S)
    with executor_on(server, max_jobs=2) as executor:
        found = executor.map(number_of, range(4), timeout=HASTY_S)
        with pytest.raises(futures.TimeoutError):
            next(found)
    # What is not needed any more was cancelled.
    assert executor.counts == {"cancelled": 4}
    assert listed(server) == []


def test_a_chunk_shares_one_allocation(server: Server) -> None:
    with executor_on(server, max_jobs=4) as executor:
        found = list(executor.map(number_of, range(10), range(10), chunksize=4))
    assert len(found) == 10
    assert [len(set(found[n : n + 4])) for n in (0, 4, 8)] == [1, 1, 1]
    assert len(set(found)) == 3


def test_the_standard_library_waits_for_its_futures(server: Server) -> None:
    with executor_on(server, max_jobs=4) as executor:
        submitted = [executor.submit(number_of) for _ in range(8)]
        assert set(futures.as_completed(submitted, PATIENCE_S)) == set(submitted)
        assert futures.wait(submitted, PATIENCE_S).not_done == set()


def test_a_greenlet_that_waits_for_a_result_lets_its_hub_run(server: Server) -> None:
    gate = Gate()
    with executor_on(server) as executor:
        future = executor.submit(gate)
        waiter = gevent.spawn(future.result, PATIENCE_S)
        gevent.spawn(gate.opened.set)
        waiter.join(PATIENCE_S)
        assert waiter.value is not None


def test_nothing_is_taken_on_after_the_end(server: Server) -> None:
    executor = executor_on(server)
    executor.shutdown()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="has been shut down"):
        executor.submit(number_of)


def test_the_end_waits_for_all_that_was_submitted(server: Server) -> None:
    executor = executor_on(server, max_jobs=2)
    submitted = [executor.submit(number_of) for _ in range(6)]
    executor.shutdown()
    assert all(future.done() for future in submitted)


def test_the_end_need_not_be_waited_for(server: Server) -> None:
    gate = Gate()
    executor = executor_on(server)
    future = executor.submit(gate)
    executor.shutdown(wait=False)
    assert not future.done()
    gate.opened.set()
    assert future.result(PATIENCE_S)


@pytest.mark.parametrize("workers", ["threads", "greenlets"])
def test_a_task_cannot_wait_for_its_own_executor(server: Server, workers: str) -> None:
    with executor_on(server, workers=workers) as executor:
        future = executor.submit(lambda _: executor.shutdown())
        with pytest.raises(RuntimeError, match="a task cannot wait for the end of the executor"):
            future.result(PATIENCE_S)


def test_one_that_nobody_has_any_more_still_runs_what_it_has_taken_on(server: Server) -> None:
    threads = native_threads()
    executor = executor_on(server, max_jobs=1)
    submitted = [executor.submit(number_of) for _ in range(3)]
    del executor
    gc.collect()
    assert len({future.result(PATIENCE_S) for future in submitted}) == 3
    await_true(lambda: native_threads() <= threads)
    assert listed(server) == []


# ------------------------------------------------------------------- cancelling


@pytest.mark.own_server("has machines of its own")
def test_a_task_without_boards_can_be_cancelled_and_leaves_the_queue(
    make_server: MakeServer,
) -> None:
    server = make_server(ONE_TRIAD)
    gate = Gate()
    with executor_on(server, 3, max_jobs=3) as executor:
        running = executor.submit(gate)
        held = gate.await_entry().id
        queued = executor.submit(number_of)
        await_true(lambda: executor.counts.get("queued") == 1)
        assert running.running()
        assert not queued.running()
        assert not running.cancel()
        assert queued.cancel()
        await_true(lambda: numbers(server) == {held})
        gate.opened.set()
        assert running.result(PATIENCE_S) == held
    assert executor.counts == {"done": 1, "cancelled": 1}


@pytest.mark.parametrize("reuse", [False, True])
def test_a_task_that_is_cancelled_when_its_boards_are_ready_is_not_run(
    server: Server, reuse: bool
) -> None:
    submitted: list[futures.Future[int]] = []
    are_submitted = threading.Event()

    def cancel_when_ready(counts: dict[str, int]) -> None:
        if counts.get("ready"):
            assert are_submitted.wait(PATIENCE_S)
            submitted[0].cancel()

    with executor_on(server, reuse=reuse, progress=cancel_when_ready) as executor:
        submitted.append(executor.submit(number_of))
        are_submitted.set()
    assert submitted[0].cancelled()
    assert executor.counts == {"cancelled": 1}
    assert listed(server) == []


def test_no_boards_are_asked_for_a_task_that_was_cancelled_before(server: Server) -> None:
    gate = Gate()
    with Tap(server) as tap:
        with executor_on(tap, max_jobs=1) as executor:
            running = executor.submit(gate)
            gate.await_entry()
            assert all(executor.submit(number_of).cancel() for _ in range(3))
            gate.opened.set()
            assert running.result(PATIENCE_S)
        assert tap.count("create_job") == 1
    assert executor.counts == {"done": 1, "cancelled": 3}


@pytest.mark.own_server("has machines of its own")
def test_the_end_may_cancel_what_has_no_boards_yet(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    gate = Gate()
    executor = executor_on(server, 3, max_jobs=2)
    running = executor.submit(gate)
    gate.await_entry()
    # One in the queue of the server, the others in that of the executor.
    others = [executor.submit(number_of) for _ in range(4)]
    await_true(lambda: executor.counts.get("queued") == 1)
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in others)
    gate.opened.set()
    executor.shutdown()
    assert running.done()
    assert executor.counts == {"done": 1, "cancelled": 4}
    assert listed(server) == []


@pytest.mark.own_server("has machines of its own")
def test_ctrl_c_gives_up_what_has_no_boards_yet(make_server: MakeServer) -> None:
    server = make_server(power_seconds=SLOW_POWER_S)
    with pytest.raises(KeyboardInterrupt), executor_on(server, max_jobs=2) as executor:  # noqa: PT012
        submitted = [executor.submit(number_of) for _ in range(4)]
        raise KeyboardInterrupt
    assert all(future.cancelled() for future in submitted)
    assert listed(server) == []


# ------------------------------------------------------------------- warm boards


def test_warm_boards_are_used_again_until_the_end(server: Server) -> None:
    with executor_on(server, max_jobs=1, reuse=True) as executor:
        found = set(executor.map(number_of, range(5)))
        assert len(found) == 1
        assert numbers(server) == found
    assert listed(server) == []


def test_warm_boards_that_somebody_destroyed_are_replaced(server: Server) -> None:
    with executor_on(server, max_jobs=1, reuse=True) as executor:
        first = executor.submit(number_of).result(PATIENCE_S)
        destroy_from_elsewhere(server, first, "needed elsewhere")
        second = executor.submit(number_of).result(PATIENCE_S)
        assert second != first


def test_warm_boards_are_power_cycled_in_between_if_asked(server: Server) -> None:
    with Tap(server) as tap:
        with executor_on(tap, max_jobs=1, reuse=True, reset=True) as executor:
            states = list(executor.map(lambda job, _: job.state, range(3)))
        assert states == [JobState.ready] * 3
        assert tap.count("power_on_job_boards") == 2
        assert tap.count("create_job") == 1


def test_only_new_boards_are_checked(server: Server) -> None:
    checked: list[int | None] = []
    with executor_on(server, max_jobs=1, reuse=True, check=lambda job: checked.append(job.id)) as e:
        found = set(e.map(number_of, range(3)))
    assert set(checked) == found
    assert len(checked) == 1


# ------------------------------------------------------------------- jobs that are taken away


def losing(server: Server, times: int) -> tuple[list[int], Callable[[Job], int | None]]:
    """A task whose job is destroyed by somebody else so many times, and what it was run on."""
    seen: list[int] = []

    def task(job: Job) -> int | None:
        assert job.id is not None
        seen.append(job.id)
        if len(seen) <= times:
            destroy_from_elsewhere(server, job.id, "needed elsewhere")
            raise OSError("the boards do not answer")
        return job.id

    return seen, task


@pytest.mark.parametrize("reuse", [False, True])
def test_a_task_that_lost_its_job_runs_again_on_new_boards(server: Server, reuse: bool) -> None:
    seen, task = losing(server, 2)
    with executor_on(server, retries=2, reuse=reuse) as executor:
        assert executor.submit(task).result(PATIENCE_S) == seen[-1]
    assert len(set(seen)) == 3


def test_retries_come_to_an_end(server: Server) -> None:
    seen, task = losing(server, 9)
    with executor_on(server, retries=1) as executor:
        assert isinstance(executor.submit(task).exception(PATIENCE_S), OSError)
    assert len(seen) == 2
    assert listed(server) == []


@pytest.mark.parametrize("ends_job", [False, True])
def test_a_task_that_fails_by_itself_is_not_run_again(server: Server, ends_job: bool) -> None:
    seen: list[int | None] = []

    def task(job: Job) -> None:
        seen.append(job.id)
        if ends_job:
            job.destroy()
        raise OSError("my own fault")

    with executor_on(server, retries=3) as executor:
        assert isinstance(executor.submit(task).exception(PATIENCE_S), OSError)
    assert len(seen) == 1


@pytest.mark.own_server("has machines of its own")
def test_a_retry_that_finds_no_boards_ends_with_the_executor(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    _, lose = losing(server, 1)
    taken: list[Job] = []

    def task(job: Job) -> None:
        try:
            lose(job)
        finally:
            taken.append(job_of(server, 3))

    executor = executor_on(server, 3, retries=5)
    future = executor.submit(task)
    await_true(lambda: len(taken) == 1 and executor.counts.get("queued") == 1)
    executor.shutdown(cancel_futures=True)
    assert isinstance(future.exception(PATIENCE_S), OSError)
    taken[0].destroy()
    assert listed(server) == []


@pytest.mark.own_server("stops it and starts it again")
def test_a_restart_of_the_server_costs_no_task(server: StoppableServer) -> None:
    begun = threading.Semaphore(0)

    def task(job: Job, number: int) -> int:
        assert job.id is not None
        begun.release()
        return number

    with executor_on(server, max_jobs=4, keepalive=4.0) as executor:
        found = executor.map(task, range(80))
        for _ in range(20):
            assert begun.acquire(timeout=PATIENCE_S)
        server.restart()
        assert list(found) == list(range(80))
    # Nobody can know of a job whose number was lost with the connection: its keepalive ends it.
    await_true(lambda: listed(server) == [])


def test_a_server_that_was_never_there_is_not_waited_for() -> None:
    with SpallocExecutor(hostname="127.0.0.1", port=1, owner="me", config_filenames=[]) as executor:
        assert isinstance(executor.submit(number_of).exception(PATIENCE_S), ConnectionLostError)


# ------------------------------------------------------------------- no boards


@pytest.mark.own_server("has machines of its own")
def test_a_task_that_is_given_no_boards_in_time_fails_with_that(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    gate = Gate()
    with executor_on(server, 3, max_jobs=2, queue_timeout=HASTY_S) as executor:
        running = executor.submit(gate)
        gate.await_entry()
        late = executor.submit(number_of)
        assert isinstance(late.exception(PATIENCE_S), QueueTimeoutError)
        gate.opened.set()
        assert running.result(PATIENCE_S)


def test_bad_boards_are_not_given_to_a_task(server: Server) -> None:
    first = FirstBoard()
    with executor_on(server, max_jobs=4, check=first.is_another) as executor:
        found = list(executor.map(lambda job, _: job.boards, range(8)))
    assert first.boards not in found
    x, y, z = first.boards[0]
    assert set(bad_boards.among(first.machine, [(x, y, z)])) == {(x, y, z)}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"check": lambda _: False, "attempts": 2}, AllocationError),
        ({"tags": "a tag"}, TypeError),
    ],
    ids=["no good boards", "no option of any job"],
)
def test_why_there_are_no_boards_is_told_in_the_future(
    server: Server, options: dict[str, Any], kind: type[Exception]
) -> None:
    with executor_on(server, **options) as executor:
        error = executor.submit(number_of).exception(PATIENCE_S)
    assert isinstance(error, kind)
    assert listed(server) == []


def test_what_no_machine_has_is_told_in_the_future(server: Server, never_met: Refusal) -> None:
    with executor_on(server, 100_000) as executor:
        error = executor.submit(number_of).exception(PATIENCE_S)
    assert isinstance(error, never_met.error)


# ------------------------------------------------------------------- other executors


def test_on_another_executor_a_task_is_told_of_its_boards(server: Server) -> None:
    with (
        futures.ThreadPoolExecutor(2) as workers,
        executor_on(server, 3, max_jobs=4, workers=workers) as executor,
    ):
        found = list(executor.map(lambda boards, n: (n, boards), range(6)))
    assert [n for n, _ in found] == list(range(6))
    for _, boards in found:
        assert isinstance(boards, Allocation)
        assert len(boards.boards) == 3
        assert boards.machine
        assert boards.hostname == boards.connections[0, 0]
        assert (boards.width, boards.height) == (16, 16)
    assert listed(server) == []


def test_the_jobs_of_another_executor_s_tasks_are_held_meanwhile(server: Server) -> None:
    with (
        futures.ThreadPoolExecutor(2) as workers,
        executor_on(server, workers=workers) as executor,
    ):
        assert all(executor.map(lambda boards, _: boards.id in numbers(server), range(4)))


def test_what_another_executor_refuses_comes_out(server: Server) -> None:
    workers = futures.ThreadPoolExecutor(1)
    workers.shutdown()
    with executor_on(server, workers=workers) as executor:
        error = executor.submit(number_of).exception(PATIENCE_S)
    assert isinstance(error, RuntimeError)
    assert listed(server) == []


def test_an_allocation_can_be_pickled_and_a_job_says_what_can(server: Server) -> None:
    with job_of(server, 3) as job:
        boards = Allocation.of(job)
        assert pickle.loads(pickle.dumps(boards)) == boards
        assert boards.id == job.id
        with pytest.raises(TypeError, match=r"Allocation\.of.*SpallocExecutor.*resume_job_id"):
            pickle.dumps(job)
    with asked(server) as ended, pytest.raises(JobDestroyedError, match="has no boards"):  # noqa: PT012
        destroy_from_elsewhere(server, ended.id, "not needed")
        Allocation.of(ended)


# ------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_jobs": 0}, ValueError, "max_jobs must be 1 or more, not 0"),
        ({"retries": -1}, ValueError, "retries must be 0 or more, not -1"),
        ({"reset": True}, ValueError, "reset=True is for reuse=True"),
        ({"attempts": 0}, ValueError, "attempts must be 1 or more"),
        ({"resume_job_id": 1}, TypeError, "unexpected keyword argument 'resume_job_id'"),
        ({"colour": "red"}, TypeError, "unexpected keyword argument 'colour'"),
        ({"workers": "processes"}, TypeError, '"threads", "greenlets" or an executor'),
        ({"workers": 4}, TypeError, '"threads", "greenlets" or an executor'),
        ({"avoid": [("m", 0)]}, ValueError, "avoid names boards"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    server: Server, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        executor_on(server, **options)


def test_a_chunk_of_nothing_is_refused(server: Server) -> None:
    with executor_on(server) as executor, pytest.raises(ValueError, match="chunksize must be 1"):
        executor.map(number_of, range(3), chunksize=0)


def test_a_dask_client_is_asked_for_its_executor(server: Server) -> None:
    class Client:
        def get_executor(self) -> None: ...

    with pytest.raises(TypeError, match="get_executor"):
        executor_on(server, workers=Client())


# ------------------------------------------------------------------- under load


def test_many_threads_may_submit(server: Server) -> None:
    with executor_on(server, max_jobs=8, reuse=True) as executor:
        outcomes = [
            in_thread(lambda: [executor.submit(number_of).result(PATIENCE_S) for _ in range(10)])
            for _ in range(20)
        ]
        assert all(len(outcome.result(PATIENCE_S)) == 10 for outcome in outcomes)
        assert executor.counts == {"done": 200}
    assert listed(server) == []
