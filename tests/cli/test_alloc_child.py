"""A wrapped command, run by this process: what is too slow to wait for in earnest."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.scripts import child
from spalloc_gevent.scripts.child import Child, TimeLimitError, wait_for_child
from spalloc_gevent.scripts.signals import Signals
from tests.cli.terminal import is_alive

ENVIRON = {"PATH": os.environ["PATH"]}
STUBBORN = "trap '' TERM; echo $$ > $PID; while :; do sleep 1000 & wait; done"


def run(
    line: str,
    *signals_to_us: int,
    pid_file: Path | None = None,
    limit: Deadline | None = None,
) -> int:
    """The exit code of a shell line during which we get these signals, one at each look.

    `pid_file`: what the line writes, as $PID, when it is ready for them. `limit`: its time limit.
    """
    left = list(signals_to_us)

    def look() -> None:
        if left and (pid_file is None or (pid_file.exists() and pid_file.read_text())):
            signal.raise_signal(left.pop(0))

    environ = {**ENVIRON, "PID": str(pid_file)}
    with Signals() as signals:
        signals.note()
        return wait_for_child(Child(["/bin/sh", "-c", line], environ), signals, look, limit)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "KILL_AFTER_S", 0.2)
    monkeypatch.setattr(child, "LOOK_EVERY_S", 0.02)


def test_a_command_that_ends_by_itself_gives_its_exit_code() -> None:
    assert run("exit 3") == 3


@pytest.mark.usefixtures("impatient")
def test_a_second_signal_gives_a_command_that_refuses_to_end_a_bounded_time(
    tmp_path: Path,
) -> None:
    assert run(STUBBORN, signal.SIGTERM, signal.SIGTERM, pid_file=tmp_path / "pid") == 137


@pytest.mark.usefixtures("impatient")
def test_what_a_command_leaves_running_after_a_signal_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    line = f'sh -c "{STUBBORN}" & wait'.replace("$$", "\\$\\$")
    assert run(line, signal.SIGTERM, pid_file=pid_file) == 143
    assert not is_alive(int(pid_file.read_text(encoding="utf-8")))


def test_what_a_command_leaves_running_without_a_signal_is_its_own_affair(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    assert run("sleep 1000 & echo $! > $PID", pid_file=pid_file) == 0
    pid = int(pid_file.read_text(encoding="utf-8"))
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_stopped_command_can_be_ended() -> None:
    assert run("kill -STOP $$; exit 3", signal.SIGTERM) == 143


def test_a_command_gets_the_signals_that_python_ignores() -> None:
    assert run("kill -PIPE $$; exit 3") == 128 + signal.SIGPIPE


@pytest.mark.parametrize("line", ["sleep 1000", "kill -STOP $$"], ids=["running", "stopped"])
def test_a_command_whose_time_is_up_is_ended(line: str) -> None:
    with pytest.raises(TimeLimitError):
        run(line, limit=Deadline(0.1))


@pytest.mark.usefixtures("impatient")
def test_what_refuses_to_end_when_its_time_is_up_is_killed_with_its_children(
    tmp_path: Path,
) -> None:
    pid_file = tmp_path / "pid"
    line = f'trap "" TERM; sh -c "{STUBBORN}" & wait'.replace("$$", "\\$\\$")

    def is_running() -> float:
        return 1.0 if pid_file.exists() and pid_file.read_text() else 0.0

    with pytest.raises(TimeLimitError):
        run(line, pid_file=pid_file, limit=Deadline(0.5, clock=is_running))
    assert not is_alive(int(pid_file.read_text(encoding="utf-8")))


def test_a_command_that_ends_before_its_time_is_up_gives_its_exit_code() -> None:
    assert run("exit 3", limit=Deadline(1000)) == 3
