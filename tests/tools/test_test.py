"""``tools/test.py`` runs every step, and fails when any of them does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tools import browser, environments
from tools import test as runner
from tools.test import Step, environ_for, run, steps


def test_the_tests_come_last_and_get_the_extra_arguments() -> None:
    todo = steps(["-k", "pool"], {})
    assert [step.name for step in todo] == ["ruff check", "ruff format", "mypy", "pytest"]
    assert todo[-1].arguments[-2:] == ("-k", "pool")


def test_other_pythons_run_a_part_of_the_tests_before_the_others(
    capfd: pytest.CaptureFixture[str],
) -> None:
    todo = steps([], {"python3.10": Path("/old/bin/python")})
    assert [step.name for step in todo[-2:]] == ["pytest on python3.10", "pytest"]
    assert [step.python for step in todo[-2:]] == [Path("/old/bin/python"), None]
    own = Step("own", ("-c", "import sys; print(sys.argv)"), Path(sys.executable))
    assert run(Path("/nowhere"), [own], os.environ) == []
    assert capfd.readouterr().out == "== own\n['-c']\n"


def test_every_step_runs_though_one_failed_and_the_failed_one_is_named(
    capfd: pytest.CaptureFixture[str],
) -> None:
    todo = [
        Step("lint", ("-c", "raise SystemExit(3)")),
        Step("tests", ("-c", "print('7 passed')")),
    ]
    assert run(Path(sys.executable), todo, os.environ) == ["lint"]
    assert capfd.readouterr().out.splitlines() == [
        "== lint",
        "== lint failed (exit code 3)",
        "== tests",
        "7 passed",
    ]


def test_steps_read_no_input(capfd: pytest.CaptureFixture[str]) -> None:
    todo = [Step("reader", ("-c", "import sys; print(repr(sys.stdin.read()))"))]
    assert run(Path(sys.executable), todo, os.environ) == []
    assert capfd.readouterr().out.splitlines()[-1] == "''"


def test_commands_of_the_environment_are_found_first() -> None:
    python = Path("/env/bin/python")
    assert environ_for(python, {"PATH": "/usr/bin", "A": "b"}) == {
        "PATH": "/env/bin:/usr/bin",
        "A": "b",
    }
    assert environ_for(python, {})["PATH"] == "/env/bin"


@pytest.fixture(autouse=True)
def no_other_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "other_pythons", list)


def test_where_no_other_python_is_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.other_pythons() == {}
    assert "on this one alone" in capsys.readouterr().out


def test_another_python_whose_environment_cannot_be_made_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = environments.Recipe("python3.10", (str(tmp_path / "no-such-package"),))
    monkeypatch.setattr(environments, "other_pythons", lambda: [broken])
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    monkeypatch.setattr(runner, "prepared", lambda: Path(sys.executable))
    assert runner.main([]) == 1
    assert "cannot make the environment python3.10" in capsys.readouterr().err


@pytest.mark.parametrize(("failed", "code"), [([], 0), (["mypy"], 1)])
def test_the_exit_code_says_whether_anything_failed(
    failed: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "python_of", lambda _: Path(sys.executable))
    monkeypatch.setattr(browser, "ready", lambda: "chromium")
    monkeypatch.setattr(runner, "run", lambda *_: failed)
    assert runner.main([]) == code


def test_a_browser_that_cannot_be_had_is_told_before_the_tests_that_need_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> str:
        raise browser.BrowserError("no browser was found")

    monkeypatch.setattr(environments, "python_of", lambda _: Path(sys.executable))
    monkeypatch.setattr(browser, "ready", fail)
    monkeypatch.setattr(runner, "run", lambda *_: ["pytest"])
    assert runner.main([]) == 1
    assert capsys.readouterr().err == "no browser was found\n"


def test_an_environment_that_cannot_be_made_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> Path:
        raise environments.EnvironmentBuildError(f"cannot make the environment {name}: no network")

    monkeypatch.setattr(environments, "python_of", fail)
    assert runner.main([]) == 1
    assert capsys.readouterr().err == "cannot make the environment project: no network\n"
