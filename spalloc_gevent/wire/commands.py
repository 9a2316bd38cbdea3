"""The one table of the server's commands.

Typed methods, the rule what may be sent again, the simulator's coverage and
the contract tests are all checked against it. Source of every row: the
protocol as measured on ``spalloc_server`` 1!7.0.0 and read from the Java
server's version-1 compatibility service, which alone has ``report_problem``.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Route(enum.Enum):
    """Which of a client's connections carries a command."""

    POOL = "pool"
    """Any idle connection: its answer means the same on every one of them."""

    SUBSCRIPTION = "subscription"
    """The connection that notifications come on: a subscription belongs to its connection."""

    ALONE = "alone"
    """A connection of its own: the server may answer by hanging up."""


class ServerCommand(NamedTuple):
    """One command of the server: what it takes and how it may be sent."""

    name: str
    parameters: tuple[str, ...] = ()
    """Names of the positional arguments, in order."""
    optional: frozenset[str] = frozenset()
    """Those of `parameters` and of `options` that may be left out."""
    options: tuple[str, ...] = ()
    """Names of the arguments that are given by name only."""
    positional_only: bool = False
    """None of `parameters` may be given by name."""
    returns: str = "null"
    """What the server answers, as in the protocol's description."""
    repeatable: bool = True
    """May be sent again when the connection broke before its answer."""
    route: Route = Route.POOL
    outlives_caller: bool = False
    """Is still sent when its caller has given up waiting."""
    names_job: bool = False
    """Its first argument is a job ID, and the server takes it as that job's keepalive."""
    only_java: bool = False
    """The Java server has it; the Python server would hang up."""

    def binds(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
        """True if the server can bind these arguments without an error."""
        by_position = set(self.parameters[: len(args)])
        by_name = {*self.options, *(() if self.positional_only else self.parameters)} - by_position
        needed = {*self.parameters, *self.options} - self.optional
        return (
            len(args) <= len(self.parameters)
            and set(kwargs) <= by_name
            and needed <= {*by_position, *kwargs}
        )


_CREATE_OPTIONS = (
    "owner",
    "keepalive",
    "machine",
    "tags",
    "min_ratio",
    "max_dead_boards",
    "max_dead_links",
    "require_torus",
)
_WHERE_IS_OPTIONS = (
    "machine",
    "x",
    "y",
    "z",
    "cabinet",
    "frame",
    "board",
    "chip_x",
    "chip_y",
    "job_id",
)

_TABLE = (
    ServerCommand("version", returns="the version as text"),
    ServerCommand(
        "create_job",
        ("x", "y", "z"),
        frozenset({"x", "y", "z", *_CREATE_OPTIONS[1:]}),
        _CREATE_OPTIONS,
        positional_only=True,
        returns="job ID",
        repeatable=False,
    ),
    ServerCommand("job_keepalive", ("job_id",), names_job=True),
    ServerCommand("get_job_state", ("job_id",), returns="state", names_job=True),
    ServerCommand("get_job_machine_info", ("job_id",), returns="machine info", names_job=True),
    ServerCommand("power_on_job_boards", ("job_id",), repeatable=False, names_job=True),
    ServerCommand("power_off_job_boards", ("job_id",), repeatable=False, names_job=True),
    ServerCommand(
        "destroy_job",
        ("job_id", "reason"),
        frozenset({"reason"}),
        outlives_caller=True,
        names_job=True,
    ),
    ServerCommand("notify_job", ("job_id",), frozenset({"job_id"}), route=Route.SUBSCRIPTION),
    ServerCommand("no_notify_job", ("job_id",), frozenset({"job_id"}), route=Route.SUBSCRIPTION),
    ServerCommand(
        "notify_machine", ("machine_name",), frozenset({"machine_name"}), route=Route.SUBSCRIPTION
    ),
    ServerCommand(
        "no_notify_machine",
        ("machine_name",),
        frozenset({"machine_name"}),
        route=Route.SUBSCRIPTION,
    ),
    ServerCommand("list_jobs", returns="jobs"),
    ServerCommand("list_machines", returns="machines"),
    ServerCommand(
        "get_board_position", ("machine_name", "x", "y", "z"), returns="physical or null"
    ),
    ServerCommand(
        "get_board_at_position", ("machine_name", "x", "y", "z"), returns="logical or null"
    ),
    ServerCommand(
        "where_is",
        optional=frozenset(_WHERE_IS_OPTIONS),
        options=_WHERE_IS_OPTIONS,
        returns="location or null",
    ),
    # The board's address by its place, all else by name: the Java server takes it in no other way.
    ServerCommand(
        "report_problem",
        ("address",),
        frozenset({"x", "y", "p", "description"}),
        ("x", "y", "p", "description"),
        positional_only=True,
        repeatable=False,
        route=Route.ALONE,
        only_java=True,
    ),
)

COMMANDS: Mapping[str, ServerCommand] = {command.name: command for command in _TABLE}


def route_of(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Route:
    """The connection that fits a command; whatever is not in the table travels alone."""
    return _route(name, len(args), tuple(kwargs))


@functools.lru_cache(maxsize=1024)
def _route(name: str, positional: int, names: tuple[str, ...]) -> Route:
    command = COMMANDS.get(name)
    if command is None or not command.binds(range(positional), dict.fromkeys(names)):
        return Route.ALONE
    return command.route
