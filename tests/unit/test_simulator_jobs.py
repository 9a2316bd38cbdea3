"""The queue, power, keepalive and end of simulated jobs, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from spalloc_gevent.simulator.jobs import SimulatedJob
from spalloc_gevent.simulator.machine import MachineSpec
from spalloc_gevent.simulator.queues import QueuedJobs
from spalloc_gevent.simulator.timers import SPARE_TIMERS
from spalloc_gevent.states import JobState

IMPOSSIBLE = "Cancelled: No suitable machines available."
QUEUED, POWER, READY = JobState.queued, JobState.power, JobState.ready


class Server:
    """Jobs, and a clock that stands until it is turned."""

    def __init__(self, machines: Sequence[MachineSpec] = (MachineSpec(),), **options: Any) -> None:
        self.now = 1000.0
        self.jobs = QueuedJobs(machines, clock=lambda: self.now, wall_clock=lambda: 7.0, **options)

    def create(self, *args: Any, **kwargs: Any) -> int:
        return self.jobs.create("1.2.3.4", args, {"owner": "me", "keepalive": None, **kwargs})

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything that was due happen."""
        until = self.now + seconds
        while (due := self.jobs.timers.next_due()) <= until:
            self.now = max(self.now, due)
            self.jobs.timers.run_due()
        self.now = until

    def job(self, job_id: int) -> SimulatedJob:
        return self.jobs.living[job_id]

    def states(self, *jobs: int) -> list[JobState]:
        return [self.job(job_id).state for job_id in jobs]

    def reason(self, job_id: int) -> object:
        return self.jobs.destroyed[job_id].reason

    def machine_of(self, job_id: int) -> str:
        machine = self.job(job_id).machine
        assert machine is not None
        return machine.name


@pytest.fixture
def server() -> Server:
    return Server()


def test_ids_begin_at_1_and_are_never_used_again(server: Server) -> None:
    assert [server.create(), server.create()] == [1, 2]
    server.jobs.destroy(2)
    assert server.create() == 3


def test_new_job_gets_its_boards_at_once_and_powers_them_on() -> None:
    server = Server(power_seconds=5.0)
    job_id = server.create(3)
    assert (server.states(job_id), server.job(job_id).power) == ([POWER], True)
    server.turn(4.9)
    assert server.states(job_id) == [POWER]
    server.turn(0.1)
    assert server.states(job_id) == [READY]


def test_jobs_wait_in_order_even_when_a_later_one_would_fit(server: Server) -> None:
    first, big, small = server.create(3, 2), server.create(4, 2), server.create()
    assert server.states(big, small) == [QUEUED, QUEUED]
    assert (server.job(big).power, server.job(big).boards) == (None, None)
    server.jobs.destroy(first)
    server.turn()
    assert server.states(big, small) == [READY, QUEUED]


def test_cancelling_the_head_of_the_queue_lets_those_behind_it_go_on(server: Server) -> None:
    _, big, small = server.create(3, 2), server.create(4, 2), server.create()
    server.jobs.destroy(big)
    server.turn()
    assert server.states(small) == [READY]


def test_first_machine_with_room_gets_the_job() -> None:
    server = Server([MachineSpec("first", 1, 1), MachineSpec("second", 1, 1)])
    assert [server.machine_of(server.create(3)) for _ in range(2)] == ["first", "second"]


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ({}, "plain"),
        ({"tags": None}, "plain"),
        ({"tags": []}, "plain"),
        ({"tags": ["big"]}, "tagged"),
        ({"tags": ["big", "fast"]}, "tagged"),
        ({"machine": "tagged"}, "tagged"),
    ],
)
def test_job_goes_to_the_machine_it_names_or_whose_tags_fit(wish: Any, name: str) -> None:
    server = Server([MachineSpec("plain"), MachineSpec("tagged", tags=("big", "fast"))])
    assert server.machine_of(server.create(**wish)) == name


@pytest.mark.parametrize(
    ("args", "wish"),
    [
        ((25,), {}),
        ((0,), {}),
        ((-1,), {}),
        ((4, 1), {"require_torus": True}),
        ((), {"machine": "elsewhere"}),
        ((), {"tags": ["big"]}),
        ((9, 9, 0), {}),
    ],
)
def test_impossible_request_is_destroyed_at_once(server: Server, args: Any, wish: Any) -> None:
    job_id = server.create(*args, **wish)
    assert job_id not in server.jobs.living
    assert server.reason(job_id) == IMPOSSIBLE


def test_refused_arguments_leave_a_queued_job_that_expires_without_harm(server: Server) -> None:
    with pytest.raises(ValueError, match="require_torus"):
        server.create(require_torus=True)
    with pytest.raises(TypeError, match="tags"):
        server.create(tags=["default"], machine="m", keepalive=5.0)
    assert server.states(1, 2) == [QUEUED, QUEUED]
    server.turn(5.0)
    assert server.reason(2) == "Cancelled: Job timed out."
    assert server.states(server.create()) == [POWER]


def test_request_without_an_owner_makes_no_job(server: Server) -> None:
    with pytest.raises(TypeError, match="owner"):
        server.jobs.create(None, (), {})
    assert not server.jobs.living


