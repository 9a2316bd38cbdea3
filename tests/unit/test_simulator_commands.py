"""What the simulated server answers, command by command."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator.commands import Commands
from spalloc_gevent.simulator.jobs import Jobs
from spalloc_gevent.simulator.machine import MachineSpec
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Reply


@dataclass(frozen=True)
class Me:
    host: str = "1.2.3.4"


class Server:
    """A server that is asked without a wire."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        machines = [MachineSpec(dead_boards=[(3, 1, 2)]), MachineSpec("tiny", 1, 1, ("small",))]
        self.jobs = Jobs(machines, clock=lambda: self.now, wall_clock=lambda: 1e9, **options)
        self.commands = Commands(self.jobs, "1!7.0.0")

    def carry_out(self, name: str, *args: Any, **kwargs: Any) -> Reply | ErrorReply:
        request = CommandRequest(name, list(args), kwargs)
        return self.commands.carry_out(Me(), request)

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        answer = self.carry_out(name, *args, **kwargs)
        assert isinstance(answer, Reply), answer
        return answer.value

    def refusal(self, name: str, *args: Any, **kwargs: Any) -> str:
        answer = self.carry_out(name, *args, **kwargs)
        assert isinstance(answer, ErrorReply), answer
        return answer.reason

    def create(self, *args: Any, **kwargs: Any) -> Any:
        return self.ask("create_job", *args, **{"owner": "me", **kwargs})

    def settle(self) -> None:
        self.jobs.expire()
        self.jobs.finish_powering()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.parametrize("name", sorted(Commands.known))
def test_every_command_of_the_table_is_answered_with_the_arguments_it_has_there(
    name: str,
) -> None:
    row = COMMANDS[name]
    parameters = list(inspect.signature(getattr(Commands, name)).parameters.values())[2:]
    kinds = {parameter.kind for parameter in parameters}
    if kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}:
        return  # create_job and where_is look at their arguments themselves
    assert tuple(parameter.name for parameter in parameters) == row.parameters
    optional = {p.name for p in parameters if p.default is not inspect.Parameter.empty}
    assert optional == row.optional & set(row.parameters)


def test_unknown_command_is_a_protocol_error(server: Server) -> None:
    with pytest.raises(ProtocolError, match="no such command"):
        server.carry_out("report_problem")


def test_arguments_that_do_not_fit_are_an_exception_reply(server: Server) -> None:
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("version", (1,), {}),
        ("get_job_state", (), {}),
        ("get_job_state", ([],), {}),
        ("destroy_job", ({},), {}),
        ("notify_job", ([],), {}),
        ("job_keepalive", (1,), {"job_id": 1}),
        ("where_is", (1,), {}),
        ("where_is", (), {"machine": "m"}),
        ("where_is", (), {"machine": "m", "chip_x": "a", "chip_y": 0}),
        ("create_job", (), {}),
        ("create_job", (), {"owner": "me", "keepalive": "soon"}),
        ("create_job", (), {"owner": "me", "keepalive": 10**400}),
        ("create_job", ("x",), {"owner": "me"}),
    ]
    for name, args, kwargs in cases:
        assert isinstance(server.carry_out(name, *args, **kwargs), ErrorReply), (name, args)


def test_argument_called_client_is_left_out_as_on_the_python_server(server: Server) -> None:
    assert server.ask("version", client="x") == "1!7.0.0"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
OPTIONS = st.sampled_from(
    sorted(
        {
            parameter
            for name in Commands.known
            for parameter in (*COMMANDS[name].parameters, *COMMANDS[name].options)
        }
    )
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(Commands.known)),
            st.lists(JSON, max_size=4),
            st.dictionaries(OPTIONS, JSON, max_size=4),
        ),
        max_size=8,
    )
)
def test_whatever_is_asked_is_answered_or_refused(requests: list[Any]) -> None:
    server = Server()
    for name, args, kwargs in requests:
        answer = server.carry_out(name, *args, **kwargs)
        assert isinstance(answer, Reply | ErrorReply)
        server.settle()
        server.commands.job_watches.stop(Me(), None)


def test_unknown_job_is_no_error(server: Server) -> None:
    assert server.ask("get_job_state", 99) == {
        "state": 0,
        "power": None,
        "keepalive": None,
        "reason": None,
        "start_time": None,
        "keepalivehost": None,
    }
    assert set(server.ask("get_job_machine_info", 99).values()) == {None}
    for name in ("job_keepalive", "power_on_job_boards", "power_off_job_boards", "destroy_job"):
        assert server.ask(name, 99) is None


def test_job_id_as_text_is_unknown(server: Server) -> None:
    assert server.ask("get_job_state", str(server.create()))["state"] == 0


def test_state_of_a_ready_job(server: Server) -> None:
    job_id = server.create(keepalive=5)
    server.settle()
    assert server.ask("get_job_state", job_id) == {
        "state": 3,
        "power": True,
        "keepalive": 5.0,
        "reason": None,
        "start_time": 1e9,
        "keepalivehost": "1.2.3.4",
    }


def test_state_of_a_destroyed_job_tells_the_reason(server: Server) -> None:
    job_id = server.create()
    server.ask("destroy_job", job_id, reason="enough")
    state = server.ask("get_job_state", job_id)
    assert (state["state"], state["reason"], state["power"]) == (4, "enough", None)


@pytest.mark.parametrize("args", [(0,), (-1,), (1, 2, 3, 4)])
def test_bad_sizes_return_a_job_id_all_the_same(server: Server, args: tuple[int, ...]) -> None:
    assert server.create(*args) == 1


