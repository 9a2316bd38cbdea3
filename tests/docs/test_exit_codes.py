"""The page of exit codes says what --help says, and every code on it is met."""

from __future__ import annotations

import importlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from spalloc_gevent.__main__ import COMMANDS as MODULES
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.simulator import Silence
from tests.cli.terminal import eventually
from tests.docs import provoked_commands as commands
from tests.docs import provoked_rest as rest
from tests.docs.message_stage import Stage
from tests.docs.reference_pages import read
from tools.real_server import free_port

PAGE = "exit-codes.rst"

COMMANDS = {
    command.installed or f"python -m spalloc_gevent {name}": name
    for name, command in MODULES.items()
} | {
    "spalloc": "spalloc",
    "python -m spalloc_gevent": "",
    "python -m spalloc_gevent.compat": "compat",
}
"""Headings on the page, and what the stage calls the commands."""

Rows = list[tuple[str, str]]


def rows_of(heading: str) -> Rows:
    """The table below a heading."""
    _, _, after = read(PAGE).partition(f"\n{heading}\n{'-' * len(heading)}\n")
    table = re.split(r"\n.+\n-{3,}\n", after)[0]
    if named := re.search(r"\.\. names:: (.+)\.EXIT_CODES\n", table):
        codes = importlib.import_module(named[1]).EXIT_CODES
        return [(str(code), meaning) for code, meaning in codes]
    found = re.findall(r"   \* - (.+)\n     - (.+)\n", table)
    assert found[0] == ("Code", "Meaning")
    return found[1:]


def rows_in_help(stage: Stage, command: str) -> Rows:
    text = stage.run(command, "--help")
    _, _, after = text.partition("exit codes:\n")
    lines = after.rstrip().splitlines()
    return [tuple(re.split(r" {2,}", line.strip(), maxsplit=1)) for line in lines]  # type: ignore[misc]


@pytest.mark.parametrize("heading", COMMANDS)
def test_the_page_says_what_help_says(heading: str, stage: Stage) -> None:
    assert rows_of(heading) == rows_in_help(stage, COMMANDS[heading])


def test_every_exit_code_there_is_stands_on_the_page() -> None:
    told = {code for heading in COMMANDS for code, _ in rows_of(heading)}
    assert {str(code.value) for code in ExitCode} - told == {str(ExitCode.SIGNALLED.value)}


# -- how each is met ---------------------------------------------------------------------------

Provoke = Callable[[Stage], int]


def of(told: Callable[[Stage], str]) -> Provoke:
    """The exit code of the command behind a message."""

    def provoke(stage: Stage) -> int:
        told(stage)
        return stage.code

    return provoke


def run(command: str, *arguments: object) -> Provoke:
    return of(commands.run(command, *arguments))


def cases(content: str, *arguments: object) -> Provoke:
    return of(commands.cases(content, *arguments))


def interrupted_before_ready(stage: Stage) -> int:
    server = stage.own_server()
    process = stage.start("spalloc")
    eventually(lambda: server.command_counts["create_job"], "a job")
    process.send_signal(signal.SIGINT)
    return process.wait()


def interrupted_in_power(stage: Stage) -> int:
    server = stage.own_server()
    job_id = stage.job().id
    # Answered, the command would have ended before it is interrupted.
    server.set_faults([Silence(on="power_on_job_boards")])
    process = stage.start("job", job_id, "--power-on")
    eventually(lambda: server.command_counts["power_on_job_boards"], "a power command")
    process.send_signal(signal.SIGINT)
    return process.wait()


def interrupted(command: str, *arguments: object) -> Provoke:
    """Ctrl+C while the server does not answer."""

    def provoke(stage: Stage) -> int:
        server = stage.own_server()
        server.set_faults([Silence(on="version")])
        process = stage.start(command, *arguments)
        eventually(lambda: server.command_counts["version"], "a question")
        process.send_signal(signal.SIGINT)
        return process.wait()

    return provoke


def batch_ended(stage: Stage) -> int:
    process = commands.begun(stage, commands.FOR_EVER)
    process.terminate()
    return process.wait()


def out_of_reach(command: str, *arguments: object) -> Provoke:
    def provoke(stage: Stage) -> int:
        stage.point_at("127.0.0.1", free_port())
        stage.run(command, *arguments)
        return stage.code

    return provoke


def of_job(*arguments: object) -> Provoke:
    """``spalloc-job`` about a job that is ready."""

    def provoke(stage: Stage) -> int:
        stage.run("job", stage.job(is_ready=True).id, *arguments)
        return stage.code

    return provoke


def batch_out_of_reach(stage: Stage) -> int:
    stage.write("cases", "a true\n")
    return out_of_reach("batch", "cases")(stage)


