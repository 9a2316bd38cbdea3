"""The Java server's allocator, and what becomes of jobs there."""

from __future__ import annotations

import pytest

from spalloc_gevent.simulator import JavaOptions
from spalloc_gevent.simulator.machine import MachineSpec
from spalloc_gevent.wire.messages import CommandRequest
from tests.unit.test_simulator_java_commands import JavaServer

QUEUED, POWER, READY, DESTROYED = 1, 2, 3, 4


def states(java: JavaServer, jobs: list[int]) -> list[int]:
    return [java.state(job_id) for job_id in jobs]


def must_wait(java: JavaServer, name: str, *args: object, **kwargs: object) -> bool:
    return java.commands.must_wait(CommandRequest(name, list(args), kwargs))


def test_all_jobs_of_a_run_are_ready_together_and_those_made_meanwhile_after_the_next() -> None:
    java = JavaServer(allocator_seconds=1.0)
    first = [java.create()]
    java.settle(0.5)
    rest = [java.create() for _ in range(3)]
    java.settle(0.4)
    assert states(java, first + rest) == [QUEUED] * 4
    java.settle(0.2)
    assert states(java, first + rest) == [READY] + [QUEUED] * 3
    java.settle(2.8)
    assert states(java, rest) == [QUEUED] * 3
    java.settle(0.2)
    assert states(java, rest) == [READY] * 3


def test_jobs_are_not_allocated_in_no_time() -> None:
    java = JavaServer()
    job_id = java.create()
    java.settle(0.0)
    assert java.state(job_id) == QUEUED
    java.settle()
    assert java.state(job_id) == READY


@pytest.mark.parametrize(
    ("revive", "expected"),
    [
        ("never", [DESTROYED] * 4),
        ("half", [DESTROYED, READY, DESTROYED, READY]),
        ("always", [READY] * 4),
    ],
)
def test_jobs_that_are_destroyed_during_a_run_live_on_as_ordered(
    revive: str, expected: list[int]
) -> None:
    java = JavaServer(allocator_seconds=1.0, revive=revive)
    java.create()
    jobs = [java.create() for _ in range(4)]
    java.settle(1.1)
    for job_id in jobs:
        java.ask("destroy_job", job_id, reason="enough")
    assert states(java, jobs) == [DESTROYED] * 4
    java.settle(4.0)
    assert states(java, jobs) == expected
    assert len(java.ask("list_jobs")) == 1 + expected.count(READY)
    for job_id in jobs:
        java.ask("destroy_job", job_id)
    java.settle(4.0)
    assert states(java, jobs) == [DESTROYED] * 4


def test_job_that_is_destroyed_before_its_run_or_when_it_is_ready_is_gone() -> None:
    java = JavaServer(allocator_seconds=1.0, revive="always")
    ready = java.create()
    queued = java.create()
    java.ask("destroy_job", queued)
    java.settle(1.1)
    java.ask("destroy_job", ready)
    java.settle(10.0)
    assert states(java, [ready, queued]) == [DESTROYED, DESTROYED]


def test_commands_that_name_a_job_of_a_run_wait_while_that_is_stored() -> None:
    java = JavaServer(allocator_seconds=10.0)
    job_id = java.create()
    java.settle(5.0)
    made_meanwhile = java.create()
    assert not must_wait(java, "destroy_job", job_id)
    java.settle(2.0)
    for name in ("get_job_state", "job_keepalive", "destroy_job", "notify_job"):
        assert must_wait(java, name, job_id)
        assert not must_wait(java, name, made_meanwhile)
    assert must_wait(java, "where_is", job_id=job_id, chip_x=0, chip_y=0)
    assert not must_wait(java, "list_jobs")
    assert not must_wait(java, "notify_job")
    java.settle(3.0)
    assert not must_wait(java, "get_job_state", job_id)
    assert states(java, [job_id, made_meanwhile]) == [READY, QUEUED]


@pytest.mark.parametrize(
    ("args", "machine"), [((5, 1), "m"), ((2, 4), "m"), ((23,), "m"), ((1, 2), "long")]
)
def test_job_that_is_larger_than_its_machine_stops_all_allocation_while_it_lives(
    java_of_two: JavaServer, args: tuple[int, ...], machine: str
) -> None:
    java = java_of_two
    ready = java.ready()
    too_large = java.create(*args, machine=machine)
    jobs = [java.create(machine=name) for name in ("m", "long")]
    java.settle(60.0)
    assert states(java, [ready, too_large, *jobs]) == [READY, QUEUED, QUEUED, QUEUED]
    java.ask("destroy_job", too_large)
    java.settle()
    java.settle()
    assert states(java, jobs) == [READY, READY]


@pytest.fixture
def java_of_two() -> JavaServer:
    return JavaServer(machines=[MachineSpec(), MachineSpec("long", 4, 1)])