def test_machine_info_has_one_connection_for_each_board(server: Server) -> None:
    info = server.ask("get_job_machine_info", server.create(2, 1))
    assert (info["width"], info["height"], info["machine_name"]) == (28, 16, "m")
    assert len(info["boards"]) == len(info["connections"]) == 6
    chips = {chip for chip, _ in info["connections"]}
    assert chips == {(0, 0), (8, 4), (4, 8), (12, 0), (20, 4), (16, 8)}
    assert len({hostname for _, hostname in info["connections"]}) == 6


def test_queued_job_has_no_machine_info(server: Server) -> None:
    server.create(machine="tiny")
    server.create(1, 1, machine="tiny")
    assert set(server.ask("get_job_machine_info", 2).values()) == {None}


def test_listed_job_tells_what_was_asked_and_what_it_got(server: Server) -> None:
    server.create(4, keepalive=None, min_ratio=0.5, tags=["default"])
    server.create(1, 1, machine="tiny")
    server.create(machine="tiny")
    first, _, queued = server.ask("list_jobs")
    assert len(first.pop("boards")) == 6
    assert first == {
        "job_id": 1,
        "owner": "me",
        "start_time": 1e9,
        "keepalive": None,
        "state": 2,
        "power": True,
        "args": [4],
        "kwargs": {"min_ratio": 0.5, "tags": ["default"]},
        "allocated_machine_name": "m",
        "keepalivehost": "1.2.3.4",
    }
    assert (queued["state"], queued["boards"], queued["allocated_machine_name"]) == (1, None, None)


def test_destroyed_jobs_are_not_listed(server: Server) -> None:
    server.ask("destroy_job", server.create())
    assert server.ask("list_jobs") == []


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("job_keepalive", True),
        ("get_job_state", True),
        ("get_job_machine_info", True),
        ("power_on_job_boards", True),
        ("power_off_job_boards", True),
        ("notify_job", False),
        ("no_notify_job", False),
    ],
)
def test_commands_that_keep_a_job_alive(server: Server, name: str, counts: bool) -> None:
    job_id = server.create(keepalive=10)
    server.now = 9.0
    server.ask(name, job_id)
    server.now = 18.0
    server.settle()
    assert (server.jobs.get(job_id) is not None) == counts
    assert COMMANDS[name].names_job == counts


def test_asking_where_a_jobs_chip_is_does_not_keep_it_alive(server: Server) -> None:
    job_id = server.create(keepalive=10)
    server.now = 9.0
    server.ask("where_is", job_id=job_id, chip_x=0, chip_y=0)
    server.now = 18.0
    server.settle()
    assert server.jobs.get(job_id) is None


def test_machines_are_listed_highest_priority_first(server: Server) -> None:
    first, second = server.ask("list_machines")
    assert (first["name"], first["width"], first["height"]) == ("m", 4, 2)
    assert first["dead_boards"] == [(3, 1, 2)]
    assert (second["name"], second["tags"]) == ("tiny", ["small"])


def test_positions_of_boards_by_either_address(server: Server) -> None:
    assert server.ask("get_board_position", "m", 0, 0, 1) == (0, 0, 1)
    by_keyword = {"machine_name": "m", "x": 0, "y": 0, "z": 1}
    assert server.ask("get_board_at_position", **by_keyword) == (0, 0, 1)
    for wrong in (("m", 4, 0, 0), ("elsewhere", 0, 0, 0), ("m", 3, 1, 2)):
        assert server.ask("get_board_position", *wrong) is None
    assert server.ask("get_board_at_position", "m", 0, 0, 23) is None
    assert server.ask("get_board_at_position", "m", 9, 0, 0) is None


def test_chip_is_the_same_place_asked_in_all_four_styles(server: Server) -> None:
    server.create()
    job_id = server.create(1, 1)
    board = server.ask("where_is", job_id=job_id, chip_x=8, chip_y=4)
    assert board == {
        "machine": "m",
        "logical": (0, 1, 1),
        "physical": (0, 0, 4),
        "chip": (8, 16),
        "board_chip": (0, 0),
        "job_id": job_id,
        "job_chip": (8, 4),
    }
    assert server.ask("where_is", machine="m", x=0, y=1, z=1) == board
    assert server.ask("where_is", machine="m", cabinet=0, frame=0, board=4) == board
    assert server.ask("where_is", machine="m", chip_x=8, chip_y=16) == board


def test_where_is_wraps_coordinates_around(server: Server) -> None:
    here = server.ask("where_is", machine="m", x=0, y=1, z=0)
    assert server.ask("where_is", machine="m", x=4, y=-1, z=9) == here
    assert server.ask("where_is", machine="m", chip_x=4800, chip_y=12 - 240) == here


def test_where_is_of_nothing_is_null(server: Server) -> None:
    job_id = server.create()
    for nowhere in (
        {"machine": "elsewhere", "x": 0, "y": 0, "z": 0},
        {"machine": "m", "x": 3, "y": 1, "z": 2},
        {"machine": "m", "cabinet": 7, "frame": 0, "board": 0},
        {"machine": "m", "cabinet": 0, "frame": 0, "board": 23},
        {"job_id": 99, "chip_x": 0, "chip_y": 0},
        {"job_id": job_id, "chip_x": 7, "chip_y": 0},
    ):
        assert server.ask("where_is", **nowhere) is None


def test_board_of_a_destroyed_job_belongs_to_nobody() -> None:
    server = Server(power_seconds=5.0)
    server.ask("destroy_job", server.create())
    assert server.ask("where_is", machine="m", x=0, y=0, z=0)["job_id"] is None
