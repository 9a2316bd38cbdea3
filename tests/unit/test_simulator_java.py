"""The simulated Java server, its allocator above all, beyond what tests/recordings shows."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator import JavaOptions, MachineSpec
from spalloc_gevent.simulator.dialects import DIALECTS
from spalloc_gevent.simulator.java_arguments import JavaException
from spalloc_gevent.simulator.java_commands import NO_DESCRIPTION
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Message, Notification, Reply
from tests.unit.test_simulator_commands import Me, Server

JAVA = DIALECTS["java"]
QUEUED, POWER, READY, DESTROYED = 1, 2, 3, 4
KEEP_ALIVE = {name for name, row in COMMANDS.items() if row.parameters[:1] == ("job_id",)}


def java_server(*machines: MachineSpec, **options: Any) -> Server:
    return Server(machines or [MachineSpec()], "java", **options)


@pytest.fixture
def java() -> Server:
    return java_server()


# -- the allocator -------------------------------------------------------------------


def test_all_jobs_of_a_run_are_ready_together_and_those_made_meanwhile_after_the_next() -> None:
    java = java_server(allocator_seconds=1.0)
    first = java.create()
    java.settle(0.5)
    rest = [java.create() for _ in range(3)]
    java.settle(0.4)
    assert java.states(first, *rest) == [QUEUED] * 4
    java.settle(0.2)
    assert java.states(first, *rest) == [READY] + [QUEUED] * 3
    java.settle(2.8)
    assert java.states(*rest) == [QUEUED] * 3
    java.settle(0.2)
    assert java.states(*rest) == [READY] * 3


def test_jobs_are_not_allocated_in_no_time(java: Server) -> None:
    job_id = java.create()
    java.settle()
    assert java.states(job_id) == [QUEUED]
    java.settle(0.1)
    assert java.states(job_id) == [READY]


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
    java = java_server(allocator_seconds=1.0, revive=revive)
    java.create()
    jobs = [java.create() for _ in range(4)]
    java.settle(1.1)
    for job_id in jobs:
        java.ask("destroy_job", job_id, reason="enough")
    assert java.states(*jobs) == [DESTROYED] * 4
    java.settle(4.0)
    assert java.states(*jobs) == expected
    assert len(java.ask("list_jobs")) == 1 + expected.count(READY)
    for job_id in jobs:
        java.ask("destroy_job", job_id)
    java.settle(4.0)
    assert java.states(*jobs) == [DESTROYED] * 4


def test_job_that_is_destroyed_before_its_run_or_when_it_is_ready_is_gone() -> None:
    java = java_server(allocator_seconds=1.0, revive="always")
    ready, queued = java.create(), java.create()
    java.ask("destroy_job", queued)
    java.settle(1.1)
    java.ask("destroy_job", ready)
    java.settle(10.0)
    assert java.states(ready, queued) == [DESTROYED, DESTROYED]


def test_commands_that_name_a_job_of_a_run_wait_while_that_is_stored() -> None:
    java = java_server(allocator_seconds=10.0)

    def must_wait(name: str, *args: object, **kwargs: object) -> bool:
        return bool(java.commands.must_wait(CommandRequest(name, list(args), kwargs)))

    job_id = java.create()
    java.settle(5.0)
    made_meanwhile = java.create()
    assert not must_wait("destroy_job", job_id)
    java.settle(2.0)
    for name in KEEP_ALIVE:
        assert must_wait(name, job_id)
        assert not must_wait(name, made_meanwhile)
    assert must_wait("where_is", job_id=job_id, chip_x=0, chip_y=0)
    assert not must_wait("list_jobs")
    assert not must_wait("notify_job")
    java.settle(3.0)
    assert not must_wait("get_job_state", job_id)
    assert java.states(job_id, made_meanwhile) == [READY, QUEUED]


@pytest.mark.parametrize(
    ("args", "machine"), [((5, 1), "m"), ((2, 4), "m"), ((23,), "m"), ((1, 2), "long")]
)
def test_job_that_is_larger_than_its_machine_stops_all_allocation_while_it_lives(
    args: tuple[int, ...], machine: str
) -> None:
    java = java_server(MachineSpec(), MachineSpec("long", 4, 1))
    ready = java.ready()
    too_large = java.create(*args, machine=machine)
    jobs = [java.create(machine=name) for name in ("m", "long")]
    java.settle(59.0)
    assert java.states(ready, too_large, *jobs) == [READY, QUEUED, QUEUED, QUEUED]
    java.ask("destroy_job", too_large)
    java.settle(0.1)  # A run that had begun with it ends.
    java.settle(0.1)
    assert java.states(*jobs) == [READY, READY]


def test_job_that_has_no_room_now_lets_others_by(java: Server) -> None:
    java.ready(3, 1)
    second = java.ready(1, 1)
    _, small = java.create(4, 1), java.create(1, 1)
    java.settle(0.1)
    java.ask("destroy_job", second)
    java.settle(0.1)
    assert java.states(small) == [READY]


def test_number_of_boards_becomes_whole_triads_in_a_square(java: Server) -> None:
    assert [len(java.info(java.ready(n))["boards"]) for n in (2, 4)] == [3, 6]


@pytest.mark.parametrize("another_runs", [False, True])
def test_first_power_on_that_fails_moves_the_job_to_other_boards(another_runs: bool) -> None:
    java = java_server(allocator_seconds=1.0, failing_power_ons=1)
    job_id = java.create()
    java.now = 1.0
    java.jobs.timers.run_due()
    tried = java.info(job_id)["boards"]
    if another_runs:
        other = java.create(1, 1)
    java.settle()
    assert java.states(job_id) == [QUEUED]
    meanwhile = java.info(job_id)
    assert (meanwhile["boards"], meanwhile["connections"], meanwhile["width"]) == ([], [], 8)
    java.settle(1.0)
    assert java.states(job_id) == [QUEUED if another_runs else READY]
    java.settle(1.0)
    assert java.states(job_id) == [READY]
    assert java.info(job_id)["boards"] != tried
    assert not another_runs or java.states(other) == [READY]
    java.ask("power_on_job_boards", job_id)
    java.settle()
    assert java.states(job_id) == [READY]


def test_freed_boards_are_given_out_at_once_and_rest_before_they_are_powered() -> None:
    java = java_server(MachineSpec(width=1, height=1), seconds_before_free=30.0)
    java.ask("destroy_job", java.ready(1, 1))
    following = java.create(1, 1)
    java.settle(0.1)
    assert java.states(following) == [POWER]
    assert len(java.info(following)["boards"]) == 3
    java.settle(29.0)
    assert java.states(following) == [POWER]
    java.settle(1.0)
    assert java.states(following) == [READY]


# -- lives and ends ------------------------------------------------------------------


def test_keepalives_are_looked_at_now_and_then() -> None:
    java = java_server(expiry_check_seconds=10.0)
    short, long = java.ready(keepalive=1.9), java.ready(keepalive=60)
    java.settle(3.0)
    assert len(java.ask("list_jobs")) == 2
    java.settle(30.0)
    assert [job["job_id"] for job in java.ask("list_jobs")] == [long]
    assert java.ask("get_job_state", short)["reason"] == "keepalive expired"


@pytest.mark.parametrize("how", sorted({*KEEP_ALIVE, "where_is"} - {"destroy_job"}))
def test_every_command_that_names_a_job_keeps_it_alive(java: Server, how: str) -> None:
    job_id = java.ready(keepalive=40)
    java.settle(39.0)
    if how == "where_is":
        java.ask("where_is", job_id=job_id, chip_x=0, chip_y=0)
    else:
        java.ask(how, job_id)
    java.settle(39.0)
    assert java.states(job_id) == [READY]


def test_destroyed_job_tells_its_size_and_is_on(java: Server) -> None:
    job_id = java.ready(3)
    java.ask("destroy_job", job_id)
    state, info = java.ask("get_job_state", job_id), java.info(job_id)
    assert (state["state"], state["power"]) == (DESTROYED, True)
    assert (info["width"], info["boards"], info["connections"]) == (16, [], [])


@pytest.mark.parametrize("command", ["power_on_job_boards", "power_off_job_boards"])
def test_power_makes_a_destroyed_job_ready_without_boards(java: Server, command: str) -> None:
    job_id = java.ready()
    java.ask("destroy_job", job_id)
    java.ask(command, job_id)
    assert java.states(job_id) == [READY]
    (listed,) = java.ask("list_jobs")
    assert (listed["boards"], listed["power"]) == ([], False)
    java.settle(100.0)
    assert java.states(job_id) == [DESTROYED]


def test_numbers_never_come_again_and_time_away_counts(java: Server) -> None:
    java.ready(keepalive=10)
    java.now += 100.0
    java.jobs.recover()
    java.settle()
    assert java.ask("list_jobs") == []
    assert java.create() == 2


# -- answers -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1.5, 3.0, "2", True])
def test_job_made_with_a_number_that_is_no_integer_keeps_all_jobs_from_being_listed(
    java: Server, number: Any
) -> None:
    java.ready()
    poisonous = java.create(number)
    with pytest.raises(ProtocolError, match="cannot be listed"):
        java.carry_out("list_jobs")
    java.ask("destroy_job", poisonous)
    assert len(java.ask("list_jobs")) == 1


def test_one_command_in_so_many_is_refused_by_the_database_and_does_nothing() -> None:
    java = java_server(database_refusals=3)
    answers = [java.carry_out("create_job", owner="me") for _ in range(9)]
    refused = [answer.reason for answer in answers if isinstance(answer, ErrorReply)]
    assert [isinstance(answer, ErrorReply) for answer in answers] == [False, False, True] * 3
    assert {"Deadlock found" in reason for reason in refused} == {True, False}
    assert all("try restarting transaction" in reason for reason in refused)
    assert len(java.jobs.living) == 6
    assert all(java.ask("version") == "5.0.0" for _ in range(9))


def test_state_tells_the_time_of_the_keepalive_before_this_one(java: Server) -> None:
    job_id = java.ready()
    java.settle(10.0)
    first, second = (java.ask("get_job_state", job_id) for _ in range(2))
    assert (first["keepalive"], second["keepalive"]) == (1e9, 1e9 + 10)


def test_host_is_hidden_until_the_first_keepalive(java: Server) -> None:
    job_id = java.create()
    assert java.ask("list_jobs")[0]["keepalivehost"] == "<Hidden>"
    assert java.ask("get_job_state", job_id)["keepalivehost"] == ""
    assert java.ask("list_jobs")[0]["keepalivehost"] == "1.2.3.4"


def test_place_in_a_job_is_right_and_the_job_s_chip_is_not(java: Server) -> None:
    java.ready(1, 1)
    job_id = java.ready(2, 1)
    found = java.ask("where_is", job_id=job_id, chip_x=9, chip_y=5)
    origin = min(java.info(job_id)["boards"])
    assert origin != (0, 0, 0)
    assert found["logical"] == (origin[0], origin[1], 1)
    assert (found["chip"], found["board_chip"]) == ((9, 5), (8, 4))
    assert found["job_chip"] == (12 * origin[0] + 9, 12 * origin[1] + 5)


def test_dead_board_has_a_place_and_an_absent_one_has_none() -> None:
    java = java_server(MachineSpec("m", 2, 1, dead_boards=[(0, 0, 1)], absent=[(1, 0, 0)]))
    asked = {"machine_name": "m", "x": 1, "y": 0}
    assert java.ask("get_board_position", **{**asked, "x": 0, "z": 1}) == (0, 0, 1)
    assert java.refusal("get_board_position", **asked, z=0) == "no such board"
    assert java.ask("get_board_position", **asked, z=1) == (0, 0, 4)


def test_reason_by_position_is_passed_over(java: Server) -> None:
    first, second = java.ready(), java.ready()
    java.ask("destroy_job", first, "enough")
    java.ask("destroy_job", second, reason="enough")
    reasons = [java.ask("get_job_state", job_id)["reason"] for job_id in (first, second)]
    assert reasons == ["", "enough"]


def test_reports_of_bad_boards_chips_and_processors_are_taken(java: Server) -> None:
    java.ask("report_problem", "10.99.0.1", 0, 0, None, "smoke")
    java.ask("report_problem", "10.99.0.1", x=1, y=2, description="smoke")
    java.ask("report_problem", "10.99.0.1", x=1, y=2, p=3)
    assert java.commands.reports == [
        ("10.99.0.1", None, None, NO_DESCRIPTION),
        ("10.99.0.1", (1, 2), None, "smoke"),
        ("10.99.0.1", (1, 2), 3, NO_DESCRIPTION),
    ]


def test_board_of_a_job_is_reported_once(java: Server) -> None:
    ((_, address),) = java.info(java.ready())["connections"]
    java.ask("report_problem", address)
    assert "Duplicate entry" in java.refusal("report_problem", address)


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), (("a",), {"x": None, "y": 0})])
def test_report_that_cannot_be_read_is_refused(java: Server, args: Any, kwargs: Any) -> None:
    java.refusal("report_problem", *args, **kwargs)


def test_notifications_can_be_told_twice() -> None:
    java = java_server(notify_twice=True)
    java.ask("notify_job", java.create())
    java.settle(0.1)
    assert list(java.commands.notifications()) == [(Me(), {"jobs_changed": [1]})] * 2


# -- the wire, and the options -------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Reply("é"), '{"return":"é"}\r\n'),
        (ErrorReply("ß"), '{"exception":"ß"}\r\n'),
        (Notification({"jobs_changed": [1]}), '{"jobs_changed":[1]}\r\n'),
        (Reply("\ud800"), '{"return":"?"}\r\n'),
    ],
)
def test_characters_are_sent_as_they_are_and_both_line_ends(message: Message, line: str) -> None:
    assert JAVA.encode(message) == line.encode()


@given(st.binary(max_size=30))
def test_whatever_a_line_holds_is_read_refused_or_hung_up_on(line: bytes) -> None:
    with contextlib.suppress(JavaException, ProtocolError):
        assert isinstance(JAVA.decode(line).args, list)


@pytest.mark.parametrize(
    "options",
    [{"revive": "sometimes"}, {"allocator_seconds": -1.0}, {"database_refusals": -1},
     {"failing_power_ons": -1}, {"expiry_check_seconds": 0.0}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        JavaOptions(**options)  # type: ignore[arg-type]
