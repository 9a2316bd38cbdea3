"""Children announce themselves, end when told and never outlive their parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.environments import ROOT
from tools.processes import Child, ChildError

_PREAMBLE = """
import sys
sys.path.insert(0, {root!r})
from tools import processes
def option(name):
    return int(sys.argv[sys.argv.index(name) + 1])
parent_pid, fd = option("--parent-pid"), option("--announce-fd")
"""
_SERVES = """
stop = processes.stop_on_signals()
processes.announce(fd, "here I am")
processes.serve_until_stopped(parent_pid, stop)
"""
_IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
processes.announce(fd, "never")
time.sleep(600)
"""


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.kill()


def python_child(children: list[Child], folder: Path, body: str) -> Child:
    script = folder / "child.py"
    script.write_text(_PREAMBLE.format(root=str(ROOT)) + body)
    child = Child([sys.executable, str(script)], log_path=folder / "log")
    children.append(child)
    return child


def test_a_child_announces_itself_and_ends_when_told(children: list[Child], tmp_path: Path) -> None:
    child = python_child(children, tmp_path, _SERVES)
    assert child.announcement(30) == "here I am"
    assert child.exit_code is None
    child.terminate(30)
    assert child.exit_code == 0


def test_a_child_that_ends_before_it_is_ready_shows_its_log(
    children: list[Child], tmp_path: Path
) -> None:
    child = python_child(children, tmp_path, "sys.exit('the dog ate my boards')")
    with pytest.raises(ChildError, match="ended with exit code 1") as caught:
        child.announcement(30)
    assert "the dog ate my boards" in str(caught.value)


def test_a_child_that_stays_silent_is_given_up(children: list[Child], tmp_path: Path) -> None:
    child = python_child(children, tmp_path, "import time; time.sleep(600)")
    with pytest.raises(ChildError, match=r"was not ready after 0\.1 s"):
        child.announcement(0.1)


def test_a_child_that_does_not_end_in_time_is_killed_and_reported(
    children: list[Child], tmp_path: Path
) -> None:
    child = python_child(children, tmp_path, _IGNORES_SIGTERM)
    child.announcement(30)
    with pytest.raises(ChildError, match=r"did not end within 0\.1 s and was killed"):
        child.terminate(0.1)
    assert child.exit_code == -signal.SIGKILL


def test_the_log_tail_leaves_out_what_an_earlier_child_wrote(
    children: list[Child], tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("long ago\n")
    child = python_child(children, tmp_path, "print('now'); " + "sys.exit(1)")
    with pytest.raises(ChildError):
        child.announcement(30)
    assert child.log_tail() == "now"


def test_a_command_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="cannot run /nonexistent/python"):
        Child(["/nonexistent/python"], log_path=tmp_path / "log")


def test_a_child_ends_when_its_parent_is_killed_though_a_fork_holds_its_pipes(
    tmp_path: Path,
) -> None:
    parent = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tools.processes import Child
folder = Path({str(tmp_path)!r})
child = Child([sys.executable, str(folder / "child.py")], log_path=folder / "log")
child.announcement(30)
fork = os.fork() or time.sleep(600)
print(child.pid, fork, flush=True)
time.sleep(600)
"""
    (tmp_path / "child.py").write_text(_PREAMBLE.format(root=str(ROOT)) + _SERVES)
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child_pid, fork_pid = map(int, process.stdout.readline().split())
        child = os.pidfd_open(child_pid)
        try:
            process.kill()
            process.wait()
            assert select.select([child], [], [], 30)[0], "the child outlived its parent"
        finally:
            os.close(child)
            os.kill(fork_pid, signal.SIGKILL)


def test_a_forked_copy_of_a_child_leaves_the_process_alone(
    children: list[Child], tmp_path: Path
) -> None:
    child = python_child(children, tmp_path, _SERVES)
    child.announcement(30)
    copy = os.fork()
    if copy == 0:
        child.kill()
        os._exit(0)
    assert os.waitpid(copy, 0)[1] == 0
    assert child.exit_code is None
