"""How each message of the other commands, and of the pytest plugin, is met."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from spalloc_gevent.compat.term import Terminal
from spalloc_gevent.pytest_plugin import asking, reporting
from spalloc_gevent.pytest_plugin.serving import Serving
from tests.docs.message_stage import Stage, told
from tests.docs.provoked_commands import run

# -- spalloc-job -------------------------------------------------------------------------------


def several_jobs(stage: Stage) -> str:
    stage.job()
    stage.job()
    return stage.run("job")


def not_in_time(stage: Stage) -> str:
    stage.use("slow")
    return stage.run("job", stage.job().id, "--wait", "ready", "--wait-timeout", 0)


def never_queued_again(stage: Stage) -> str:
    return stage.run("job", stage.job(is_ready=True).id, "--wait", "queued")


def no_ledger(stage: Stage) -> str:
    stage.write("ledger", "hello\n")
    return stage.run("job", "--fate", "ledger")


# -- spalloc-simulator ---------------------------------------------------------------------------


def no_machines(stage: Stage) -> str:
    return stage.run("simulator", "--machines", stage.write("file", "hello"))


def busy_port(stage: Stage) -> str:
    return stage.run("simulator", "--port", stage.server.port)


def not_executable(stage: Stage) -> str:
    return stage.run("simulator", "--run", stage.write("file", "x"))


# -- the pytest plugin -----------------------------------------------------------------------------


def two_servers(_: Stage) -> str:
    config: Any = SimpleNamespace(getoption=lambda _: "given")
    return told(Serving, config)


def no_style(_: Stage) -> str:
    return told(lambda: Terminal(force=True).purple)


def marked(*args: object, **options: object) -> Callable[[Stage], str]:
    mark = SimpleNamespace(args=args, kwargs=options)
    item: Any = SimpleNamespace(nodeid="test_it.py::test_it", iter_markers=lambda _: [mark])
    return lambda _: asking.wrong_marks([item])[0]


def none_free(stage: Stage) -> str:
    stage.use("small")
    stage.job(1, 1)
    with pytest.raises(pytest.skip.Exception) as skipped:
        asking.allocated(asking.Wish((1, 1), {"queue_timeout": 0.05}), {})
    return str(skipped.value)


def taken_away(stage: Stage) -> str:
    job = stage.job()
    stage.destroy(job, "enough")
    return str(reporting._loss_of(job))


def not_known(stage: Stage) -> str:
    job = stage.job()
    job.close()
    stage.destroy(job)
    return str(reporting._loss_of(job))


TABLE: dict[str, Callable[[Stage], str]] = {
    "job ID (or --owner) not specified": run("job", "--owner="),
    "Owner <owner> has no live jobs": run("job", "--owner", "nobody"),
    "Ambiguous: <owner> has <number> live jobs: <ids>": several_jobs,
    "<command>: warning: there was no live job <id>": run("job", 987654, "--destroy"),
    "Job <id> is queued or does not exist": run("job", 987654, "--ethernet-ips"),
    "Error: Cannot power <on or off> job <id> in state <state>": run("job", 987654, "--power-on"),
    "--destroy <id>: the job's ID comes first: <command> <id> --destroy": run(
        "job", "--destroy", 3
    ),
    "--wait-timeout goes with --wait": run("job", 1, "--wait-timeout", 3),
    "Job <id> was not <state> within <seconds> s: it is <state>": not_in_time,
    "Job <id> is <state><reason>: it can no longer become <state>": never_queued_again,
    "--watch shows the job: it goes with no other action than --info": run(
        "job", 1, "--watch", "--power-on"
    ),
    "--json is for --info, --watch and --ethernet-ips: other actions show nothing": run(
        "job", 1, "--json", "--power-on"
    ),
    "--report: say what is wrong with the chip": run("job", 1, "--report", 0, 0, ""),
    "--processor goes with --report": run("job", 1, "--processor", 3),
    "--fate is about a ledger, and goes with no job ID and no action": run("job", 1, "--fate", "f"),
    "--board goes with --fate": run("job", 1, "--board", "m:0,0,0"),
    "<word> is not a board: give MACHINE:X,Y,Z": run("job", "--board", "m"),
    "<command>: error: the ledger <file> cannot be read: <why>": run("job", "--fate", "no-file"),
    "<command>: warning: ignored <lines>": no_ledger,
    "No machine '<name>' was found; there are: <names>": run("machine", "nowhere"),
    "--detailed shows one machine: name it": run("machine", "--detailed"),
    "No boards at the specified location": run("where-is", "--board", "nowhere", 0, 0, 0),
    "<word> is less than 0: give 0 or more": run("where-is", "--chip", "m", -1, 0),
    # spalloc-simulator
    "<word> is not NAME:WxH[:TAG,...] with a size in triads, such as m:4x2": run(
        "simulator", "--machine", "m"
    ),
    "<word> is not [NAME:]X,Y,Z": run("simulator", "--dead-board", "x"),
    "<word> is not [NAME:]X,Y,Z,LINK": run("simulator", "--dead-link", "x"),
    "<word> is not a number of seconds, 0 or more": run("simulator", "--power-seconds", "x"),
    "<word> is not a whole number, 0 or more": run("simulator", "--failing-power-ons", "x"),
    "<file> has no machines: <why>": no_machines,
    "<word> is not a port: 0 to 65535, 0 for a free one": run("simulator", "--port", "x"),
    "there is no machine <name>; there is <names>": run("simulator", "--dead-board", "x:0,0,0"),
    "--run needs a command": run("simulator", "--run"),
    "no program given": run("compat"),
    "-m takes a module": run("compat", "-m"),
    "there is no option <word>": run("compat", "--fast"),
    "cannot open <file>: <why>": run("compat", "nowhere.py"),
    "there is no style <name>": no_style,
    "there is no command <name>": run("simulator", "--run", "no-such-program"),
    "cannot run <name>: <why>": not_executable,
    "cannot listen on <address>: <why>; choose another with --host and --port (0: a free one)": (
        busy_port
    ),
    "<usage> spalloc_gevent: error: <what>: <commands>": run("", "nonsense"),
    # the pytest plugin
    "give --spalloc-hostname or --spalloc-simulate, not both": two_servers,
    "<test>: @pytest.mark.spalloc: <message>": marked(colour="red"),
    "<names> do not go together: give boards, or width and height, or x, y and z": marked(
        boards=1, x=0
    ),
    "the size is given twice: <numbers> and <names>": marked(3, boards=3),
    "there is no <names>; there are <names>": marked(colour="red"),
    "no boards were free in time: <message>": none_free,
    "job <id> is <state>: <reason>": taken_away,
    "the state of job <id> is not known: <why>": not_known,
}
