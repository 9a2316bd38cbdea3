"""``allocate``: good boards, or an error that tells every attempt; nothing is left behind."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from spalloc_gevent import Job, JobState
from spalloc_gevent.batch import allocate, allocation, bad_boards
from spalloc_gevent.batch.boards import Board
from spalloc_gevent.errors import (
    AllocationError,
    PowerTimeoutError,
    QueueTimeoutError,
    StateChangeTimeoutError,
)
from tests.contract.conftest import MakeServer, Refusal
from tests.contract.support import (
    ONE_TRIAD,
    PATIENCE_S,
    SLOW_POWER_S,
    Server,
    Tap,
    destroy_from_elsewhere,
    destroying,
    in_thread,
    job_of,
    listed,
    owner,
)
from tests.faults.support import JobScript, ready_state
from tests.transport.scripted_server import Command, Peer, ScriptedServer

HASTY_S = 0.2


pytestmark = pytest.mark.usefixtures("quick_and_forgetful")


def allocated(server: Server, *what: int, **options: Any) -> Job:
    given = {"owner": owner(), "config_filenames": [], **options}
    return allocate(*what, hostname=server.host, port=server.port, **given)


def places(job: Job) -> list[Board]:
    return [(x, y, z) for x, y, z in job.boards or []]


def only_on(*good: Board) -> Any:
    """A check that only these boards pass."""
    return lambda job: set(places(job)) <= set(good)


# ------------------------------------------------------------------- good boards


def test_a_ready_job_comes_back(server: Server) -> None:
    with destroying(allocated(server, 3)) as job:
        assert job.state is JobState.ready
        assert len(job.boards or []) == 3
    assert listed(server) == []


@pytest.mark.parametrize("verdict", [True, None, [], ()])
def test_a_check_that_finds_nothing_wrong_passes(server: Server, verdict: Any) -> None:
    seen: list[JobState] = []

    def check(job: Job) -> Any:
        seen.append(job.state)
        return verdict

    with destroying(allocated(server, check=check)):
        assert seen == [JobState.ready]


def test_boards_that_fail_are_held_while_others_are_asked_for(server: Server) -> None:
    """The server would hand out the same ones again."""
    held: list[int] = []

    def check(job: Job) -> bool:
        held.append(len(listed(server)))
        return len(held) == 3

    with destroying(allocated(server, check=check)) as job:
        assert held == [1, 2, 3]
        # Given back by now.
        assert [told["job_id"] for told in listed(server)] == [job.id]


@pytest.mark.parametrize("failure", ["returns", "raises", "names"])
def test_failed_boards_are_avoided_for_the_rest_of_the_program(
    server: Server, failure: str
) -> None:
    bad: list[Board] = []

    def check(job: Job) -> Any:
        bad[:] = bad or places(job)
        if places(job) != bad:
            return True
        if failure == "raises":
            raise RuntimeError("the board is red")
        return bad if failure == "names" else False

    with destroying(allocated(server, check=check)) as first:
        good, machine = places(first), first.machine_name or ""
    assert set(bad_boards.among(machine, [*bad, *good])) == set(bad)
    # No check now: what is known is enough, and costs no attempt.
    with destroying(allocated(server, attempts=1)) as second:
        assert places(second) != bad


def test_only_the_boards_that_a_check_names_are_avoided(server: Server) -> None:
    triad: list[Board] = []

    def check(job: Job) -> Any:
        if triad:
            return None
        triad.extend(places(job))
        return [triad[1]]

    with destroying(allocated(server, 3, check=check)) as job:
        assert set(bad_boards.among(job.machine_name or "", triad)) == {triad[1]}


def test_boards_that_the_caller_names_are_avoided_in_this_call_alone(server: Server) -> None:
    with destroying(allocated(server, 3)) as triad:
        first, second, third = [(triad.machine_name, *board) for board in places(triad)]
    avoid = [first, second, ("elsewhere", *third[1:])]
    with destroying(allocated(server, avoid=avoid, attempts=1)) as job:
        assert (job.machine_name, *places(job)[0]) not in (first, second)
    assert len(bad_boards) == 0


def test_settling_is_waiting_that_notices_a_loss(server: Server) -> None:
    with Tap(server) as tap:

        def destroyed_while_settling() -> None:
            # Asked when the job is known to have boards.
            tap.await_command("get_job_machine_info")
            (told,) = listed(server)
            destroy_from_elsewhere(server, told["job_id"], "taken away")

        taking = in_thread(destroyed_while_settling)
        # In time to be told of its boards or not: it is an attempt in either case.
        with pytest.raises(AllocationError, match="it was destroyed"):
            allocated(tap, settle=PATIENCE_S, attempts=1)
        taking.result(PATIENCE_S)


class DestroyedBeforeItsBoardsAreTold(JobScript):
    """A server that destroys each job when it is asked for its boards, and tells none."""

    def __init__(self) -> None:
        super().__init__()
        self._destroyed: set[int] = set()
        self.on_state = self._tell_state

    def __call__(self, peer: Peer, command: Command) -> None:
        if command.name == "get_job_machine_info":
            self._destroyed.add(command.args[0])
            peer.answer(dict.fromkeys(("connections", "width", "height", "machine_name", "boards")))
        else:
            super().__call__(peer, command)

    def _tell_state(self, peer: Peer, command: Command) -> bool:
        is_over = command.args[0] in self._destroyed
        peer.answer(ready_state(state=JobState.destroyed if is_over else JobState.power))
        return True


def test_a_job_that_is_destroyed_before_its_boards_are_known_is_an_attempt() -> None:
    with ScriptedServer(DestroyedBeforeItsBoardsAreTold()) as server:
        with pytest.raises(AllocationError, match="no good boards in 2 attempts"):
            allocated(server, attempts=2)
        assert server.counts["create_job"] == 2


# ------------------------------------------------------------------- giving up


def test_the_error_names_every_attempt_with_its_boards_and_why(server: Server) -> None:
    def check(job: Job) -> bool:
        raise OSError(f"no answer from {places(job)[0]}")

    with pytest.raises(AllocationError) as caught:
        allocated(server, check=check, attempts=2)
    error = caught.value
    first, second = error.attempts
    assert first.boards != second.boards
    message = str(error)
    assert message.startswith("no good boards in 2 attempts: attempt 1: job ")
    for number, tried in enumerate((first, second), 1):
        told = f"attempt {number}: job {tried.job_id} ({tried.machine} {tried.boards[0]}): "
        assert f"{told}its check failed: OSError: no answer from {tried.boards[0]}" in message
    assert listed(server) == []
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.attempts) == (message, error.attempts)


@pytest.mark.own_server("has machines of its own")
def test_waiting_for_boards_has_a_limit_and_an_error_of_its_own(make_server: MakeServer) -> None:
    server = make_server(ONE_TRIAD)
    with destroying(job_of(server, 3)):
        with pytest.raises(QueueTimeoutError, match=r"job 2 was still queued after 0\.2 s"):
            allocated(server, queue_timeout=HASTY_S)
        assert [told["job_id"] for told in listed(server)] == [1]


@pytest.mark.own_server("has machines of its own")
def test_waiting_for_power_has_a_limit_and_an_error_of_its_own(make_server: MakeServer) -> None:
    server = make_server(power_seconds=SLOW_POWER_S)
    with pytest.raises(PowerTimeoutError, match=r"not powered on within 0\.2 s") as caught:
        allocated(server, power_timeout=HASTY_S, attempts=2)
    assert isinstance(caught.value, StateChangeTimeoutError)
    assert len(caught.value.attempts) == 2
    assert len(bad_boards) == 2
    assert listed(server) == []


@pytest.mark.own_server("has machines of its own")
def test_bad_boards_are_not_waited_for_behind_themselves(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "QUEUE_WHILE_HOLDING_S", HASTY_S)
    server = make_server(ONE_TRIAD)
    with pytest.raises(QueueTimeoutError, match="while 1 bad allocations were held; before that"):
        allocated(server, 3, check=lambda _: False)
    assert listed(server) == []


def test_a_request_that_can_never_be_met_is_told_at_once(
    server: Server, never_met: Refusal
) -> None:
    with pytest.raises(never_met.error, match=never_met.match):
        allocated(server, 100_000)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume_job_id": 1}, TypeError, "unexpected keyword argument 'resume_job_id'"),
        ({"attempts": 0}, ValueError, "attempts must be 1 or more, not 0"),
        ({"attempts": 1.5}, TypeError, "attempts must be a whole number, not 1.5"),
        ({"settle": -1}, ValueError, "settle must be 0 seconds or more, not -1"),
        ({"queue_timeout": -1}, ValueError, "queue_timeout must be 0 seconds or more, not -1"),
        ({"power_timeout": -1}, ValueError, "power_timeout must be 0 seconds or more, not -1"),
        ({"colour": "red"}, TypeError, "unexpected keyword argument 'colour'"),
        ({"avoid": [("m", 0, 0)]}, ValueError, "avoid"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    server: Server, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        allocated(server, **options)
    assert listed(server) == []


def test_an_interruption_gives_everything_back(server: Server) -> None:
    calls: list[Job] = []

    def check(job: Job) -> bool:
        calls.append(job)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        allocated(server, check=check)
    assert listed(server) == []


def test_many_threads_allocate_at_once(server: Server) -> None:
    good = only_on(*[(x, y, z) for x in range(4) for y in range(2) for z in (1, 2)])
    jobs = [in_thread(partial(allocated, server, check=good, attempts=24)) for _ in range(4)]
    found = [job.result(PATIENCE_S) for job in jobs]
    assert len({places(job)[0] for job in found}) == 4
    assert all(place[2] for job in found for place in places(job))
    for job in found:
        job.destroy()
    assert listed(server) == []
