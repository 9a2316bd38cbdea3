"""How each message of a command line, and of ``spalloc`` and ``spalloc-batch``, is met."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from spalloc_gevent.scripts import batch, boot, drawing
from spalloc_gevent.scripts.batch import trial
from spalloc_gevent.scripts.batch.joblog import JobLog
from spalloc_gevent.simulator import Refuse
from tests.cli.terminal import eventually
from tests.docs.message_stage import Stage
from tests.transport.scripted_server import Command, Peer
from tools.real_server import free_port


def run(command: str, *arguments: object) -> Callable[[Stage], str]:
    return lambda stage: stage.run(command, *arguments)


def cases(content: str | bytes, *arguments: object) -> Callable[[Stage], str]:
    return lambda stage: stage.cases(content, *arguments)


# -- what all commands share ---------------------------------------------------------------


def warned(stage: Stage) -> str:
    stage.write(".spalloc", "[spalloc]\nprot = 1\n")
    return stage.run("ps")


def refused(stage: Stage) -> str:
    stage.server.set_faults([Refuse(on="list_jobs", text="because")])
    return stage.run("ps")


def out_of_reach(stage: Stage) -> str:
    stage.point_at("127.0.0.1", free_port())
    return stage.run("ps")


def not_reported(stage: Stage) -> str:
    return stage.run("job", stage.job().id, "--report", 0, 0, "hot")


def read_until(stream: Any, word: str) -> str:
    """The line that has this word; the stream ends where the process does."""
    return str(next(line for line in stream if word in line))


def away_while_watching(stage: Stage) -> str:
    server = stage.own_server()
    process = stage.start("ps", "--watch")
    read_until(process.stdout, "ID")
    server.stop()
    return read_until(process.stderr, "again")


def away_while_waiting(stage: Stage) -> str:
    server = stage.own_server()
    job = stage.job()
    stage.on_exit(server.start)
    process = stage.start("job", job.id, "--wait", "ready")
    eventually(lambda: server.command_counts["notify_machine"], "a job that is waited for")
    server.stop()
    return read_until(process.stderr, "again")


def ended_by(signum: signal.Signals) -> Callable[[Stage], str]:
    """What ``spalloc`` says when this signal ends its wait for boards."""

    def provoke(stage: Stage) -> str:
        server = stage.own_server()
        process = stage.start("spalloc")
        eventually(lambda: server.command_counts["create_job"], "a job")
        process.send_signal(signum)
        return process.communicate()[1]

    return provoke


def far_from_server(stage: Stage) -> str:
    stage.patch.setattr(drawing, "LONGEST_S", 0.0)
    return stage.run("machine", "big", "--svg", "-")


def without_shtab(stage: Stage) -> str:
    stage.patch.setitem(sys.modules, "shtab", None)
    return stage.run("ps", "--print-completion", "bash")


# -- spalloc ---------------------------------------------------------------------------------


def resumed(reason: str | None) -> Callable[[Stage], str]:
    def provoke(stage: Stage) -> str:
        job = stage.job()
        stage.destroy(job, reason)
        return stage.run("spalloc", "--resume", job.id)

    return provoke


def in_a_state_of_its_own(stage: Stage) -> str:
    def script(peer: Peer, command: Command) -> None:
        told = {"state": 9, "power": None, "keepalive": 60.0, "reason": None, "start_time": 1.0}
        peer.answer(told if command.name == "get_job_state" else None)

    server = stage.scripted(script)
    stage.point_at(server.host, server.port)
    return stage.run("spalloc", "--resume", 1)


def no_room_for_a_list(stage: Stage) -> str:
    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    stage.patch.setattr(tempfile, "mkstemp", full)
    return stage.run("spalloc", "-c", "true")


def not_executable(stage: Stage) -> str:
    return stage.run("spalloc", "-c", stage.write("file", "x"), "y")


def without_rig(stage: Stage) -> str:
    def import_module(_: str) -> Any:
        raise ModuleNotFoundError("No module named 'rig'", name="rig")

    return rig_that(stage, import_module)


def rig_that(stage: Stage, import_module: Callable[[str], Any]) -> str:
    stage.patch.setattr(boot, "importlib", SimpleNamespace(import_module=import_module))
    return stage.run("spalloc", "--boot", "-c", "true")


def broken_rig(stage: Stage) -> str:
    def import_module(_: str) -> Any:
        raise AttributeError("module 'inspect' has no attribute 'getargspec'")

    return rig_that(stage, import_module)


def rig_that_fails(stage: Stage) -> str:
    def controller(_: str) -> Any:
        raise OSError("no answer")

    return rig_that(
        stage,
        lambda _: SimpleNamespace(MachineController=controller, SpiNNakerBootError=KeyError),
    )


# -- spalloc-batch -----------------------------------------------------------------------------


def from_a_terminal(stage: Stage) -> str:
    stage.patch.setattr(batch, "is_terminal", lambda _: True)
    return stage.run("batch")


def no_folder(stage: Stage) -> str:
    return stage.cases("a true\n", "--output", stage.write("file", ""))


def joblog_in_use(stage: Stage) -> str:
    import fcntl

    with open(stage.write("log", ""), "rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        return stage.cases("a true\n", "--joblog", "log")


def strange_joblog(stage: Stage) -> str:
    stage.write("log", "hello\n")
    return stage.cases("a true\n", "--joblog", "log")


def disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def joblog_on_full_disk(stage: Stage) -> str:
    stage.patch.setattr(JobLog, "append", disk_full)
    return stage.cases("a true\n", "--joblog", "log")


def output_to_full_disk(stage: Stage) -> str:
    stage.write("cases", "a echo hello\n")
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        _, said = stage.start("batch", "cases", stdout=full).communicate()
    finally:
        os.close(full)
    return said


def no_boards_at_present(stage: Stage) -> str:
    server = stage.scripted(lambda peer, _: peer.hang_up())
    stage.point_at(server.host, server.port)
    return stage.cases("a true\n", "--queue-timeout", 0.05)


def begun(stage: Stage, *lines: str) -> subprocess.Popen[str]:
    """A campaign of which the first case runs."""
    stage.write("cases", "".join(f"{line}\n" for line in lines))
    process = stage.start("batch", "cases", "-j", 1, "--json")
    eventually((stage.folder / "started").exists, "a case that runs")
    return process


FOR_EVER = "a touch started; exec sleep 1000"


def stopped(stage: Stage) -> str:
    process = begun(stage, FOR_EVER)
    process.send_signal(signal.SIGINT)
    return read_until(process.stderr, "Ctrl+C")


def stopped_before_any_ran(stage: Stage) -> str:
    stage.use("slow")
    stage.write("cases", "a true\n")
    before = stage.server.command_counts["create_job"]
    process = stage.start("batch", "cases")
    eventually(lambda: stage.server.command_counts["create_job"] > before, "a request")
    process.send_signal(signal.SIGINT)
    return read_until(process.stderr, "Ctrl+C")


def ended(stage: Stage) -> str:
    process = begun(stage, FOR_EVER, "b true")
    process.terminate()
    out, err = process.communicate()
    return out + err


def passed_on(stage: Stage) -> str:
    process = begun(stage, "a trap '' USR1; touch started; exec sleep 1000")
    process.send_signal(signal.SIGUSR1)
    return read_until(process.stderr, "SIGUSR1")


def not_startable(stage: Stage) -> str:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    stage.patch.setattr(trial, "Process", denied)
    return stage.cases("a true\n")


def taken_away(stage: Stage) -> str:
    job = f"{sys.executable} -m spalloc_gevent job {{id}} --destroy gone; exit 1"
    return stage.cases(f"a {job}\n", "--retries", 0)


def unexpected(stage: Stage) -> str:
    def surprise(*_: object) -> None:
        raise ValueError("surprise")

    stage.patch.setattr(trial.Trial, "run", surprise)
    return stage.cases("a true\n")


TABLE: dict[str, Callable[[Stage], str]] = {
    "<command>: error: <message>": run("spalloc", 1, 2, 3, 4),
    "<command>: warning: <message>": warned,
    "Error from server: the server refused <command>: <reason>": refused,
    "Error communicating with server: <message>": out_of_reach,
    "Error: <message>": not_reported,
    "<command>: error: --<message>": run("ps", "-H", "a..b"),
    "<option> <what> must be specified: give <option>, set SPALLOC_<NAME>, or write "
    "'<name> = ...' in a configuration file": run("ps", "--hostname="),
    # the parser's own
    "one of the arguments <options> is required": run("where-is"),
    "unrecognized arguments: <words>": run("ps", "--nonsense"),
    "ambiguous option: <word> could match <options>": run("spalloc", "--max-dead=3"),
    "argument <option>: expected one argument": run("ps", "--port"),
    "argument <option>: expected <number> arguments": run("where-is", "--board", "m"),
    "argument <option>: invalid choice: <word> (choose from <words>)": run(
        "job", 1, "--wait", "nonsense"
    ),
    "argument <option>: not allowed with argument <option>": run(
        "job", 1, "--power-on", "--power-off"
    ),
    "argument <option>: ignored explicit argument <word>": run("ps", "--json=3"),
    "argument <option>: <message>": run("ps", "--port", "x"),
    # values
    "<word> is not a number": run("ps", "--timeout", "x"),
    "<word> is not a whole number": run("ps", "--port", "x"),
    "<word> is not a port: give a number from 1 to 65535": run("ps", "--port", 0),
    "<word> is not a time: give 0 seconds or more": run("job", 1, "--wait-timeout=-1"),
    "<word> is not a time: give seconds above 0": run("ps", "--interval", 0),
    "<word> is not a time: give seconds above 0, or -1 for no limit": run("ps", "--timeout", 0),
    "<word> is not a count: give 1 or more": run("batch", "--jobs", 0),
    "<word> is not a count: give 0 or more": run("batch", "--retries=-1"),
    "<word> is neither True nor False": run("ps", "--ignore_version", "x"),
    "<word> is not a ratio: give a number from 0.0 (any shape) to 1.0 (square)": run(
        "spalloc", "--min-ratio", 2
    ),
    "<word> names no columns: give NAME or NAME,NAME": run("ps", "--columns", "a,,b"),
    # tables and watching
    "<option> goes with --watch": run("ps", "--interval", 1),
    "--columns is for tables: --json always tells everything": run(
        "ps", "--columns", "id", "--json"
    ),
    "<option>: there is no column <name>; there are: <names>": run("ps", "--columns", "colour"),
    "<option> is for tables: <what to do>": run("machine", "big", "--columns", "name"),
    "<command>: trying again since <time>: <message>": away_while_watching,
    "<command>: trying again: <message>": away_while_waiting,
    # pictures
    "--svg: name a file, or - for standard output": run("machine", "big", "--svg="),
    "--svg draws one picture: it does not go with <option>": run(
        "machine", "big", "--svg", "-", "--json"
    ),
    "--svg draws one machine: name it": run("machine", "--svg", "-"),
    "--svg draws one picture: it does not go with --detailed": run(
        "machine", "big", "--svg", "-", "--detailed"
    ),
    "--svg draws the job: it goes with no other action than --info": run(
        "job", 1, "--svg", "-", "--ethernet-ips"
    ),
    "Job <id> has no boards to draw: it is <state>": run("job", 987654, "--svg", "-"),
    "Error: --svg <file> cannot be written: <why>": run("machine", "big", "--svg", "no/file"),
    "<command>: warning: the server took longer than <seconds> s to report where boards are: "
    "<boards> drawn without cabinet and frame": far_from_server,
    # completion
    '--print-completion needs shtab: pip install "spalloc_gevent[completion]"': without_shtab,
    # command lines in command lines
    "<option> needs a command to run": run("spalloc", "-c"),
    "a single <brace> in <word>: double it to mean a brace": run("spalloc", "-c", "echo {"),
    "<token> in <word> stands for nothing: there are <tokens>; write {<token>} for the braces "
    "themselves": run("spalloc", "-c", "echo {x}"),
    "<option>: <message>": run("spalloc", "-c", "echo {"),
    "<number> numbers given: expected none, NUM (boards), WIDTH HEIGHT (triads) or X Y Z (a "
    "board)": run("spalloc", 1, 2, 3, 4),
    "<command>: warning: --tags ignored because --machine is given": run(
        "spalloc", "--machine", "big", "--tags", "t", "-c", "true"
    ),
    # spalloc
    "Keyboard interrupt.": ended_by(signal.SIGINT),
    "Ended by <signal>.": ended_by(signal.SIGTERM),
    "Job <id>: <message>": resumed("enough"),
    "Destroyed.": resumed(None),
    "Destroyed: <reason>": resumed("enough"),
    "Job not recognised by server.": run("spalloc", "--resume", 987654),
    "Entered an unrecognised state: <state>.": in_a_state_of_its_own,
    "The boot command failed with exit code <code>.": run(
        "spalloc", "--boot-command", "exit 3", "-c", "true"
    ),
    "The time limit of <seconds> s was reached.": run(
        "spalloc", "--time-limit", "0.1", "-c", "sleep 1000"
    ),
    "The list of hostnames cannot be written: <why>": no_room_for_a_list,
    "<command>: <program>: command not found": run("spalloc", "-c", "no-such-program", "x"),
    "<command>: <program>: cannot be executed: <why>": not_executable,
    "--boot and --boot-command: give only one of the two": run(
        "spalloc", "--boot", "--boot-command", "true"
    ),
    "--boot needs Rig, which is not installed: install spalloc_gevent[boot], or use "
    "--boot-command": without_rig,
    "--boot needs Rig, which this Python cannot import (<error>: <message>): use --boot-command, "
    "or Python 3.10": broken_rig,
    "the machine at <hostname> did not boot: <error>: <message>": rig_that_fails,
    # spalloc-batch
    "<words>: give one file of cases, and what they are given in numbers; a command is a line of "
    "the file": run("batch", "a", "b"),
    "--boards and WHAT: give only one of the two": run("batch", "a", 3, "--boards", 3),
    "--resume and --resume-failed go with --joblog FILE": run("batch", "a", "--resume"),
    "--reset goes with --reuse: else every case has new boards anyway": run(
        "batch", "a", "--reset"
    ),
    "--quiet and --debug: give only one of the two": run("batch", "a", "--quiet", "--debug"),
    "<command>: reading cases from the terminal: NAME COMMAND a line, Ctrl+D at the end": (
        from_a_terminal
    ),
    "<command>: error: <source> cannot be read: <why>": run("batch", "no-such-file"),
    "there are no cases in <source>": cases("# nothing\n"),
    "<source>, line <number>: <message>": cases("a\n"),
    "there is a case <name> on line <number> already: a line begins with a name of its own (or "
    "give --unnamed, when lines are commands and nothing else)": cases("a true\na true\n"),
    "<line> has no command: a line is NAME COMMAND (or give --unnamed, when lines are commands "
    "and nothing else)": cases("a\n"),
    "a quotation in <line> has no end: close it": cases("'a true\n"),
    "<name> is no name for a case: give it one that can be seen": cases("'' true\n"),
    "the name <name>... is too long: its files could not be called so": cases("a" * 999 + " true"),
    "a command cannot have a NUL in it: remove it": cases("a true \0\n"),
    "--output <folder> cannot be used: <why>": no_folder,
    "the joblog <file> cannot be opened: <why>": cases("a true\n", "--joblog", "no/file"),
    "the joblog <file> is no ordinary file: give another one": cases(
        "a true\n", "--joblog", "/dev/null"
    ),
    "the joblog <file> is being written to by another spalloc-batch": joblog_in_use,
    "<file>, line <number>: this is no line of a joblog: give another file": strange_joblog,
    "<file> cannot be written: <why>": cases("a true\n", "--junit-xml", "no/file"),
    "the joblog cannot be written, no more cases are started: <why>": joblog_on_full_disk,
    "what cases write cannot be passed on: <why>": output_to_full_disk,
    "no boards can be asked for, trying again: <why>": no_boards_at_present,
    "Ctrl+C: no more cases are started": stopped_before_any_ran,
    "Ctrl+C: no more cases are started; waiting for the <number> that run (Ctrl+C again ends "
    "them)": stopped,
    "<signal>: ending <number> running cases": ended,
    "<signal>: passed on to <number> commands": passed_on,
    "exit code <code><last words>": cases("a true\n", "--check", "exit 3", "--attempts", 1),
    "it cannot be started: <why>": not_startable,
    "it was ended after its time was up": cases("a sleep 1000\n", "--timeout", 0.05, "--json"),
    "it was ended": ended,
    "it was not started": ended,
    "job <id> was destroyed under it<reason>": taken_away,
    "<error>: <message>": unexpected,
}
