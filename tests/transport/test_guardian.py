"""The guardian: jobs outlive a program that is held up or stopped, and nothing outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.terminal import eventually, is_alive
from tests.conftest import MakeRealServer
from tests.contract.support import Server
from tests.transport.guardians import guardian_of, guardians_of
from tests.transport.programs import PREAMBLE, ROOT
from tools.costs import descendants

_BIG = MachineSpec("big", width=8, height=8)

KEEPALIVE_S = 1.0
LONG_S = 4 * KEEPALIVE_S

# A function of PyDLL keeps the interpreter to itself while it runs.
HOLD_UP = """
import ctypes
def hold_up(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
"""


class Program:
    """A Python program that says lines and hears lines; ended when the test is."""

    def __init__(self, server: Server, script: str, **environ: str) -> None:
        source = "\n".join((PREAMBLE, HOLD_UP, textwrap.dedent(script)))
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, server.host, str(server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        )
        self.pid = self.process.pid

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ends_well(self) -> str:
        """What it said on standard error; nothing but the log's warnings."""
        out, err = self.process.communicate()
        assert (self.process.returncode, out) == (0, "")
        assert "Traceback" not in err
        return err

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()


StartProgram = Callable[..., Program]


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.fixture
def start(server: SimulatedServer) -> Iterator[StartProgram]:
    with contextlib.ExitStack() as programs:

        def begin(script: str, **environ: str) -> Program:
            program = Program(server, script, **environ)
            programs.callback(program.close)
            return program

        yield begin


def is_kept(server: SimulatedServer, since: int) -> bool:
    """Whether a keepalive has come that only a guardian sends, after so many commands."""
    return any(command.name == "job_keepalive" for command in server.commands_seen[since:])


def live(server: SimulatedServer) -> list[int]:
    with ProtocolClient(server.host, server.port, 20.0) as client:
        return [job["job_id"] for job in client.list_jobs()]


HOLD_A_JOB = f"""
job = new_job(keepalive={KEEPALIVE_S})
print(job.id, flush=True)
"""


def test_a_job_outlives_a_call_that_keeps_the_interpreter_for_four_intervals(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(HOLD_A_JOB + f"hold_up({LONG_S})\nprint(job.state.name)\njob.destroy()")
    assert program.says() == "1"
    assert program.says() == "ready"
    assert "the program kept the background thread from running for" in program.ends_well()


def test_it_does_so_on_the_real_server_too(make_real_server: MakeRealServer) -> None:
    program = Program(
        make_real_server(),
        HOLD_A_JOB + f"hold_up({LONG_S})\nprint(job.state.name)\njob.destroy()",
    )
    with contextlib.closing(program):
        assert program.says() == "1"
        assert program.says() in ("power", "ready")
        program.ends_well()


def test_150_jobs_outlive_it_too_with_one_guardian_that_starts_late(tmp_path: Path) -> None:
    """What the program has told it by then is more than it could say to one that does not hear."""
    begin = tmp_path / "begin"
    os.mkfifo(begin)
    late = tmp_path / "python3"
    late.write_text(f'#!/bin/sh\nread begun <{begin}\nexec {sys.executable} "$@"\n')
    late.chmod(0o700)
    with SimulatedServer([_BIG]) as big:
        program = Program(
            big,
            f"""
            import spalloc_gevent.transport.guardian as guardian
            guardian.LONGEST_TELLING_S = {10 * LONG_S}
            sys.executable = {str(late)!r}
            jobs = [new_job(keepalive={KEEPALIVE_S * 4}) for _ in range(150)]
            hold_up({LONG_S * 2.5})
            print([job.state.name for job in jobs].count("ready"))
            [job.destroy() for job in jobs]
            """,
        )
        with contextlib.closing(program):
            eventually(lambda: big.command_counts["create_job"] > 50, "the first jobs")
            begin.write_text("now\n")
            assert program.says() == "150"
            program.ends_well()


def test_a_job_outlives_its_program_being_stopped(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(HOLD_A_JOB + "sys.stdin.readline()\nprint(job.state.name)\njob.destroy()")
    assert program.says() == "1"
    guardian_of(program.pid)
    seen = len(server.commands_seen)
    program.process.send_signal(signal.SIGSTOP)
    eventually(lambda: is_kept(server, seen), "the guardian's keepalive")
    # Long enough for the job to be lost without it.
    count = len([c for c in server.commands_seen if c.name == "job_keepalive"])
    eventually(
        lambda: len([c for c in server.commands_seen if c.name == "job_keepalive"]) > count + 8,
        "more of them",
    )
    assert live(server) == [1]
    program.process.send_signal(signal.SIGCONT)
    program.tell("go on")
    assert program.says() == "ready"
    assert "the guardian stood in for it" in program.ends_well()


def test_it_sends_nothing_while_the_program_runs(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(HOLD_A_JOB + "sys.stdin.readline()")
    assert program.says() == "1"
    guardian_of(program.pid)
    eventually(
        lambda: len([c for c in server.commands_seen if c.name == "get_job_state"]) > 6,
        "keepalives of the program's own",
    )
    assert not is_kept(server, 0)


def test_a_killed_program_takes_its_guardian_along_and_its_jobs_expire(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(HOLD_A_JOB + "sys.stdin.readline()")
    assert program.says() == "1"
    guardian = guardian_of(program.pid)
    program.process.kill()
    eventually(lambda: not is_alive(guardian), "the end of the guardian")
    eventually(lambda: live(server) == [], "the end of the job")


def test_a_program_that_is_killed_while_it_is_stopped_does_so_too(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(HOLD_A_JOB + "sys.stdin.readline()")
    assert program.says() == "1"
    guardian = guardian_of(program.pid)
    program.process.send_signal(signal.SIGSTOP)
    eventually(lambda: is_kept(server, 0), "the guardian's keepalive")
    program.process.kill()
    eventually(lambda: not is_alive(guardian), "the end of the guardian")
    eventually(lambda: live(server) == [], "the end of the job")


def test_a_forked_child_that_lives_on_does_not_keep_the_guardian(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(
        HOLD_A_JOB
        + """
import os, time
pid = os.fork()
if not pid:
    time.sleep(60)
    os._exit(0)
print(pid, flush=True)
os.kill(os.getpid(), 9)
"""
    )
    assert program.says() == "1"
    child = int(program.says())
    try:
        eventually(lambda: not guardians_of(program.pid), "the end of the guardian")
        assert is_alive(child)
        eventually(lambda: live(server) == [], "the end of the job")
    finally:
        os.kill(child, signal.SIGKILL)


def test_one_guardian_serves_a_program_however_often_it_has_no_job(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(
        """
        for _ in range(20):
            new_job(keepalive=60.0).destroy()
        job = new_job(keepalive=60.0)
        print(job.id, flush=True)
        sys.stdin.readline()
        job.destroy()
        """
    )
    assert program.says() == "21"
    guardian_of(program.pid)
    program.tell("go on")
    program.ends_well()


def test_a_program_finds_no_child_that_it_has_not_made(start: StartProgram) -> None:
    program = start(
        HOLD_A_JOB
        + """
import os
sys.stdin.readline()
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("none", flush=True)
job.destroy()
"""
    )
    assert program.says() == "1"
    guardian_of(program.pid)
    # The process that starts the guardian is one for a moment.
    eventually(lambda: not descendants(program.pid), "no child")
    program.tell("look")
    assert program.says() == "none"


def test_nothing_in_the_folder_or_the_environment_takes_the_place_of_its_modules(
    server: SimulatedServer, start: StartProgram, tmp_path: Path
) -> None:
    for name in ("json", "socket", "select", "time", "logging", "heapq", "spalloc_gevent"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken in')")
    program = start(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        os.environ["PYTHONPATH"] = {str(tmp_path)!r}
        os.environ["PYTHONSTARTUP"] = "json.py"
        """
        + textwrap.indent(HOLD_A_JOB + f"hold_up({LONG_S})\nprint(job.state.name)", " " * 8)
    )
    assert program.says() == "1"
    assert program.says() == "ready"


def test_it_is_out_of_reach_of_the_terminal_and_holds_none_of_the_program_s_files(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(
        """
        import os
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        """
        + textwrap.indent(HOLD_A_JOB + "sys.stdin.readline()", " " * 8)
    )
    assert program.says() == "1"
    guardian = guardian_of(program.pid)
    assert os.getpgid(guardian) != os.getpgid(program.pid)
    eventually(lambda: os.readlink(f"/proc/{guardian}/cwd") == "/", "its own folder")
    files = set()
    for file in Path(f"/proc/{guardian}/fd").iterdir():
        # One that it has opened for a moment itself, to read its modules, may be gone by now.
        with contextlib.suppress(FileNotFoundError):
            files.add(os.readlink(file))
    assert files
    assert not [file for file in files if file.startswith("pipe:")]


def test_it_can_be_switched_off(server: SimulatedServer, start: StartProgram) -> None:
    program = start(HOLD_A_JOB + "sys.stdin.readline()\njob.destroy()", SPALLOC_GUARDIAN="no")
    assert program.says() == "1"
    eventually(
        lambda: len([c for c in server.commands_seen if c.name == "get_job_state"]) > 2,
        "keepalives",
    )
    assert guardians_of(program.pid) == []
    program.tell("go on")
    program.ends_well()


def test_without_an_interpreter_to_start_it_all_else_works_and_a_warning_says_so(
    start: StartProgram,
) -> None:
    program = start(
        "sys.executable = '/no/such/python'\n"
        + HOLD_A_JOB
        + "second = new_job()\nprint((job.id, second.id), flush=True)\n"
        + "second.destroy()\njob.destroy()"
    )
    assert program.says() == "1"
    assert program.says() == "(1, 2)"
    (warning,) = program.ends_well().splitlines()
    assert warning.startswith("no guardian could be started (")


def test_one_that_was_killed_is_followed_by_another(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(
        """
        import spalloc_gevent.transport.guardian
        spalloc_gevent.transport.guardian.REST_AFTER_FAILURE_S = 0.0
        """
        + textwrap.indent(HOLD_A_JOB + "sys.stdin.readline()\njob.destroy()", " " * 8)
    )
    assert program.says() == "1"
    first = guardian_of(program.pid)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: set(guardians_of(program.pid)) - {first}, "another guardian")
    program.tell("go on")
    program.ends_well()


def test_a_stranger_s_job_of_the_same_number_is_not_kept_alive_for_a_stopped_program(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(HOLD_A_JOB + "sys.stdin.readline()")
    assert program.says() == "1"
    guardian_of(program.pid)
    program.process.send_signal(signal.SIGSTOP)
    eventually(lambda: is_kept(server, 0), "the guardian's keepalive")
    server.restart(cold=True)
    with ProtocolClient(server.host, server.port, 20.0) as client:
        assert client.create_job(owner="you", keepalive=KEEPALIVE_S) == 1
        since = len(server.commands_seen)
        eventually(lambda: client.list_jobs() == [], "the end of the stranger's job")
        assert not is_kept(server, since)


def test_two_holders_of_one_job_are_guarded_one_by_one(
    server: SimulatedServer, start: StartProgram
) -> None:
    program = start(
        HOLD_A_JOB
        + "other = new_job(resume_job_id=job.id)\nother.close()\n"
        + f"hold_up({LONG_S})\nprint(job.state.name)\njob.destroy()"
    )
    assert program.says() == "1"
    assert program.says() == "ready"
    program.ends_well()


def test_jobs_of_all_intervals_are_heard_of_in_time(
    server: SimulatedServer, start: StartProgram
) -> None:
    """A job that comes while the program rests after its last line needs the next one earlier."""
    program = start(
        f"""
        slow = new_job(keepalive=60.0)
        import time
        time.sleep({KEEPALIVE_S / 10})
        quick = new_job(keepalive={KEEPALIVE_S})
        time.sleep({2 * KEEPALIVE_S})
        print(quick.state.name)
        quick.destroy()
        slow.destroy()
        """
    )
    assert program.says() == "ready"
    assert program.ends_well() == ""
    assert server.command_counts["job_keepalive"] == server.command_counts["list_jobs"] == 0


def test_one_that_ends_at_once_is_not_started_again_and_again(
    server: SimulatedServer, start: StartProgram, tmp_path: Path
) -> None:
    """An interpreter that cannot run by itself, as an embedding program may have."""
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    program = start(
        f"""
        import spalloc_gevent.transport.guardian as guardian
        guardian.REST_AFTER_FAILURE_S = 0.05
        sys.executable = {str(broken)!r}
        """
        + textwrap.indent(HOLD_A_JOB + "sys.stdin.readline()\njob.destroy()", " " * 8)
    )
    assert program.says() == "1"
    assert program.process.stderr is not None
    assert program.process.stderr.readline().startswith("no guardian could be started (")
    program.tell("go on")
    assert program.ends_well() == ""


def test_no_ended_process_is_left_by_a_job_of_a_moment(start: StartProgram) -> None:
    program = start(
        """
        new_job(keepalive=60.0).destroy()
        print("destroyed", flush=True)
        sys.stdin.readline()
        """
    )
    assert program.says() == "destroyed"
    # Those that nobody has waited for are among them.
    eventually(lambda: not descendants(program.pid), "the end of what started the guardian")
    program.tell("go on")
    program.ends_well()
