"""``tools/demo.py`` shows the main job, and says so when it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import environments, launching

_DEMO = environments.ROOT / "tools" / "demo.py"


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_DEMO), *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_demo_needs_what_the_package_needs_and_holds_200_jobs() -> None:
    done = _demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running on: demo" in done.stdout
    assert "job 3: 28 x 16 chips, booted from 127." in done.stdout
    assert "  200 jobs created in " in done.stdout
    assert "  1 process and its guardian, " in done.stdout
    assert done.stdout.endswith("All of it worked.\n")
    assert "Traceback" not in done.stderr


def test_the_demo_fails_when_any_part_of_it_does() -> None:
    done = _demo("--jobs", "0")
    assert done.returncode == 1
    assert "the demonstration failed: not so: 0 jobs were held" in done.stderr
    assert "worked" not in done.stdout


def test_an_environment_that_cannot_be_made_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> Path:
        raise environments.EnvironmentBuildError(f"cannot make the environment {name}: no network")

    monkeypatch.setattr(environments, "python_of", fail)
    assert launching.launch("_demo_main.py", "runtime", []) == launching.FAILED
    assert capsys.readouterr().err == "cannot make the environment runtime: no network\n"
