"""What the simulated Java server answers, beyond what tests/recordings shows."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator import JavaOptions, MachineSpec
from spalloc_gevent.simulator.dialects import JAVA
from spalloc_gevent.simulator.java_arguments import Refusal
from spalloc_gevent.simulator.java_commands import NO_DESCRIPTION, JavaCommands, Report
from spalloc_gevent.simulator.java_jobs import JavaJobs
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Notification, Reply
from tests.unit.test_simulator_commands import JSON

COMMANDS_THAT_KEEP_ALIVE = {
    name for name, command in COMMANDS.items() if command.names_job and name != "destroy_job"
}


@dataclass(frozen=True)
class Me:
    host: str = "1.2.3.4"


class JavaServer:
    """A Java server that is asked without a wire; its clock stands still."""

    def __init__(
        self,
        machines: Sequence[MachineSpec] = (MachineSpec(),),
        seconds_before_free: float = 0.0,
        **options: Any,
    ) -> None:
        self.now = 0.0
        self.jobs = JavaJobs(
            machines,
            seconds_before_free=seconds_before_free,
            clock=lambda: self.now,
            wall_clock=lambda: 1e9 + self.now,
        )
        self.jobs.set_options(JavaOptions(**options))
        self.commands = JavaCommands(self.jobs, "5.0.0")

    def carry_out(self, name: str, *args: Any, **kwargs: Any) -> Reply | ErrorReply:
        return self.commands.carry_out(Me(), CommandRequest(name, list(args), kwargs))

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        answer = self.carry_out(name, *args, **kwargs)
        assert isinstance(answer, Reply), answer
        return answer.value

    def refusal(self, name: str, *args: Any, **kwargs: Any) -> str:
        answer = self.carry_out(name, *args, **kwargs)
        assert isinstance(answer, ErrorReply), answer
        return answer.reason

    def create(self, *args: Any, **kwargs: Any) -> int:
        job_id: int = self.ask("create_job", *args, **{"owner": "me", **kwargs})
        return job_id

    def state(self, job_id: int) -> int:
        state: int = self.ask("get_job_state", job_id)["state"]
        return state

    def settle(self, seconds: float = 0.1) -> None:
        """Let time pass."""
        self.now += seconds
        self.jobs.expire()
        self.jobs.finish_powering()

    def ready(self, *args: Any, **kwargs: Any) -> int:
        job_id = self.create(*args, **kwargs)
        self.settle()
        assert self.state(job_id) == 3
        return job_id


@pytest.fixture
def java() -> JavaServer:
    return JavaServer()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(COMMANDS)),
            st.lists(JSON, max_size=4),
            st.dictionaries(st.sampled_from(["owner", "machine", "x", "y", "tags"]), JSON),
        ),
        max_size=8,
    )
)
def test_whatever_is_asked_is_answered_or_refused(requests: list[Any]) -> None:
    server = JavaServer()
    for name, args, kwargs in requests:
        if name != "list_jobs":
            assert isinstance(server.carry_out(name, *args, **kwargs), Reply | ErrorReply)
        server.settle()


def test_job_made_with_a_number_that_is_no_integer_keeps_all_jobs_from_being_listed(
    java: JavaServer,
) -> None:
    java.ready()
    for number in (1.5, 3.0, "2", True):
        poisonous = java.create(number)
        with pytest.raises(ProtocolError, match="cannot be listed"):
            java.carry_out("list_jobs")
        java.ask("destroy_job", poisonous)
        assert len(java.ask("list_jobs")) == 1


def test_one_command_in_so_many_is_refused_by_the_database_and_does_nothing() -> None:
    java = JavaServer(database_refusals=3)
    answers = [java.carry_out("create_job", owner="me") for _ in range(9)]
    refused = [answer.reason for answer in answers if isinstance(answer, ErrorReply)]
    assert [isinstance(answer, ErrorReply) for answer in answers] == [False, False, True] * 3
    assert {"Deadlock found" in reason for reason in refused} == {True, False}
    assert all("try restarting transaction" in reason for reason in refused)
    assert len(java.jobs) == 6
    assert all(java.ask("version") == "5.0.0" for _ in range(9))


@pytest.mark.parametrize(
    "how", sorted({*COMMANDS_THAT_KEEP_ALIVE, "notify_job", "no_notify_job", "where_is"})
)
def test_every_command_that_names_a_job_keeps_it_alive(java: JavaServer, how: str) -> None:
    job_id = java.ready(keepalive=40)
    java.settle(39.0)
    if how == "where_is":
        java.ask("where_is", job_id=job_id, chip_x=0, chip_y=0)
    else:
        java.ask(how, job_id)
    java.settle(39.0)
    assert java.state(job_id) == 3


def test_state_tells_the_time_of_the_keepalive_before_this_one(java: JavaServer) -> None:
    job_id = java.ready()
    java.settle(10.0)
    first, second = (java.ask("get_job_state", job_id) for _ in range(2))
    assert (first["keepalive"], second["keepalive"]) == (1e9, 1e9 + 10)
    assert (first["keepalivehost"], second["keepalivehost"]) == ("1.2.3.4", "1.2.3.4")


def test_host_is_hidden_until_the_first_keepalive(java: JavaServer) -> None:
    job_id = java.create()
    assert java.ask("list_jobs")[0]["keepalivehost"] == "<Hidden>"
    assert java.ask("get_job_state", job_id)["keepalivehost"] == ""
    assert java.ask("list_jobs")[0]["keepalivehost"] == "1.2.3.4"


def test_place_in_a_job_is_right_and_the_job_s_chip_is_not(java: JavaServer) -> None:
    java.ready(1, 1)
    job_id = java.ready(2, 1)
    found = java.ask("where_is", job_id=job_id, chip_x=9, chip_y=5)
    origin = min(java.ask("get_job_machine_info", job_id)["boards"])
    assert origin != (0, 0, 0)
    assert found["logical"] == (origin[0], origin[1], 1)
    assert (found["chip"], found["board_chip"]) == ((9, 5), (8, 4))
    assert found["job_chip"] == (12 * origin[0] + 9, 12 * origin[1] + 5)


def test_dead_board_has_a_place_and_an_absent_one_has_none() -> None:
    machine = MachineSpec("m", 2, 1, dead_boards=[(0, 0, 1)], absent=[(1, 0, 0)])
    commands = JavaCommands(JavaJobs([machine]), "5.0.0")

    def position(x: int, z: int) -> Reply | ErrorReply:
        asked = {"machine_name": "m", "x": x, "y": 0, "z": z}
        return commands.carry_out(Me(), CommandRequest("get_board_position", [], asked))

    assert position(0, 1) == Reply((0, 0, 1))
    assert position(1, 0) == ErrorReply("no such board")
    assert position(1, 1) == Reply((0, 0, 4))


def test_reason_by_position_is_passed_over(java: JavaServer) -> None:
    first, second = java.ready(), java.ready()
    java.ask("destroy_job", first, "enough")
    java.ask("destroy_job", second, reason="enough")
    reasons = [java.ask("get_job_state", job_id)["reason"] for job_id in (first, second)]
    assert reasons == ["", "enough"]


def test_reports_of_bad_boards_chips_and_processors_are_taken(java: JavaServer) -> None:
    java.ask("report_problem", "10.99.0.1", 0, 0, None, "smoke")
    java.ask("report_problem", "10.99.0.1", x=1, y=2, description="smoke")
    java.ask("report_problem", "10.99.0.1", x=1, y=2, p=3)
    assert java.commands.reports == [
        Report("10.99.0.1", None, None, NO_DESCRIPTION),
        Report("10.99.0.1", (1, 2), None, "smoke"),
        Report("10.99.0.1", (1, 2), 3, NO_DESCRIPTION),
    ]


def test_board_of_a_job_is_reported_once(java: JavaServer) -> None:
    ((_, address),) = java.ask("get_job_machine_info", java.ready())["connections"]
    assert address.startswith("127.")
    java.ask("report_problem", address)
    assert "Duplicate entry" in java.refusal("report_problem", address)


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), (("a",), {"x": None, "y": 0})])
def test_report_that_cannot_be_read_is_refused(
    java: JavaServer, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    assert isinstance(java.carry_out("report_problem", *args, **kwargs), ErrorReply)


def test_notifications_are_told_once_or_twice() -> None:
    java = JavaServer(notify_twice=True)
    java.ask("notify_job", java.create())
    java.settle()
    java.jobs.finish_powering()
    assert list(java.commands.notifications()) == [(Me(), {"jobs_changed": [1]})] * 2


def test_characters_are_sent_as_they_are_and_both_line_ends() -> None:
    assert JAVA.encode(Reply("é")) == '{"return":"é"}\r\n'.encode()
    assert JAVA.encode(ErrorReply("ß")) == '{"exception":"ß"}\r\n'.encode()
    assert JAVA.encode(Notification({"jobs_changed": [1]})) == b'{"jobs_changed":[1]}\r\n'
    assert JAVA.encode(Reply("\ud800")) == b'{"return":"?"}\r\n'


@given(st.binary(max_size=30))
def test_whatever_a_line_holds_is_read_refused_or_hung_up_on(line: bytes) -> None:
    with contextlib.suppress(Refusal, ProtocolError):
        assert isinstance(JAVA.decode(line).args, list)
