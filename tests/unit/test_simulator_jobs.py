"""The queue, power, keepalive and end of simulated jobs, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from spalloc_gevent.simulator import jobs as jobs_module
from spalloc_gevent.simulator.jobs import Job, Jobs
from spalloc_gevent.simulator.machine import MachineSpec
from spalloc_gevent.states import JobState

IMPOSSIBLE = "Cancelled: No suitable machines available."


class Server:
    """Jobs, and a clock that stands until it is turned."""

    def __init__(self, machines: Sequence[MachineSpec] = (MachineSpec(),), **options: Any) -> None:
        self.now = 1000.0
        self.jobs = Jobs(machines, clock=lambda: self.now, wall_clock=lambda: 7.0, **options)

    def create(self, *args: Any, **kwargs: Any) -> int:
        return self.jobs.create("1.2.3.4", args, {"owner": "me", "keepalive": None, **kwargs})

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything that was due happen."""
        until = self.now + seconds
        while (due := self.jobs.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.jobs.expire()
            self.jobs.finish_powering()
        self.now = until

    def job(self, job_id: int) -> Job:
        job = self.jobs.get(job_id)
        assert job is not None
        return job

    def state(self, job_id: int) -> JobState:
        return self.job(job_id).state


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
    assert server.state(job_id) is JobState.power
    assert server.job(job_id).power is True
    server.turn(4.9)
    assert server.state(job_id) is JobState.power
    server.turn(0.1)
    assert server.state(job_id) is JobState.ready


def test_job_without_room_waits_with_nothing_allocated(server: Server) -> None:
    server.create(24)
    waiting = server.create()
    assert server.state(waiting) is JobState.queued
    assert server.job(waiting).power is None
    assert server.job(waiting).boards is None


def test_jobs_wait_in_order_even_when_a_later_one_would_fit(server: Server) -> None:
    first = server.create(3, 2)
    big, small = server.create(4, 2), server.create()
    assert (server.state(big), server.state(small)) == (JobState.queued, JobState.queued)
    server.jobs.destroy(first)
    server.turn()
    assert (server.state(big), server.state(small)) == (JobState.ready, JobState.queued)


def test_cancelling_the_head_of_the_queue_lets_those_behind_it_go_on(server: Server) -> None:
    server.create(3, 2)
    big, small = server.create(4, 2), server.create()
    server.jobs.destroy(big)
    server.turn()
    assert server.state(small) is JobState.ready


def test_first_machine_with_room_gets_the_job() -> None:
    server = Server([MachineSpec("first", 1, 1), MachineSpec("second", 1, 1)])
    names = []
    for _ in range(2):
        machine = server.job(server.create(3)).machine
        assert machine is not None
        names.append(machine.name)
    assert names == ["first", "second"]


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
def test_job_goes_to_the_machine_it_names_or_whose_tags_fit(
    wish: dict[str, Any], name: str
) -> None:
    server = Server([MachineSpec("plain"), MachineSpec("tagged", tags=("big", "fast"))])
    machine = server.job(server.create(**wish)).machine
    assert machine is not None
    assert machine.name == name


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
def test_impossible_request_is_destroyed_at_once(
    server: Server, args: tuple[int, ...], wish: dict[str, Any]
) -> None:
    job_id = server.create(*args, **wish)
    assert server.jobs.get(job_id) is None
    assert server.jobs.was_destroyed(job_id)
    assert server.jobs.reason(job_id) == IMPOSSIBLE


def test_refused_arguments_leave_a_queued_job_behind_as_on_the_python_server(
    server: Server,
) -> None:
    with pytest.raises(ValueError, match="require_torus"):
        server.create(require_torus=True)
    with pytest.raises(TypeError, match="tags"):
        server.create(tags=["default"], machine="m")
    assert [job.state for job in server.jobs] == [JobState.queued, JobState.queued]


def test_those_left_behind_expire_without_harm(server: Server) -> None:
    with pytest.raises(TypeError):
        server.create(tags=["default"], machine="m", keepalive=5.0)
    server.turn(5.0)
    assert server.jobs.reason(1) == "Cancelled: Job timed out."
    assert server.state(server.create()) is JobState.power


def test_request_without_an_owner_makes_no_job(server: Server) -> None:
    with pytest.raises(TypeError, match="owner"):
        server.jobs.create(None, (), {})
    assert len(server.jobs) == 0


def test_silent_job_expires_exactly_when_its_keepalive_is_over(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    server.turn(9.9)
    assert server.jobs.get(job_id) is not None
    server.turn(0.1)
    assert server.jobs.reason(job_id) == "Job timed out."


def test_keepalive_puts_the_end_off_and_tells_who_cares(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    for _ in range(5):
        server.turn(9.0)
        server.jobs.keep_alive(job_id, "5.6.7.8")
    assert server.job(job_id).keepalive_host == "5.6.7.8"
    server.turn(10.0)
    assert server.jobs.was_destroyed(job_id)


def test_power_commands_keep_a_job_alive(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    server.turn(9.0)
    server.jobs.set_power(job_id, "5.6.7.8", on=False)
    server.turn(9.0)
    assert server.state(job_id) is JobState.ready


@pytest.mark.parametrize("keepalive", [None, float("inf"), float("nan")])
def test_job_whose_keepalive_never_passes_is_never_destroyed(
    server: Server, keepalive: float | None
) -> None:
    job_id = server.create(keepalive=keepalive)
    server.turn(1e9)
    assert server.state(job_id) is JobState.ready


def test_keepalive_is_60_seconds_unless_told(server: Server) -> None:
    job_id = server.jobs.create(None, (), {"owner": "me"})
    assert server.job(job_id).keepalive_s == 60.0


def test_expiry_looks_at_the_jobs_that_are_due_and_at_no_others(server: Server) -> None:
    looked_at: list[int] = []

    class Watched(dict[int, Job]):
        def get(self, job_id: int, default: Any = None) -> Any:
            looked_at.append(job_id)
            return super().get(job_id, default)

    for _ in range(500):
        server.create(keepalive=60.0)
    due = server.create(keepalive=1.0)
    server.now += 1.0
    server.jobs._jobs = Watched(server.jobs._jobs)
    server.jobs.expire()
    assert set(looked_at) == {due}


def test_destroyed_jobs_leave_nothing_behind_in_the_expiry_heap(server: Server) -> None:
    for _ in range(5 * jobs_module._SPARE_EXPIRIES):
        server.jobs.destroy(server.create(keepalive=1e6))
    assert len(server.jobs._expiries) <= jobs_module._SPARE_EXPIRIES + 1


def test_waiting_job_is_tried_again_only_after_boards_came_back(server: Server) -> None:
    server.create(24)
    for _ in range(10_000):
        server.create()
    placement = server.jobs._sites["m"].placement
    tried: list[Any] = []
    placement.place = tried.append  # type: ignore[method-assign, assignment]
    server.create()
    assert tried == []


@pytest.mark.parametrize(("reason", "told"), [("enough", "enough"), (None, None), ("", ""), (5, 5)])
def test_reason_is_remembered_for_a_job_with_boards(
    server: Server, reason: object, told: object
) -> None:
    job_id = server.create()
    server.jobs.destroy(job_id, reason)
    assert server.jobs.reason(job_id) == told


@pytest.mark.parametrize(
    ("reason", "told"), [("enough", "Cancelled: enough"), (None, "Cancelled: ")]
)
def test_queued_job_is_cancelled(server: Server, reason: str | None, told: str) -> None:
    server.create(24)
    job_id = server.create()
    server.jobs.destroy(job_id, reason)
    assert server.jobs.reason(job_id) == told


def test_about_1200_destroyed_jobs_are_remembered_the_oldest_forgotten_first(
    server: Server,
) -> None:
    for _ in range(1201):
        server.jobs.destroy(server.create(), "gone")
        server.turn()
    assert not server.jobs.was_destroyed(1)
    assert server.jobs.was_destroyed(2)
    assert server.jobs.reason(1201) == "gone"


def test_freed_boards_rest_before_somebody_else_gets_them() -> None:
    server = Server(seconds_before_free=30.0)
    server.jobs.destroy(server.create(24))
    waiting = server.create()
    server.turn(29.9)
    assert server.state(waiting) is JobState.queued
    server.turn(0.1)
    assert server.state(waiting) is JobState.ready


def test_job_destroyed_while_powering_on_is_gone_but_its_boards_stay_busy() -> None:
    server = Server(power_seconds=5.0)
    job_id = server.create(24)
    server.turn(1.0)
    server.jobs.destroy(job_id, "x")
    assert server.jobs.was_destroyed(job_id)
    waiting = server.create()
    server.turn(3.9)
    assert server.state(waiting) is JobState.queued
    server.turn(0.1)
    assert server.state(waiting) is JobState.power


def test_powering_off_is_quick_and_a_reset_takes_as_long_as_powering_on() -> None:
    server = Server(power_seconds=5.0)
    job_id = server.create()
    server.turn(5.0)
    server.jobs.set_power(job_id, None, on=False)
    server.turn()
    assert (server.state(job_id), server.job(job_id).power) == (JobState.ready, False)
    server.jobs.set_power(job_id, None, on=True)
    server.jobs.set_power(job_id, None, on=True)
    server.turn(9.9)
    assert server.state(job_id) is JobState.power
    server.turn(0.1)
    assert server.state(job_id) is JobState.ready


def test_many_power_commands_free_the_boards_once(server: Server) -> None:
    job_id = server.create(24)
    for on in (False, True, False, True):
        server.jobs.set_power(job_id, None, on=on)
    server.jobs.destroy(job_id)
    server.turn()
    assert server.job(server.create(24)).boards is not None
    assert server.state(server.create(1)) is JobState.queued


def test_power_command_for_a_queued_or_unknown_job_does_nothing(server: Server) -> None:
    server.create(24)
    waiting = server.create()
    server.jobs.set_power(waiting, None, on=True)
    server.jobs.set_power(99, None, on=True)
    assert server.state(waiting) is JobState.queued


def test_changes_are_told_once(server: Server) -> None:
    first = server.create(24)
    assert server.jobs.take_changed_jobs() == {first}
    assert server.jobs.take_changed_machines() == {"m"}
    second = server.create()
    assert server.jobs.take_changed_jobs() == {second}
    assert server.jobs.take_changed_machines() == set()
    server.turn()
    assert server.jobs.take_changed_jobs() == {first}
    server.jobs.destroy(first)
    assert server.jobs.take_changed_jobs() == {first}
    assert server.jobs.take_changed_machines() == {"m"}
    server.turn()
    assert server.jobs.take_changed_jobs() == {second}
    assert server.jobs.take_changed_machines() == {"m"}


def test_after_a_restart_every_job_has_its_whole_keepalive_ahead(server: Server) -> None:
    job_id = server.create(keepalive=10.0)
    server.turn(9.0)
    server.jobs.recover()
    server.turn(9.9)
    assert server.state(job_id) is JobState.ready


def test_two_machines_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Server([MachineSpec(), MachineSpec()])