def test_silent_job_expires_exactly_when_its_keepalive_is_over(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    server.turn(9.9)
    assert job_id in server.jobs.living
    server.turn(0.1)
    assert server.reason(job_id) == "Job timed out."


def test_keepalives_and_power_commands_put_the_end_off(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    for _ in range(3):
        server.turn(9.0)
        server.jobs.keep_alive(job_id, "5.6.7.8")
        server.turn(9.0)
        server.jobs.set_power(job_id, None, on=False)
    assert server.job(job_id).keepalive_host == "5.6.7.8"
    server.turn(10.0)
    assert job_id in server.jobs.destroyed


@pytest.mark.parametrize("keepalive", [None, float("inf"), float("nan")])
def test_job_whose_keepalive_never_passes_is_never_destroyed(
    server: Server, keepalive: float | None
) -> None:
    job_id = server.create(keepalive=keepalive)
    server.turn(1e9)
    assert server.states(job_id) == [READY]


def test_keepalive_is_60_seconds_unless_told(server: Server) -> None:
    assert server.job(server.jobs.create(None, (), {"owner": "me"})).keepalive_s == 60.0


def test_destroyed_jobs_leave_nothing_behind_among_the_timers(server: Server) -> None:
    for _ in range(5 * SPARE_TIMERS):
        server.jobs.destroy(server.create(keepalive=1e6))
        server.turn()
    assert len(server.jobs.timers) <= 3 * SPARE_TIMERS


def test_waiting_job_is_tried_again_only_after_boards_came_back(server: Server) -> None:
    server.create(24)
    for _ in range(10_000):
        server.create()
    tried: list[Any] = []
    server.jobs.sites["m"].placement.place = tried.append  # type: ignore[method-assign, assignment]
    server.create()
    assert tried == []


@pytest.mark.parametrize(
    ("size", "reason", "told"),
    [
        (1, "enough", "enough"),
        (1, None, None),
        (1, "", ""),
        (1, 5, 5),
        (24, "enough", "Cancelled: enough"),
        (24, None, "Cancelled: "),
    ],
)
def test_reason_is_remembered_and_that_of_a_queued_job_says_so(
    server: Server, size: int, reason: object, told: object
) -> None:
    server.create()
    job_id = server.create(size)
    server.jobs.destroy(job_id, reason)
    assert server.reason(job_id) == told


def test_about_1200_destroyed_jobs_are_remembered_the_oldest_forgotten_first(
    server: Server,
) -> None:
    for _ in range(1201):
        server.jobs.destroy(server.create(), "gone")
        server.turn()
    assert list(server.jobs.destroyed) == list(range(2, 1202))


def test_freed_boards_rest_before_somebody_else_gets_them() -> None:
    server = Server(seconds_before_free=30.0)
    server.jobs.destroy(server.create(24))
    waiting = server.create()
    server.turn(29.9)
    assert server.states(waiting) == [QUEUED]
    server.turn(0.1)
    assert server.states(waiting) == [READY]


def test_job_destroyed_while_powering_on_is_gone_but_its_boards_stay_busy() -> None:
    server = Server(power_seconds=5.0)
    job_id = server.create(24)
    server.turn(1.0)
    server.jobs.destroy(job_id, "x")
    waiting = server.create()
    server.turn(3.9)
    assert server.states(waiting) == [QUEUED]
    server.turn(0.1)
    assert server.states(waiting) == [POWER]


def test_powering_off_is_quick_and_a_reset_takes_as_long_as_powering_on() -> None:
    server = Server(power_seconds=5.0)
    job_id = server.create()
    server.turn(5.0)
    server.jobs.set_power(job_id, None, on=False)
    server.turn()
    assert (server.states(job_id), server.job(job_id).power) == ([READY], False)
    server.jobs.set_power(job_id, None, on=True)
    server.jobs.set_power(job_id, None, on=True)
    server.turn(9.9)
    assert server.states(job_id) == [POWER]
    server.turn(0.1)
    assert server.states(job_id) == [READY]


def test_many_power_commands_free_the_boards_once(server: Server) -> None:
    job_id = server.create(24)
    for on in (False, True, False, True):
        server.jobs.set_power(job_id, None, on=on)
    server.jobs.destroy(job_id)
    server.turn()
    assert server.job(server.create(24)).boards is not None
    assert server.states(server.create(1)) == [QUEUED]


def test_power_command_for_a_queued_or_unknown_job_does_nothing(server: Server) -> None:
    _, waiting = server.create(24), server.create()
    for job_id in (waiting, 99):
        server.jobs.set_power(job_id, None, on=True)
    assert server.states(waiting) == [QUEUED]


def test_changes_are_told_once(server: Server) -> None:
    first = server.create(24)
    assert server.jobs.take_changes() == ({first}, {"m"})
    second = server.create()
    assert server.jobs.take_changes() == ({second}, set())
    server.turn()
    assert server.jobs.take_changes() == ({first}, set())
    server.jobs.destroy(first)
    assert server.jobs.take_changes() == ({first}, {"m"})
    server.turn()
    assert server.jobs.take_changes() == ({second}, {"m"})


def test_after_a_restart_every_job_has_its_whole_keepalive_ahead(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    server.turn(9.0)
    server.jobs.recover()
    server.turn(9.9)
    assert server.states(job_id) == [READY]


def test_two_machines_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Server([MachineSpec(), MachineSpec()])