def compat(program: str, *arguments: str) -> Provoke:
    """Of a process of its own: the program becomes its ``__main__``."""

    def provoke(stage: Stage) -> int:
        path = stage.folder / "program.py"
        path.write_text(program)
        command = [sys.executable, "-m", "spalloc_gevent.compat", *(arguments or [str(path)])]
        return subprocess.run(command, capture_output=True, check=False).returncode

    return provoke


def simulator_ended(stage: Stage) -> int:
    process = stage.start("simulator", "--port", 0)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    return process.wait()


OWN = 33
"""What stands for any code of a command's own."""
SIGNALLED = range(129, 193)

PROVOCATIONS: dict[str, dict[str, Provoke]] = {
    "spalloc": {
        "0": run("spalloc", "-c", "true"),
        "any": run("spalloc", "-c", f"exit {OWN}"),
        "1": of(commands.resumed("enough")),
        "2": run("spalloc", "--nonsense"),
        "3": of(commands.in_a_state_of_its_own),
        "4": interrupted_before_ready,
        "5": of(commands.rig_that_fails),
        "6": out_of_reach("spalloc"),
        "124": run("spalloc", "--time-limit", "0.1", "-c", "sleep 1000"),
        "126": of(commands.not_executable),
        "127": run("spalloc", "-c", "no-such-program", "x"),
    },
    "spalloc-batch": {
        "0": cases("a true\n"),
        "1": cases("a false\n"),
        "2": cases("a\n"),
        "5": of(commands.joblog_on_full_disk),
        "6": batch_out_of_reach,
        "128 + n": batch_ended,
    },
    "spalloc-ps": {
        "0": run("ps"),
        "1": out_of_reach("ps"),
        "2": run("ps", "--nonsense"),
        "128 + n": interrupted("ps"),
    },
    "spalloc-job": {
        "0": of_job("--info"),
        "1": out_of_reach("job", 1),
        "2": run("job", "--nonsense"),
        "3": run("job", "--owner", "nobody"),
        "7": interrupted_in_power,
        "8": run("job", 987654, "--power-on"),
        "9": run("job", 987654, "--ethernet-ips"),
        "10": of(rest.not_in_time),
        "11": of_job("--wait", "queued"),
        "12": of_job("--svg", "no/file"),
        "128 + n": interrupted("job", 1),
    },
    "spalloc-machine": {
        "0": run("machine", "big"),
        "1": out_of_reach("machine"),
        "2": run("machine", "--nonsense"),
        "6": run("machine", "nowhere"),
        "12": run("machine", "big", "--svg", "no/file"),
        "128 + n": interrupted("machine"),
    },
    "spalloc-where-is": {
        "0": run("where-is", "--board", "big", 0, 0, 0),
        "1": out_of_reach("where-is", "--board", "big", 0, 0, 0),
        "2": run("where-is"),
        "4": run("where-is", "--board", "nowhere", 0, 0, 0),
        "128 + n": interrupted("where-is", "--board", "big", 0, 0, 0),
    },
    "spalloc-simulator": {
        "0": simulator_ended,
        "any": run("simulator", "--run", "sh", "-c", f"exit {OWN}"),
        "1": of(rest.busy_port),
        "2": run("simulator", "--nonsense"),
        "126": of(rest.not_executable),
        "127": run("simulator", "--run", "no-such-program"),
    },
    "python -m spalloc_gevent config": {
        "0": run("config"),
        "2": run("config", "--nonsense"),
    },
    "python -m spalloc_gevent.compat": {
        "any": compat(f"raise SystemExit({OWN})"),
        "0": run("compat", "--help"),
        "1": compat("", "-m", "nowhere"),
        "2": run("compat", "nowhere.py"),
    },
    "python -m spalloc_gevent versions": {
        "0": run("versions"),
        "2": run("versions", "--nonsense"),
    },
    "python -m spalloc_gevent": {
        "any": run("", "alloc", "-c", f"exit {OWN}"),
        "0": run("", "--version"),
        "2": run("", "nonsense"),
    },
}


def test_every_code_on_the_page_is_met_and_no_other() -> None:
    on_page = {heading: {code for code, _ in rows_of(heading)} for heading in COMMANDS}
    assert {heading: set(met) for heading, met in PROVOCATIONS.items()} == on_page


@pytest.mark.parametrize(
    ("heading", "code"), [(heading, code) for heading in COMMANDS for code in PROVOCATIONS[heading]]
)
def test_a_command_ends_with_the_code_that_the_page_says(
    heading: str, code: str, stage: Stage
) -> None:
    met = PROVOCATIONS[heading][code](stage)
    if code == "any":
        assert met == OWN
    elif code == "128 + n":
        assert met in SIGNALLED
    else:
        assert met == int(code)
