"""``tools/soak.py`` in short, and what it makes of bad news."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from tools import _soak_main, environments

_SOAK = environments.ROOT / "tools" / "soak.py"


@pytest.mark.real_server
def test_a_short_soak_loses_no_job_and_gives_no_wrong_answer() -> None:
    command = [sys.executable, str(_SOAK), "--seconds=12", "--jobs=60", "--seed=4"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {line.rpartition("  ")[0].strip(): line.split()[-1] for line in done.stdout.splitlines()}
    assert (told["wrong answers"], told["jobs lost"], told["jobs left behind at the end"]) == (
        "0",
        "0",
        "0",
    )
    assert told["commands behind an unanswered one"] == "0"
    assert int(told["calls made"]) > 1000
    assert any(name.startswith("faults: ") for name in told)
    assert "Traceback" not in done.stderr


def _told(**changes: Any) -> dict[str, Any]:
    return {
        "calls": {"version": 3},
        "failures": {},
        "wrong": [],
        "cycles": 1,
        "threads_before": 1,
        "threads_after": 1,
        "descriptors_before": 1,
        "descriptors_after": 1,
        "peak_kib": 1,
        "gone": [],
        **changes,
    }


def test_the_table_tells_of_wrong_answers_and_lost_jobs() -> None:
    told = _told(calls={"version": 3, "wrong": 1}, wrong=["version: 1 instead of 2"])
    counted: Any = SimpleNamespace(counts=Counter())
    text = _soak_main.table(_soak_main._rows(counted, counted, told, [7], set()))
    assert "  version: 1 instead of 2" in text.splitlines()
    lines = dict(line.rsplit(maxsplit=1) for line in text.splitlines() if line[-1:].isdigit())
    assert (lines["wrong answers"], lines["jobs lost"], lines["calls made"]) == ("1", "1", "3")


@pytest.mark.parametrize(("well", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_all_was_well(
    well: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_soak_main, "soak", lambda *_: ([("jobs lost", 1)], well))
    assert _soak_main.main(["--seconds=1", "--jobs=1", "--seed=1"]) == code
    assert ("NOT WELL" in capsys.readouterr().out) is not well


def test_a_soak_takes_half_an_hour_unless_told_otherwise() -> None:
    given = _soak_main.parser().parse_args([])
    assert (given.minutes, given.seconds, given.jobs) == (None, None, 300)
