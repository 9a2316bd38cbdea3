"""``python -m spalloc_gevent.config`` as a user sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spalloc_gevent import config

ROOT = Path(config.__file__).parent.parent


class Account:
    """Somebody's home, system folder and working directory, all empty at first."""

    def __init__(self, folder: Path) -> None:
        self.system = folder / "etc" / "spalloc"
        self.user = folder / "home" / "spalloc"
        self.folder = folder / "work"
        for place in (self.system.parent, self.user.parent, self.folder):
            place.mkdir()
        self.local = self.folder / ".spalloc"

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.user.parent),
            "XDG_CONFIG_DIRS": str(self.system.parent),
            "XDG_CONFIG_HOME": str(self.user.parent),
            **more,
        }

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            # Any warning at start-up would be an error.
            [sys.executable, "-W", "error", "-m", "spalloc_gevent.config", *arguments],
            cwd=self.folder,
            env=self.environ(**environ),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path)


def words(text: str, first: str) -> list[str]:
    """The words of the only line that begins with `first`."""
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [first]]
    return line.split()


def test_search_path_is_discovered_by_running_the_module(account: Account) -> None:
    run = account.run()
    assert run.returncode == 0
    assert [line.split()[0] for line in run.stdout.splitlines()[:4]] == [
        "Default",
        str(account.system),
        str(account.user),
        "./.spalloc",
    ]
    assert run.stdout.startswith("Default search path (lowest-priority first):\n")


def test_module_runs_without_any_warning_on_standard_error(account: Account) -> None:
    assert account.run().stderr == ""


def test_files_that_exist_are_told_from_those_that_do_not(account: Account) -> None:
    account.user.write_text("[spalloc]\n")
    lines = account.run().stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines[1:4]] == [
        "does not exist",
        "exists",
        "does not exist",
    ]


def test_each_value_is_shown_with_where_it_came_from(account: Account) -> None:
    account.system.write_text("[spalloc]\nhostname = s\nowner = s\nmachine = s\n")
    account.user.write_text("[spalloc]\nowner = u\nmachine = u\n")
    account.local.write_text("[spalloc]\nmachine = l\ntags = a,b\n")
    shown = account.run(SPALLOC_KEEPALIVE="none").stdout
    assert words(shown, "hostname") == ["hostname", "s", str(account.system)]
    assert words(shown, "owner") == ["owner", "u", str(account.user)]
    assert words(shown, "machine") == ["machine", "l", "./.spalloc"]
    assert words(shown, "tags") == ["tags", "a,", "b", "./.spalloc"]
    assert words(shown, "port") == ["port", "22244", "default"]
    assert words(shown, "keepalive") == [
        *("keepalive", "None", "environment", "variable", "SPALLOC_KEEPALIVE"),
    ]


def test_every_option_is_shown_once(account: Account) -> None:
    shown = account.run().stdout
    for option in config.OPTIONS:
        assert words(shown, option.name)[-1] == "default"


def test_environment_variables_that_are_set_are_shown(account: Account) -> None:
    shown = account.run(SPALLOC_OWNER="me", SPALLOC_PORT="", SPALLOC_HOST="h").stdout
    assert words(shown, "SPALLOC_OWNER") == ["SPALLOC_OWNER", "me"]
    assert words(shown, "SPALLOC_PORT")[1:] == ["not", "used:", "it", "is", "empty"]
    assert words(shown, "SPALLOC_HOST")[1:3] == ["not", "used:"]
    assert words(shown, "SPALLOC_HOST")[-1] == "SPALLOC_HOSTNAME"


def test_no_environment_variable_is_said_as_such(account: Account) -> None:
    assert "Environment variables (they outrank the files):\nnone are set\n" in account.run().stdout


def test_variables_of_another_tool_are_never_shown(account: Account) -> None:
    run = account.run(SPALLOC_USER="someone", SPALLOC_PASSWORD="secret", SPALLOC_JOB_ID="12")
    for hidden in ("someone", "secret", "SPALLOC_USER", "SPALLOC_PASSWORD", "SPALLOC_JOB_ID"):
        assert hidden not in run.stdout + run.stderr


