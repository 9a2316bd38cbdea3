"""``tools/bench.py`` measures every part, tells all figures, and says by its code how it went."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as bench
from benchmarks.figures import Figure, at_most, one, outcome
from benchmarks.orders import WorkerError
from tools import environments

BENCHMARKS = environments.ROOT / "benchmarks"
LOST = Figure("jobs lost", "", one(2.0), goal=outcome("<=", 1.0))
SLOW = Figure("slow", "s", one(2.0), goal=at_most(1.0))


def test_every_part_is_found_and_nothing_else() -> None:
    names = [path.stem.removeprefix("bench_") for path in sorted(BENCHMARKS.glob("bench_*.py"))]
    assert bench.names() == names
    assert "calls" in names


def test_benchmarks_measure_what_users_may_import() -> None:
    inner = re.compile(r"^\s*(?:from|import) spalloc_gevent\.(?:engine|transport)\b", re.MULTILINE)
    sources = {path: path.read_text("utf-8") for path in BENCHMARKS.glob("*.py")}
    assert [path.name for path, source in sources.items() if inner.search(source)] == []


@pytest.mark.parametrize(
    ("figures", "quick", "code"),
    [([LOST], False, 1), ([LOST], True, 1), ([SLOW], False, 1), ([SLOW], True, 0), ([], True, 0)],
)
def test_the_exit_code_says_whether_a_goal_was_missed(
    figures: list[Figure],
    quick: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "measured_apart", lambda *_: list(bench.progress(figures, quick)))
    assert bench.main(["--only", "wire"]) == code
    assert ("MISSED" in capfd.readouterr().out) is bool(code)


def test_a_part_that_failed_is_named_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def measured_apart(name: str, _quick: bool) -> list[Figure]:
        if name == "wire":
            raise WorkerError("the program has ended")
        return [LOST]

    monkeypatch.setattr(bench, "measured_apart", measured_apart)
    assert bench.main(["--only", "wire", "--only", "java"]) == bench.EXIT_FAILED
    told = capfd.readouterr()
    assert "failed: the program has ended" in told.err
    assert "jobs lost" in told.out
    assert told.out.splitlines()[-1] == "FAILED: wire"


def test_a_part_is_measured_and_left_as_json_and_as_a_picture(tmp_path: Path) -> None:
    left, drawn = tmp_path / "figures.json", tmp_path / "figures.svg"
    tool = [sys.executable, str(environments.ROOT / "tools" / "bench.py"), "--quick", "--only=wire"]
    done = subprocess.run(
        [*tool, f"--json={left}", f"--svg={drawn}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(left.read_text("utf-8"))
    assert document["quick"] is True
    assert {figure["verdict"] for figure in document["figures"]} == {"not judged", ""}
    assert ElementTree.parse(drawn).getroot().tag.endswith("svg")
    assert "8 MB in 1,024-byte pieces" in done.stdout


def test_a_part_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "everything"])
    assert ended.value.code == 2
    assert "allocation" in capsys.readouterr().err
