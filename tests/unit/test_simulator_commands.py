"""What the simulated Python server answers, command by command."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator import JavaOptions, MachineSpec
from spalloc_gevent.simulator.commands import PythonCommands
from spalloc_gevent.simulator.dialects import DIALECTS
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Reply

MACHINES = [MachineSpec(dead_boards=[(3, 1, 2)]), MachineSpec("tiny", 1, 1, ("small",))]
KNOWN = PythonCommands.known


@dataclass(frozen=True)
class Me:
    host: str = "1.2.3.4"


class Server:
    """A server that is asked without a wire; its clock stands still until it is turned."""

    def __init__(
        self,
        machines: Sequence[MachineSpec] = MACHINES,
        dialect: str = "python",
        power_seconds: float = 0.0,
        seconds_before_free: float = 0.0,
        **options: Any,
    ) -> None:
        self.now = 0.0
        self.jobs: Any = DIALECTS[dialect].jobs(
            machines,
            power_seconds=power_seconds,
            seconds_before_free=seconds_before_free,
            clock=lambda: self.now,
            wall_clock=lambda: 1e9 + self.now,
            options=JavaOptions(**options),
        )
        self.commands: Any = DIALECTS[dialect].commands(self.jobs, DIALECTS[dialect].version)

    def carry_out(self, name: str, *args: Any, **kwargs: Any) -> Reply | ErrorReply:
        answer = self.commands.carry_out(Me(), CommandRequest(name, list(args), kwargs))
        assert isinstance(answer, Reply | ErrorReply)
        return answer

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

    def states(self, *jobs: int) -> list[int]:
        return [self.ask("get_job_state", job_id)["state"] for job_id in jobs]

    def info(self, job_id: int) -> Any:
        return self.ask("get_job_machine_info", job_id)

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything that was due happen."""
        self.now += seconds
        while self.jobs.timers.run_due():
            pass

    def ready(self, *args: Any, **kwargs: Any) -> int:
        job_id = self.create(*args, **kwargs)
        self.settle(0.1)
        assert self.states(job_id) == [3]
        return job_id


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.parametrize("name", sorted(KNOWN - {"create_job", "where_is"}))
def test_every_command_of_the_table_is_answered_with_the_arguments_it_has_there(name: str) -> None:
    row, method = COMMANDS[name], getattr(PythonCommands, name)
    parameters = list(inspect.signature(method).parameters.values())[2:]
    assert tuple(parameter.name for parameter in parameters) == row.parameters
    optional = {p.name for p in parameters if p.default is not inspect.Parameter.empty}
    assert optional == row.optional & set(row.parameters)


def test_unknown_command_is_a_protocol_error(server: Server) -> None:
    with pytest.raises(ProtocolError, match="no such command"):
        server.carry_out("report_problem")


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
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
    ],
)
def test_arguments_that_do_not_fit_are_an_exception_reply(
    server: Server, name: str, args: Any, kwargs: Any
) -> None:
    server.refusal(name, *args, **kwargs)


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
    sorted({name for row in COMMANDS.values() for name in (*row.parameters, *row.options)})
)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@settings(max_examples=50)
@given(data=st.data())
def test_whatever_is_asked_is_answered_or_refused(dialect: str, data: st.DataObject) -> None:
    server = Server(dialect=dialect)
    # The Java server hangs up on a list when a job was made with nonsense.
    names = KNOWN if dialect == "python" else set(COMMANDS) - {"list_jobs"}
    one = st.tuples(
        st.sampled_from(sorted(names)),
        st.lists(JSON, max_size=4),
        st.dictionaries(OPTIONS, JSON, max_size=4),
    )
    for name, args, kwargs in data.draw(st.lists(one, max_size=8)):
        server.commands.carry_out(Me(), CommandRequest(name, args, kwargs))
        server.settle(0.1)
        server.commands.job_watches.stop(Me(), None)


def test_unknown_job_is_no_error(server: Server) -> None:
    keys = {"power", "keepalive", "reason", "start_time", "keepalivehost"}
    assert server.ask("get_job_state", 99) == {"state": 0, **dict.fromkeys(keys)}
    assert set(server.info(99).values()) == {None}
    for name in ("job_keepalive", "power_on_job_boards", "power_off_job_boards", "destroy_job"):
        assert server.ask(name, 99) is None


def test_job_id_as_text_is_unknown(server: Server) -> None:
    assert server.ask("get_job_state", str(server.create()))["state"] == 0


def test_state_of_a_ready_job_and_of_a_destroyed_one(server: Server) -> None:
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
    server.ask("destroy_job", job_id, reason="enough")
    state = server.ask("get_job_state", job_id)
    assert (state["state"], state["reason"], state["power"]) == (4, "enough", None)
    assert server.ask("list_jobs") == []


@pytest.mark.parametrize("args", [(0,), (-1,), (1, 2, 3, 4)])
def test_bad_sizes_return_a_job_id_all_the_same(server: Server, args: tuple[int, ...]) -> None:
    assert server.create(*args) == 1


def test_machine_info_has_one_connection_for_each_board(server: Server) -> None:
    info = server.info(server.create(2, 1))
    assert (info["width"], info["height"], info["machine_name"]) == (28, 16, "m")
    assert len(info["boards"]) == len(info["connections"]) == 6
    chips = {chip for chip, _ in info["connections"]}
    assert chips == {(0, 0), (8, 4), (4, 8), (12, 0), (20, 4), (16, 8)}
    assert len({hostname for _, hostname in info["connections"]}) == 6


def test_listed_job_tells_what_was_asked_and_what_it_got(server: Server) -> None:
    server.create(4, keepalive=None, min_ratio=0.5, tags=["default"])
    server.create(1, 1, machine="tiny")
    waiting = server.create(machine="tiny")
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
    assert set(server.info(waiting).values()) == {None}


@pytest.mark.parametrize(
    "name",
    [*(name for name in sorted(KNOWN) if COMMANDS[name].names_job and name != "destroy_job"),
     "notify_job", "no_notify_job", "where_is"],
)  # fmt: skip
def test_commands_that_keep_a_job_alive_are_those_of_the_table(server: Server, name: str) -> None:
    job_id = server.create(keepalive=10)
    server.settle(9.0)
    if name == "where_is":
        server.ask(name, job_id=job_id, chip_x=0, chip_y=0)
    else:
        server.ask(name, job_id)
    server.settle(9.0)
    assert (job_id in server.jobs.living) == COMMANDS[name].names_job


def test_machines_are_listed_highest_priority_first(server: Server) -> None:
    first, second = server.ask("list_machines")
    assert (first["name"], first["dead_boards"]) == ("m", [(3, 1, 2)])
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


@pytest.mark.parametrize(
    "nowhere",
    [
        {"machine": "elsewhere", "x": 0, "y": 0, "z": 0},
        {"machine": "m", "x": 3, "y": 1, "z": 2},
        {"machine": "m", "cabinet": 7, "frame": 0, "board": 0},
        {"machine": "m", "cabinet": 0, "frame": 0, "board": 23},
        {"job_id": 99, "chip_x": 0, "chip_y": 0},
        {"job_id": 1, "chip_x": 7, "chip_y": 0},
    ],
)
def test_where_is_of_nothing_is_null(server: Server, nowhere: dict[str, Any]) -> None:
    server.create()
    assert server.ask("where_is", **nowhere) is None


def test_board_of_a_destroyed_job_belongs_to_nobody() -> None:
    server = Server(power_seconds=5.0)
    server.ask("destroy_job", server.create())
    assert server.ask("where_is", machine="m", x=0, y=0, z=0)["job_id"] is None
