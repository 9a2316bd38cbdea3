"""The process that ends a command when the one that runs it is gone."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from spalloc_gevent.scripts.orphan_watch import OrphanWatch
from tests.cli.terminal import is_alive

SLEEP = ["sleep", "1000"]


def test_a_watch_that_is_closed_ends_nothing_and_leaves_no_process() -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as command:
        watch = OrphanWatch()
        watch.watch(command.pid)
        watch.close()
        watch.close()
        assert is_alive(command.pid)
        command.kill()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_watch_that_never_had_a_command_ends() -> None:
    OrphanWatch().close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_command_goes_on_when_its_watch_was_killed() -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as command:
        watch = OrphanWatch()
        os.kill(watch._pid, signal.SIGKILL)
        os.waitid(os.P_PID, watch._pid, os.WEXITED | os.WNOWAIT)
        watch.watch(command.pid)
        watch.close()
        assert is_alive(command.pid)
        command.kill()