def test_job_that_has_no_room_now_lets_others_by() -> None:
    java = JavaServer()
    java.ready(3, 1)
    java.ready(1, 1)
    waiting, small = java.create(4, 1), java.create(1, 1)
    java.settle()
    java.ask("destroy_job", 2)
    assert java.state(waiting) in (QUEUED, READY)
    java.settle()
    assert java.state(small) == READY


def test_number_of_boards_becomes_whole_triads_in_a_square() -> None:
    java = JavaServer()
    sizes = {number: len(java.ask("get_job_machine_info", java.ready(number))["boards"])
             for number in (2, 4)}  # fmt: skip
    assert sizes == {2: 3, 4: 6}


def test_first_power_on_that_fails_moves_the_job_to_other_boards() -> None:
    java = JavaServer(failing_power_ons=1)
    job_id = java.create()
    java.now += 0.1
    java.jobs.expire()
    assert java.state(job_id) == POWER
    tried = java.ask("get_job_machine_info", job_id)["boards"]
    java.jobs.finish_powering()
    assert java.state(job_id) == QUEUED
    meanwhile = java.ask("get_job_machine_info", job_id)
    assert (meanwhile["boards"], meanwhile["connections"], meanwhile["width"]) == ([], [], 8)
    java.settle()
    assert java.state(job_id) == READY
    assert java.ask("get_job_machine_info", job_id)["boards"] != tried
    java.ask("power_on_job_boards", job_id)
    java.settle()
    assert java.state(job_id) == READY
    assert java.ready() != job_id


def test_job_whose_power_on_fails_during_a_run_moves_to_other_boards_too() -> None:
    java = JavaServer(allocator_seconds=1.0, failing_power_ons=1)
    failing = java.create()
    java.now = 1.0
    java.jobs.expire()
    tried = java.ask("get_job_machine_info", failing)["boards"]
    other = java.create(1, 1)
    java.jobs.finish_powering()
    java.settle(1.0)
    assert states(java, [failing, other]) == [QUEUED, READY]
    java.settle(1.0)
    assert java.state(failing) == READY
    assert java.ask("get_job_machine_info", failing)["boards"] != tried


def test_freed_boards_are_given_out_at_once_and_rest_before_they_are_powered() -> None:
    java = JavaServer(seconds_before_free=30.0, machines=[MachineSpec(width=1, height=1)])
    java.ask("destroy_job", java.ready(1, 1))
    following = java.create(1, 1)
    java.settle()
    assert java.state(following) == POWER
    assert len(java.ask("get_job_machine_info", following)["boards"]) == 3
    java.settle(29.0)
    assert java.state(following) == POWER
    java.settle(1.0)
    assert java.state(following) == READY


def test_keepalives_are_looked_at_now_and_then() -> None:
    java = JavaServer(expiry_check_seconds=10.0)
    short, long = java.ready(keepalive=1.9), java.ready(keepalive=60)
    java.settle(3.0)
    assert len(java.ask("list_jobs")) == 2
    java.settle(30.0)
    assert [job["job_id"] for job in java.ask("list_jobs")] == [long]
    assert java.ask("get_job_state", short)["reason"] == "keepalive expired"


def test_destroyed_job_tells_its_size_and_is_on() -> None:
    java = JavaServer()
    job_id = java.ready(3)
    java.ask("destroy_job", job_id)
    state, info = (java.ask(name, job_id) for name in ("get_job_state", "get_job_machine_info"))
    assert (state["state"], state["power"]) == (DESTROYED, True)
    assert (info["width"], info["boards"], info["connections"]) == (16, [], [])


@pytest.mark.parametrize("command", ["power_on_job_boards", "power_off_job_boards"])
def test_power_makes_a_destroyed_job_ready_without_boards(command: str) -> None:
    java = JavaServer()
    job_id = java.ready()
    java.ask("destroy_job", job_id)
    java.ask(command, job_id)
    assert java.state(job_id) == READY
    (listed,) = java.ask("list_jobs")
    assert (listed["boards"], listed["power"]) == ([], False)
    java.settle(100.0)
    java.settle(100.0)
    assert java.state(job_id) == DESTROYED


def test_numbers_never_come_again_and_time_away_counts() -> None:
    java = JavaServer()
    java.ready(keepalive=10)
    java.now += 100.0
    java.jobs.recover()
    java.settle()
    assert java.ask("list_jobs") == []
    assert java.create() == 2


@pytest.mark.parametrize(
    "options",
    [{"revive": "sometimes"}, {"allocator_seconds": -1.0}, {"database_refusals": -1},
     {"failing_power_ons": -1}, {"expiry_check_seconds": 0.0}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        JavaOptions(**options)  # type: ignore[arg-type]