def test_bad_value_is_one_line_on_standard_error_and_exit_code_2(account: Account) -> None:
    account.user.write_text("[spalloc]\nport = http\n")
    run = account.run()
    assert run.returncode == 2
    assert run.stderr == (
        f"error: {account.user}: port cannot be 'http': give a whole number from 1 to 65535\n"
    )


def test_search_path_is_shown_even_when_a_file_cannot_be_understood(account: Account) -> None:
    account.local.write_text("hostname = x\n")
    run = account.run()
    assert run.returncode == 2
    assert run.stderr.startswith("error: ./.spalloc, line 1: ")
    assert words(run.stdout, "./.spalloc") == ["./.spalloc", "exists"]


def test_unknown_option_is_one_line_on_standard_error_and_no_failure(account: Account) -> None:
    account.local.write_text("[spalloc]\nkeep_alive = 5\n")
    run = account.run()
    assert run.returncode == 0
    assert run.stderr == (
        "warning: ./.spalloc: passed over 'keep_alive', because there is no such option; "
        "the nearest is 'keepalive'\n"
    )


def test_folder_in_place_of_a_file_is_said_to_be_one(account: Account) -> None:
    account.user.mkdir()
    run = account.run()
    assert run.returncode == 0
    assert words(run.stdout, str(account.user))[1:] == ["a", "folder,", "passed", "over"]
    assert "because it is a folder" in run.stderr


def test_help_describes_every_option(account: Account) -> None:
    run = account.run("--help")
    assert run.returncode == 0
    for option in config.OPTIONS:
        assert f"  {option.name} ({option.variable})\n" in run.stdout


def test_unexpected_argument_is_a_usage_error(account: Account) -> None:
    run = account.run("surprise")
    assert run.returncode == 2
    assert "unrecognized arguments: surprise" in run.stderr
    assert "Traceback" not in run.stderr


def test_letters_that_the_terminal_lacks_do_no_harm(account: Account) -> None:
    account.local.write_text("[spalloc]\nowner = Zoë\n", encoding="utf-8")
    run = account.run(PYTHONIOENCODING="ascii")
    assert run.returncode == 0
    assert words(run.stdout, "owner") == ["owner", "Zo\\xeb", "./.spalloc"]


def test_reader_that_has_gone_is_no_error(account: Account) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = subprocess.run(
            [sys.executable, "-m", "spalloc_gevent.config"],
            cwd=account.folder,
            env=account.environ(),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize(("stream", "code"), [("stdout", 2), ("stderr", 0)])
def test_a_full_disk_is_told_and_what_is_only_told_ends_nothing(
    account: Account, stream: str, code: int
) -> None:
    account.local.write_text("[spalloc]\nprot = 1\n")
    with open("/dev/full", "wb") as full:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
        argv = [sys.executable, "-m", "spalloc_gevent.config"]
        run = subprocess.run(
            argv, cwd=account.folder, env=account.environ(), check=False, text=True, **pipes
        )  # type: ignore[call-overload]
    assert run.returncode == code
    if stream == "stdout":
        told = run.stderr.splitlines()[-1]
        assert told == "error: this cannot be written: No space left on device"
    else:
        assert "hostname" in run.stdout


def test_main_returns_the_exit_code(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(config, "SEARCH_PATH", [str(account.user)])
    assert config.main([]) == 0
    account.user.write_text("[spalloc]\nmin_ratio = 2\n")
    assert config.main([]) == 2
    assert "min_ratio cannot be '2'" in capsys.readouterr().err


def test_what_is_no_file_is_shown_as_passed_over(account: Account) -> None:
    os.mkfifo(account.folder / ".spalloc")
    run = account.run()
    assert words(run.stdout, "./.spalloc")[1:] == [
        "a",
        "pipe",
        "or",
        "a",
        "device,",
        "passed",
        "over",
    ]
    assert "passed over, because it is a pipe or a device" in run.stderr
    assert run.returncode == 0
