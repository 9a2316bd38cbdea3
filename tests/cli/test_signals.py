"""Signals that batch systems and supervisors send: what ends a program gives the boards back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Shell, Site
from tests.cli.piped import Piped
from tests.cli.terminal import eventually, is_alive

ENDING = [signal.SIGXCPU, signal.SIGALRM, signal.SIGQUIT, signal.SIGPROF]
PASSED_ON = [signal.SIGUSR1, signal.SIGUSR2]

UP = "echo up; "
FOREVER = "echo $$; exec sleep 1000"
COUNTS = "trap 'echo got' USR1 USR2; echo up; while [ ! -e go ]; do sleep 0.05; done; exit 3"


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("signum", ENDING)
def test_what_ends_a_program_ends_the_command_and_gives_the_boards_back(
    site: Site, signum: signal.Signals
) -> None:
    process = site.shell.start("alloc", "-q", "-c", FOREVER)
    pid = int(line_of(process))
    process.send_signal(signum)
    process.communicate()
    assert process.returncode == 128 + signum
    assert not is_alive(pid)
    assert site.destroyed() == [(1, None)]


@pytest.mark.parametrize("signum", [*ENDING, *PASSED_ON])
def test_what_ends_a_program_gives_the_job_back_that_it_waits_for(
    slow_site: Site, signum: signal.Signals
) -> None:
    process = slow_site.shell.start("alloc")
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signum)
    _, told = process.communicate()
    assert (process.returncode, told) == (128 + signum, f"Job 1: Ended by {signum.name}.\n")
    assert slow_site.destroyed() == [(1, f"Ended by {signum.name}.")]


@pytest.mark.parametrize("signum", [*ENDING, *PASSED_ON])
def test_what_ends_a_program_ends_the_prompt_and_gives_the_boards_back(
    site: Site, signum: signal.Signals
) -> None:
    terminal = site.shell.on_terminal("alloc")
    terminal.read_until("<Press enter when done>")
    terminal.signal(signum)
    assert terminal.wait() == 128 + signum
    assert site.destroyed() == [(1, None)]


@pytest.mark.parametrize("signum", PASSED_ON)
def test_news_for_the_command_is_passed_on_as_often_as_it_comes_and_ends_nothing(
    site: Site, signum: signal.Signals
) -> None:
    process = site.shell.start("alloc", "-q", "-c", COUNTS)
    assert line_of(process) == "up"
    for _ in range(4):
        process.send_signal(signum)
        assert line_of(process) == "got"
    (site.shell.folder / "go").touch()
    process.communicate()
    assert process.returncode == 3
    assert site.destroyed() == [(1, None)]


def test_news_that_the_command_does_not_expect_ends_it_and_gives_the_boards_back(
    site: Site,
) -> None:
    process = site.shell.start("alloc", "-q", "-c", FOREVER)
    pid = int(line_of(process))
    process.send_signal(signal.SIGUSR1)
    process.communicate()
    assert process.returncode == 128 + signal.SIGUSR1
    assert not is_alive(pid)
    assert site.destroyed() == [(1, None)]


def test_news_for_the_boot_command_does_not_keep_the_command_from_being_run(site: Site) -> None:
    process = site.shell.start(
        "alloc", "-q", "--boot-command", COUNTS.replace("3", "0"), "-c", "id"
    )
    assert line_of(process) == "up"
    process.send_signal(signal.SIGUSR1)
    assert line_of(process) == "got"
    (site.shell.folder / "go").touch()
    output, _ = process.communicate()
    assert (process.returncode, output.startswith("uid=")) == (0, True)


def test_every_case_of_a_campaign_gets_the_news_and_the_campaign_goes_on(site: Site) -> None:
    folder = site.shell.folder
    case = "trap 'touch got-{case}' USR1; touch up-{case}; while [ ! -e go ]; do sleep 0.05; done"
    (folder / "cases").write_text("".join(f"{name} cd '{folder}'; {case}\n" for name in "abc"))
    log = str(folder / "log")
    terminal = site.shell.on_terminal("batch", str(folder / "cases"), "-j", "2", "--joblog", log)
    # That both run is known to whoever passes the signal on.
    terminal.read_match(r"(longest: [ab] [\d.]+ s, [ab] [\d.]+ s)")
    eventually(lambda: len(list(folder.glob("up-*"))) == 2, "two that expect it")
    terminal.signal(signal.SIGUSR1)
    eventually(lambda: len(list(folder.glob("got-*"))) == 2, "news for both")
    (folder / "go").touch()
    assert terminal.wait() == 0
    assert "SIGUSR1: passed on to 2 commands" in terminal.screen
    documents = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
    assert {document["case"]: document["verdict"] for document in documents} == dict.fromkeys(
        "abc", "passed"
    )


@pytest.mark.parametrize("signum", ENDING)
def test_what_ends_a_program_ends_a_campaign_and_gives_the_boards_back(
    site: Site, signum: signal.Signals
) -> None:
    folder = site.shell.folder
    (folder / "cases").write_text("a echo $$ > pid; exec sleep 1000\n", encoding="utf-8")
    process = Piped(site.shell.start("batch", "cases", "--json"))
    eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text(), "a case")
    process.process.send_signal(signum)
    assert process.wait() == 128 + signum
    assert f"{signum.name}: ending" in process.err
    assert not is_alive(int((folder / "pid").read_text(encoding="utf-8")))
    assert [job_id for job_id, _ in site.destroyed()] == [1]


# ------------------------------------------------------------------ stopped and continued

SUPERVISOR = """
import os, subprocess, sys
os.setpgid(0, 0)
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(command.pid, command.stdout.readline(), end="", flush=True)
print(command.wait(), flush=True)
"""
"""A program that starts a command in its own process group, and tells its pid and its exit code."""


# A shell's loop may be stopped in the middle of starting something, which is a state of its own.
UNTIL_GO = """
import os, sys, time
print(os.getpid(), flush=True)
while not os.path.exists("go"):
    time.sleep(0.05)
