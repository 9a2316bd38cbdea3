"""How each message about arguments, configuration and the simulated server is met."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

from spalloc_gevent import Job, ProtocolClient
from spalloc_gevent.batch import JobGroup, SpallocExecutor, allocate
from spalloc_gevent.batch import executor as executor_module
from spalloc_gevent.compat import install_as_spalloc
from spalloc_gevent.config import load_config
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.ledger import Ledger
from spalloc_gevent.simulator import Drop, JavaOptions, MachineSpec, SimulatedServer
from spalloc_gevent.simulator import loop as simulator_loop
from spalloc_gevent.wire.checks import check_fits
from spalloc_gevent.wire.requests import Request
from tests.docs.message_stage import Stage, told


def of(fn: Callable[..., object], *args: Any, **options: Any) -> Callable[[Stage], str]:
    """What this call raises."""
    return lambda _: told(fn, *args, **options)


def of_client(method: str, *args: Any, **options: Any) -> Callable[[Stage], str]:
    """What this call of a client raises, before anything is sent."""
    return lambda stage: told(getattr(stage.client(), method), *args, **options)


def refused(name: str, *args: Any, **options: Any) -> Callable[[Stage], str]:
    """What the simulated server answers to a command."""

    def provoke(stage: Stage) -> str:
        return told(stage.client().session.call, Request(name, args, options), Deadline(20.0))

    return provoke


# -- configuration -----------------------------------------------------------------------


def file_with(content: str | bytes) -> Callable[[Stage], str]:
    def provoke(stage: Stage) -> str:
        return told(load_config, [stage.write("file", content)])

    return provoke


def warned(filename: str, content: str | None = None) -> Callable[[Stage], str]:
    def provoke(stage: Stage) -> str:
        if content is not None:
            stage.write(filename, content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_config([filename])
        return str(caught[0].message)

    return provoke


def refused_open(*_: object, **__: object) -> Any:
    raise PermissionError(13, "Permission denied")


def unreadable(stage: Stage) -> str:
    path = stage.write("file", "")
    with stage.patch.context() as patch:
        patch.setattr("builtins.open", refused_open)
        return told(load_config, [path])


def folder_not_entered(stage: Stage) -> str:
    with stage.patch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr("builtins.open", refused_open)
        load_config(["nobody/file"])
    return str(caught[0].message)


def configuration_on_full_disk(stage: Stage) -> str:
    with open("/dev/full", "wb") as full:
        return stage.start("config", stdout=full.fileno()).communicate()[1]


def shown_configuration(content: str) -> Callable[[Stage], str]:
    def provoke(stage: Stage) -> str:
        stage.write(".spalloc", content)
        return stage.run("config")

    return provoke


# -- the rest ------------------------------------------------------------------------------


def monkey_patched(stage: Stage) -> str:
    from concurrent.futures import ThreadPoolExecutor

    stage.patch.setattr(executor_module, "threads_are_greenlets", lambda: True)
    with ThreadPoolExecutor(1) as pool:
        return told(SpallocExecutor, workers=pool)


class DaskClient:
    """What can be told from an executor by this."""

    def get_executor(self) -> None: ...


def imported_already(stage: Stage) -> str:
    stage.patch.setitem(sys.modules, "spalloc", os)
    return told(install_as_spalloc)


def of_line(line: str) -> Callable[[Stage], str]:
    """What the Java dialect answers to a line."""

    def provoke(stage: Stage) -> str:
        server = stage.use("java")
        with socket.create_connection((server.host, server.port), 20.0) as client:
            client.sendall(line.encode() + b"\n")
            with client.makefile("rb") as answers:
                return str(json.loads(answers.readline())["exception"])

    return provoke


def of_java(name: str, *args: Any, **kwargs: Any) -> Callable[[Stage], str]:
    """What the Java dialect answers to a command."""
    return of_line(json.dumps({"command": name, "args": args, "kwargs": kwargs}))


def of_queued_job(name: str) -> Callable[[Stage], str]:
    def provoke(stage: Stage) -> str:
        stage.use("java")
        stage.job(4, 2, is_ready=True)
        return of_java(name, stage.job(4, 2).id)(stage)

    return provoke


def reported_twice(stage: Stage) -> str:
    stage.use("java")
    report = of_java("report_problem", stage.job(is_ready=True).hostname)
    with contextlib.suppress(KeyError):
        report(stage)
    return report(stage)


def broken_down(stage: Stage) -> str:
    server = SimulatedServer([MachineSpec()])
    server.start()
    with stage.patch.context() as patch:
        patch.setattr(simulator_loop.ServerLoop, "serve_once", lambda _: 1 / 0)
        server.wake()
        server.wait()
    return told(server.stop)


def rejects(*what: Any, **options: Any) -> Callable[[Stage], str]:
    """What the client says of a request."""
    return of(Job, *what, **{"hostname": "localhost", "owner": "me", **options})


TABLE: dict[str, Callable[[Stage], str]] = {
    # many jobs
    "avoid names boards as (machine, x, y, z), not <value>": of(allocate, avoid=["m"]),
    "<name> must be 0 seconds or more, not <value>": of(allocate, settle=-1),
    "reset=True is for reuse=True: else every task has new boards anyway": of(
        SpallocExecutor, reset=True
    ),
    "workers is to be an executor: that of a Dask client is get_executor()": of(
        SpallocExecutor, workers=DaskClient()
    ),
    'workers is to be "threads", "greenlets" or an executor, not <value>': of(
        SpallocExecutor, workers="some"
    ),
    "this program is monkey-patched: the threads of other executors are greenlets then, which "
    'cannot be called from native ones; use workers="threads" or "greenlets"': monkey_patched,
    "timeout is for all_or_nothing=True; as_ready(timeout) has one of its own": of(
        JobGroup, 1, timeout=1
    ),
    "all_or_nothing=True needs a timeout: half of the boards are nobody's use": of(
        JobGroup, 1, all_or_nothing=True
    ),
    "all <number> jobs cannot be ready with max_open=<number>": of(
        JobGroup, 2, all_or_nothing=True, timeout=1, max_open=1
    ),
    # who and where
    "no hostname given: pass hostname=, set SPALLOC_HOSTNAME, or write `hostname = SERVER` in a "
    "configuration file": of(Job, hostname=None),
    "no owner given: pass owner=, set SPALLOC_OWNER, or write `owner = NAME` in a configuration "
    "file": rejects(owner=None),
    "owner must be text, not <value>": rejects(owner=3),
    "owner must not be blank; by convention it is an email address": rejects(owner=" "),
    "hostname must be text, not <value>": of(ProtocolClient, 3),
    "hostname must not be empty": of(ProtocolClient, ""),
    "hostname <name> is not a host name or IP address": of(ProtocolClient, "a..b"),
    "port <port> is not the port of hostname '<host>:<other port>': give only one of the two": of(
        ProtocolClient, "h:1", 2
    ),
    "<place>: hostname <value> names another port than <other port>, which port is set to in the "
    "same place": of(load_config, [], {"SPALLOC_HOSTNAME": "h:1", "SPALLOC_PORT": "2"}),
    "port must be a number from 1 to 65535, not <value>": of(ProtocolClient, "h", 0),
    "label must be a text or None, not <value>": rejects(label=3),
    "<name> must be more than 0 seconds, or None for ever, not <value>": rejects(timeout=0),
    "filenames must be a list of file names, not <value> alone": of(load_config, "file"),
    # what boards
    "<number> numbers given (<numbers>): <styles>": rejects(1, 2, 3, 4),
    "<name> must be a whole number, not <value>": rejects(1.5),
    "<name> must be a finite number, not <value>": rejects(keepalive=float("nan")),
    "<name> must be <least> or more, not <number>": rejects(0),
    "<name> must be a number of seconds or None, not <value>": of(Deadline, "soon"),
    "board z must be 0, 1 or 2 (its place in the triad), not <number>": rejects(0, 0, 3),
    "create_job has no keyword <names>; it has <names>": of_client("create_job", owner="me", of=3),
    "keepalive must be more than 0 seconds, or None for none, not <value>": rejects(keepalive=0),
    "tags must be a list of text, not <value>": rejects(tags="tag"),
    "tags must be a list of text; <value> is none": rejects(tags=[3]),
    "machine must be the name of a machine, not <value>": rejects(machine=3),
    "no machine can hold <what>; sizes in triads: <sizes>": of(
        check_fits, (5, 1), {"machine": "m"}, [{"name": "m", "width": 4, "height": 2}]
    ),
    "machine=<name> and tags=<tags> given: only one of the two may be, the other must be None": (
        rejects(machine="m", tags=["t"])
    ),
    "min_ratio must be from 0.0 (any shape) to 1.0 (square), not <value>": rejects(min_ratio=2),
    "require_torus must be True or False, not <value>": rejects(require_torus=3),
    "power must be True or False, not <value>": lambda stage: told(stage.job().set_power, "off"),
    "require_torus=True asks for a whole machine: it cannot go with one board": rejects(
        1, require_torus=True
    ),
    # other commands
    "a command's name is text, not <value>": of_client("call", 3),
    "the arguments of <command> cannot be sent as JSON: <why>": of_client("call", "x", object()),
    "<value> is neither text, number, list nor dictionary": of_client("call", "x", object()),
    "where_is takes exactly <styles>; given was <names>": of_client("where_is", x=1),
    "address must be a board's IP address or hostname, not <value>": of_client(
        "report_problem", ""
    ),
    "a chip has two coordinates, not x=<x> and y=<y>": of_client("report_problem", "a", x=1),
    "processor <p> is of no chip: give x and y too": of_client("report_problem", "a", p=1),
    # configuration
    "this cannot be written: <why>": configuration_on_full_disk,
    "error: <message>": shown_configuration("[spalloc]\nkeepalive = x\n"),
    "warning: <message>": shown_configuration("[spalloc]\nprot = 1\n"),
    "<place>: <option> cannot be <value>: give <allowed><hint>": file_with(
        "[spalloc]\nkeepalive = x\n"
    ),
    "<file>: this configuration file cannot be read (<why>): make it readable, or move it out of "
    "the way": unreadable,
    "<file>, line <number>: this is not UTF-8 text: save the file as UTF-8": file_with(b"\xff"),
    "<file>, line <number>: put [<section>] on a line before <line>": file_with("port = 1\n"),
    "<file>, line <number>: option <name> is given again: remove one": file_with(
        "[spalloc]\nport = 1\nport = 2\n"
    ),
    "<file>, line <number>: section <name> begins again: join the two": file_with(
        "[spalloc]\n[spalloc]\n"
    ),
    "<file>, line <number>: this is no 'option = value', [section] or # comment: correct it": (
        file_with("[spalloc]\nhelp\n")
    ),
    "<file>: passed over, because it is a folder and not a configuration file": warned("."),
    "<file>: passed over, because it is a pipe or a device, and not a configuration file": warned(
        "/dev/zero"
    ),
    "<file>: passed over, because this user may not enter its folder": folder_not_entered,
    "<file>: passed over, because it has no section [<section>]": warned(
        "file", "[other]\na = 1\n"
    ),
    "<file>: passed over <name>, because there is no such option; the nearest is <name>": warned(
        "file", "[spalloc]\nprot = 1\n"
    ),
    "the ledger <file> cannot be written: <why>": of(Ledger, "nowhere/ledger"),
    "<name> has been imported already: call this before it is": imported_already,
    # what the simulated server refuses
    "owner must be specified for all jobs": refused("create_job", 1),
    "Only one of machine and tags may be specified for a job.": refused(
        "create_job", owner="me", machine="big", tags=["t"]
    ),
    "create_job got arguments it cannot take: <what>": refused("create_job", owner="me", of=3),
    "require_torus must be False when one board is asked for": refused(
        "create_job", 1, owner="me", require_torus=True
    ),
    "the aspect ratio cannot be negative": refused("create_job", 4, owner="me", min_ratio=-1.0),
    "Invalid arguments: <names>": refused("where_is", machine="big", x=0),
    # what the Java dialect refuses
    "no machine available which matches allocation request": of_java(
        "create_job", 5000, owner="me"
    ),
    "invalid owner identifier; must be non-empty": of_java("create_job", 1),
    "invalid owner identifier; must be printable ASCII": of_java("create_job", owner="ü"),
    "unknown command: <name>": of_java("make_coffee"),
    "unsupported number of arguments: <number>": of_java("create_job", 1, 1, 1, 1, owner="me"),
    "PreparedStatementCallback; SQL [INSERT INTO job_request(job_id, <columns>": of_java(
        "create_job", 0, owner="me"
    ),
    "PreparedStatementCallback; Data truncation: Out of range value for column "
    "'keepalive_interval' at row 1": of_java("create_job", owner="me", keepalive=2**31),
    "long overflow": of_java("create_job", owner="me", keepalive=1e20),
    "class <class> cannot be cast to class java.lang.Number": of_java(
        "create_job", owner="me", keepalive="60"
    ),
    "negative values not supported": of_java("get_job_state", -1),
    "needed a number, got a <class>": of_java("get_job_state", [1]),
    'For input string: "<text>"': of_java("get_job_state", "x"),
    'Cannot invoke "java.lang.Integer.intValue()" because ... is null': of_java("notify_job", None),
    "missing argument at index <number>": of_java("get_job_state"),
    "missing keyword argument: <name>": of_java("get_board_position", "big", 0, 0, 0),
    "missing parameter: machine": of_java("where_is"),
    "missing parameter: chip_x, x, or cabinet": of_java("where_is", machine="big"),
    "boards not allocated": of_queued_job("get_job_machine_info"),
    "no boards currently allocated": of_queued_job("power_on_job_boards"),
    "no such job": of_java("get_job_state", 987654),
    "no such machine": of_java("notify_machine", "nowhere"),
    "no such board": of_java("where_is", machine="big", cabinet=99, frame=0, board=0),
    "PreparedStatementCallback; Duplicate entry for key 'board_id'": reported_twice,
    "Unrecognized token '<text>': was expecting (JSON String, Number, ...)": of_line("nonsense"),
    "Unexpected character ('<character>' (code <code>)): expected ...": of_line(","),
    "Unexpected end-of-input: expected close marker for Object": of_line('{"command": "version"'),
    "Cannot deserialize value of type <class> from Array value": of_line("[]"),
    "Cannot construct instance of <class>": of_line("3"),
    "Cannot deserialize value of type <class>": of_line('{"command": "version", "args": {}}'),
    'Cannot invoke "java.util.Collection.toArray()" because "c" is null': of_line(
        '{"command": "version", "args": null}'
    ),
    # the simulated server's arguments
    "revive is <choices>, not <value>": of(JavaOptions, revive="sometimes"),
    "<name> must be 0 or more, not <number>": of(JavaOptions, allocator_seconds=-1.0),
    "expiry_check_seconds must be more than 0, not <number>": of(
        JavaOptions, expiry_check_seconds=0.0
    ),
    "two machines have the same name: give each one of its own": of(
        SimulatedServer, [MachineSpec("m"), MachineSpec("m")]
    ),
    "a machine needs a name, not <value>": of(MachineSpec, ""),
    "machine <name> needs at least 1 triad, not <number>": of(MachineSpec, "m", 0, 1),
    "machine <name> would have <number> boards; at most <number>": of(MachineSpec, "m", 999, 999),
    "<place> is not on machine <name> of <width> x <height> triads": of(
        MachineSpec, "m", 1, 1, dead_boards=[(5, 0, 0)]
    ),
    "dead link <place>: links are numbered 0 to 5": of(
        MachineSpec, "m", 1, 1, dead_links=[(0, 0, 0, 9)]
    ),
    "at most <number> machines, not <number>": of(
        SimulatedServer, [MachineSpec(f"m{number}", 1, 1) for number in range(500)]
    ),
    "no dialect <name>; there is <names>": of(SimulatedServer, dialect="greek"),
    "no such command: on=<name>; there is <names>": of(Drop, on="nothing"),
    "times must be 1 or more, or None for always, not <number>": of(Drop, times=0),
    "the simulated server broke down: <error>": broken_down,
}
