"""Commands in sessions of their own, run by this process."""

from __future__ import annotations

import os
import select
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from spalloc_gevent.scripts.batch import process, trial
from spalloc_gevent.scripts.batch.call_queue import CallQueue
from spalloc_gevent.scripts.batch.process import Process
from spalloc_gevent.scripts.batch.trial import CommandRun, Ending
from tests.cli.terminal import eventually, is_alive


@pytest.fixture(params=[True, False], ids=["waitid", "waitpid"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the system has, and with what older versions of macOS have."""
    monkeypatch.setattr(process, "_CAN_LOOK", request.param)


def start(folder: Path, line: str) -> Process:
    out, err = (str(folder / name) for name in ("out", "err"))
    return Process(["/bin/sh", "-c", line], {"PATH": os.environ["PATH"]}, out, err)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -PIPE $$", 141)]
)
def test_the_exit_code_is_a_shell_s(tmp_path: Path, line: str, code: int) -> None:
    process = start(tmp_path, line)
    assert process.wait() == code
    process.forget()
    process.forget()
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)


@pytest.mark.usefixtures("way")
def test_what_is_left_running_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "trap '' TERM; sleep 1000 & echo $!")
    assert process.wait() == 0
    left = int((tmp_path / "out").read_text())
    process.forget()
    eventually(lambda: not is_alive(left), "the end of what is left")


def test_it_has_no_terminal_no_input_and_files_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("of an earlier run, which was longer")
    process = start(tmp_path, "wc -c; echo err >&2; (: < /dev/tty) || echo none")
    assert process.wait() == 0
    process.forget()
    assert (tmp_path / "out").read_text().split() == ["0", "none"]
    assert (tmp_path / "err").read_text().startswith("err\n")


@pytest.mark.usefixtures("way")
def test_no_signal_goes_to_whoever_has_its_number_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(tmp_path, "exit 0")
    process.wait()
    process.forget()
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda *to: sent.append(to))
    process.end()
    process.kill()
    assert sent == []


def test_a_program_that_cannot_be_started_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        start(tmp_path / "nowhere", "exit 0")


def test_many_threads_start_and_wait_at_once(tmp_path: Path) -> None:
    def run(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        process = start(folder, f"exit {number}")
        try:
            return process.wait()
        finally:
            process.forget()

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(run, range(100))) == list(range(100))


# -- those that run ------------------------------------------------------------------------


def run_of(folder: Path, line: str, timeout_s: float | None = None) -> CommandRun:
    return CommandRun(start(folder, line), 7, "a", timeout_s)


def test_one_that_takes_too_long_is_ended_and_killed_if_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "KILL_AFTER_S", 0.0)
    run = run_of(tmp_path, "trap '' TERM; echo up; while :; do sleep 1000; done", 0.0)
    eventually((tmp_path / "out").read_text, "a command that refuses to end")
    run.check_limit()
    run.check_limit()
    assert run.process.wait() == 128 + signal.SIGKILL
    assert run.ending is Ending.TIMEOUT
    run.process.forget()


def test_one_is_ended_for_the_first_reason_only(tmp_path: Path) -> None:
    run = run_of(tmp_path, "sleep 1000")
    run.end(Ending.SIGNAL)
    run.end_if_lost(run.began_s + 1.0, ())
    assert run.ending is Ending.SIGNAL
    assert run.process.wait() == 128 + signal.SIGTERM
    run.process.forget()


def test_only_what_ran_before_the_server_was_asked_can_have_lost_its_job(tmp_path: Path) -> None:
    run = run_of(tmp_path, "sleep 1000")
    endings = []
    for after_s, job_ids in ((-1.0, ()), (1.0, (7,)), (1.0, (8,))):
        run.end_if_lost(run.began_s + after_s, job_ids)
        endings.append(run.ending)
    assert endings == [None, None, Ending.LOST]
    run.process.wait()
    run.process.forget()


# -- calls -----------------------------------------------------------------------------------


def test_calls_of_many_threads_wake_who_sleeps_and_none_is_lost() -> None:
    calls = CallQueue()
    seen: list[int] = []
    with ThreadPoolExecutor(8) as threads:
        for number in range(2000):
            threads.submit(calls.add, partial(seen.append, number))
        while len(seen) < 2000:
            assert select.select([calls.fileno()], [], [], 20.0)[0]
            calls.make_calls()
    assert sorted(seen) == list(range(2000))
    calls.close()
