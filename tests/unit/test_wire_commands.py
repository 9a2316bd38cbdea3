"""The table of commands, against what the real server takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.wire.checks import WHERE_IS_STYLES
from spalloc_gevent.wire.commands import COMMANDS, Route, route_of


class RealServer:
    """The commands of ``spalloc_server`` 1!7.0.0 as facts: their names, and what each can bind.

    Where the server passes on whatever it is given, here stands what is understood
    in the end: what is behind it refuses the rest, or makes a job of it that nobody
    can have meant.
    """

    def version(self) -> None: ...

    def create_job(
        self,
        x: int = 0,
        y: int = 0,
        z: int = 0,
        /,
        *,
        owner: str,
        keepalive: float | None = 60.0,
        machine: str | None = None,
        tags: list[str] | None = None,
        min_ratio: float = 0.333,
        max_dead_boards: int | None = 0,
        max_dead_links: int | None = None,
        require_torus: bool = False,
    ) -> None: ...

    def job_keepalive(self, job_id: int) -> None: ...

    def get_job_state(self, job_id: int) -> None: ...

    def get_job_machine_info(self, job_id: int) -> None: ...

    def power_on_job_boards(self, job_id: int) -> None: ...

    def power_off_job_boards(self, job_id: int) -> None: ...

    def destroy_job(self, job_id: int, reason: str | None = None) -> None: ...

    def notify_job(self, job_id: int | None = None) -> None: ...

    def no_notify_job(self, job_id: int | None = None) -> None: ...

    def notify_machine(self, machine_name: str | None = None) -> None: ...

    def no_notify_machine(self, machine_name: str | None = None) -> None: ...

    def list_jobs(self) -> None: ...

    def list_machines(self) -> None: ...

    def get_board_position(self, machine_name: str, x: int, y: int, z: int) -> None: ...

    def get_board_at_position(self, machine_name: str, x: int, y: int, z: int) -> None: ...

    def where_is(
        self,
        *,
        machine: str = "",
        x: int = 0,
        y: int = 0,
        z: int = 0,
        cabinet: int = 0,
        frame: int = 0,
        board: int = 0,
        chip_x: int = 0,
        chip_y: int = 0,
        job_id: int = 0,
    ) -> None: ...


REAL: dict[str, Callable[..., object]] = {
    name: getattr(RealServer(), name) for name in vars(RealServer) if not name.startswith("_")
}
ARGUMENTS = sorted(
    {name for method in REAL.values() for name in inspect.signature(method).parameters}
    | {"colour", "self"}
)


def server_binds(name: str, args: list[int], kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(REAL[name]).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def test_the_table_has_the_commands_of_the_real_server_and_that_of_the_java_server() -> None:
    assert {name for name, command in COMMANDS.items() if not command.only_java} == set(REAL)
    assert set(COMMANDS) - set(REAL) == {"report_problem"}
    assert all(name == command.name for name, command in COMMANDS.items())


@given(st.data())
def test_arguments_bind_where_they_bind_on_the_real_server(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(REAL)))
    own = sorted(inspect.signature(REAL[name]).parameters)
    args = data.draw(st.lists(st.just(1), max_size=5))
    names = st.sampled_from(own) | st.sampled_from(ARGUMENTS) if own else st.sampled_from(ARGUMENTS)
    kwargs = dict.fromkeys(data.draw(st.lists(names, max_size=5)), 1)
    assert COMMANDS[name].binds(args, kwargs) == server_binds(name, args, kwargs)


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_arguments_that_a_command_needs_bind_by_position_and_by_name(name: str) -> None:
    command = COMMANDS[name]
    needed = [one for one in command.parameters if one not in command.optional]
    named = dict.fromkeys([one for one in command.options if one not in command.optional], 1)
    assert command.binds([1] * len(needed), named)
    assert command.binds([], {**dict.fromkeys(needed, 1), **named})
    assert server_binds(name, [1] * len(needed), named)
    assert not command.binds([1] * (len(command.parameters) + 1), named)
    assert not command.binds([1] * len(needed), {**named, "colour": "red"})


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_that_needs_something_does_not_bind_nothing(name: str) -> None:
    command = COMMANDS[name]
    needs_nothing = {*command.parameters, *command.options} <= command.optional
    assert command.binds([], {}) == needs_nothing


def test_a_job_needs_an_owner_and_takes_its_size_by_position_only() -> None:
    create_job = COMMANDS["create_job"]
    for size in ([], [1], [1, 2], [1, 2, 0]):
        assert create_job.binds(size, {"owner": "me"})
        assert not create_job.binds(size, {})
    # The server would fail on them when the job is in its queue already.
    assert not create_job.binds([], {"owner": "me", "x": 1})
    assert not create_job.binds([1, 2, 3, 4], {"owner": "me"})


def test_a_report_names_the_board_by_position_and_all_else_by_name() -> None:
    report = COMMANDS["report_problem"]
    assert report.binds(["10.0.0.1"], {"x": 0, "y": 0, "p": 1, "description": "hot"})
    assert report.binds(["10.0.0.1"], {})
    # The Java server passes over what stands elsewhere.
    assert not report.binds(["10.0.0.1", 0], {})
    assert not report.binds([], {"address": "10.0.0.1"})


def test_an_argument_given_twice_does_not_bind() -> None:
    assert not COMMANDS["destroy_job"].binds([1, "why"], {"reason": "why"})
    assert not COMMANDS["get_job_state"].binds([1], {"job_id": 1})


@pytest.mark.parametrize("style", WHERE_IS_STYLES, ids=", ".join)
def test_where_is_takes_each_of_its_styles_by_name_only(style: tuple[str, ...]) -> None:
    assert COMMANDS["where_is"].binds([], dict.fromkeys(style, 1))
    assert not COMMANDS["where_is"].binds([1], dict.fromkeys(style[1:], 1))


def test_what_would_happen_twice_is_never_sent_again_and_all_else_is() -> None:
    never = {name for name, command in COMMANDS.items() if not command.repeatable}
    assert never == {
        "create_job",
        "power_on_job_boards",
        "power_off_job_boards",
        "report_problem",
    }


def test_watches_belong_on_the_connection_that_notifications_come_on() -> None:
    watches = {name for name, command in COMMANDS.items() if command.route is Route.SUBSCRIPTION}
    assert watches == {"notify_job", "no_notify_job", "notify_machine", "no_notify_machine"}
    others = {command.route for name, command in COMMANDS.items() if name not in watches}
    assert others == {Route.POOL, Route.ALONE}


def test_what_not_every_server_has_travels_alone() -> None:
    alone = {name for name, command in COMMANDS.items() if command.route is Route.ALONE}
    assert alone == {name for name, command in COMMANDS.items() if command.only_java}


def test_commands_that_name_a_job_have_its_id_first() -> None:
    naming = [command for command in COMMANDS.values() if command.names_job]
    assert {command.name for command in naming} == {
        "job_keepalive",
        "get_job_state",
        "get_job_machine_info",
        "power_on_job_boards",
        "power_off_job_boards",
        "destroy_job",
    }
    assert {command.parameters[0] for command in naming} == {"job_id"}


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "route"),
    [
        ("version", (), {}, Route.POOL),
        ("create_job", (4, 2), {"owner": "me", "require_torus": True}, Route.POOL),
        ("get_job_state", (1,), {}, Route.POOL),
        ("destroy_job", (1,), {"reason": None}, Route.POOL),
        ("notify_job", (), {}, Route.SUBSCRIPTION),
        ("notify_machine", ("m",), {}, Route.SUBSCRIPTION),
        ("no_notify_job", (), {"job_id": 3}, Route.SUBSCRIPTION),
        ("version", (1,), {}, Route.ALONE),
        ("notify_job", (1, 2), {}, Route.ALONE),
        ("create_job", (), {"owner": "me", "colour": "red"}, Route.ALONE),
        ("report_problem", ("10.0.0.1",), {"x": 0, "y": 1, "description": "hot"}, Route.ALONE),
        ("report_problem", (), {"address": "10.0.0.1"}, Route.ALONE),
        ("Version", (), {}, Route.ALONE),
        ("", (), {}, Route.ALONE),
    ],
)
def test_what_a_server_may_answer_by_hanging_up_travels_alone(
    name: str, args: tuple[object, ...], kwargs: dict[str, object], route: Route
) -> None:
    assert route_of(name, args, kwargs) is route


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_row_says_what_its_command_returns(name: str) -> None:
    command = COMMANDS[name]
    assert command.returns
    assert command.optional <= {*command.parameters, *command.options}
    assert len({*command.parameters, *command.options}) == len(command.parameters) + len(
        command.options
    )