sys.exit(3)
"""


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


@contextmanager
def supervised(site: Site, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A supervisor and its command, in a process group of their own."""
    # In our session, so that the new group has somebody outside it who could continue it.
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, *Shell.argv(*argv)],
        stdout=subprocess.PIPE,
        env=site.shell.environ,
        cwd=site.shell.folder,
        text=True,
    )
    try:
        yield supervisor
    finally:
        os.killpg(supervisor.pid, signal.SIGKILL)
        supervisor.communicate()


def test_a_stop_that_is_sent_to_it_alone_stops_it_and_its_command_and_nobody_else(
    site: Site,
) -> None:
    with supervised(site, "alloc", "-q", "-c", sys.executable, "-c", UNTIL_GO) as supervisor:
        pid, command = map(int, line_of(supervisor).split())
        os.kill(pid, signal.SIGTSTP)
        eventually(lambda: (state_of(pid), state_of(command)) == ("T", "T"), "both stopped")
        assert state_of(supervisor.pid) != "T"
        (site.shell.folder / "go").touch()
        os.kill(pid, signal.SIGCONT)
        assert line_of(supervisor) == "3"
    assert site.destroyed() == [(1, None)]


def test_a_stop_that_is_sent_to_a_watcher_alone_stops_nobody_else(site: Site) -> None:
    with supervised(site, "ps", "--watch") as supervisor:
        pid = int(line_of(supervisor).split()[0])
        os.kill(pid, signal.SIGTSTP)
        eventually(lambda: state_of(pid) == "T", "the watcher stopped")
        assert state_of(supervisor.pid) != "T"
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGINT)
        assert line_of(supervisor) == "0"


# ------------------------------------------------------ what cannot be handled

WITH_CHILD = (
    "trap '' USR1; sleep 1000 & child=$!; trap 'echo $$ $child > pids' USR1; : > up; "
    "while :; do wait; done"
)
"""Writes both numbers when it gets SIGUSR1: from then on, it is known to be looked after."""
STUBBORN = f"trap '' TERM; {WITH_CHILD}"
POLITE = f"trap 'echo TERM > got; exit' TERM; {WITH_CHILD}"


def kill_outright(site: Site, name: str, line: str) -> list[int]:
    """Have a shell line run by ``spalloc`` or ``spalloc-batch`` that is killed; the line's pids."""
    folder = site.shell.folder
    (folder / "cases.txt").write_text(f"one {line}\n")
    arguments = ["-q", "-c", line] if name == "alloc" else ["cases.txt"]
    process = site.shell.start(name, *arguments)
    eventually((folder / "up").exists, "the command running")

    def has_answered() -> bool:
        process.send_signal(signal.SIGUSR1)
        pids = folder / "pids"
        return pids.exists() and pids.read_text().endswith("\n")

    eventually(has_answered, "a signal passed on")
    process.kill()
    process.wait()
    return [int(word) for word in (folder / "pids").read_text().split()]


@pytest.mark.parametrize("name", ["alloc", "batch"])
@pytest.mark.parametrize("line", [WITH_CHILD, STUBBORN], ids=["obedient", "stubborn"])
def test_a_command_and_all_that_it_has_started_end_when_spalloc_is_killed_outright(
    site: Site, name: str, line: str
) -> None:
    command, its_child = kill_outright(site, name, line)
    eventually(lambda: not is_alive(command), "the end of the command")
    eventually(lambda: not is_alive(its_child), "the end of what it has started")


def test_a_command_can_tidy_up_when_spalloc_is_killed_outright(site: Site) -> None:
    command, _ = kill_outright(site, "alloc", POLITE)
    eventually(lambda: not is_alive(command), "the end of the command")
    assert (site.shell.folder / "got").read_text() == "TERM\n"
