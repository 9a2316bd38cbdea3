"""``tools/bench.py`` measures every part, tells all figures, and says by its code how it went."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import bench

MISSES = """
import json, pathlib, sys
spread = {"median": 2.0, "low": 1.0, "high": 3.0, "count": 3}
goal = {"sign": "<=", "limit": 1.0, "of_ratio": False, "is_outcome": True}
rest = dict.fromkeys(["floor", "existing", "ratio", "existing_ratio"])
figure = {"name": "jobs lost", "unit": "", "ours": spread, "goal": goal, **rest}
left = [word.partition("=")[2] for word in sys.argv if word.startswith("--json=")]
pathlib.Path(left[0]).write_text(json.dumps([figure]))
pathlib.Path(left[0] + ".argv").write_text(" ".join(sys.argv[2:]))
sys.exit(1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Benchmarks, of which one misses its goal, one fails, and one is none."""
    (tmp_path / "bench_missing.py").write_text(MISSES)
    (tmp_path / "bench_failing.py").write_text("raise SystemExit(2)")
    (tmp_path / "helper.py").write_text("raise SystemExit(1)")
    return tmp_path


def test_every_benchmark_is_found_and_nothing_else(folder: Path) -> None:
    assert bench.names(folder) == ["failing", "missing"]


def test_benchmarks_measure_what_users_may_import() -> None:
    inner = re.compile(r"^\s*(?:from|import) spalloc_gevent\.(?:engine|transport)\b", re.MULTILINE)
    sources = {path: path.read_text("utf-8") for path in bench.BENCHMARKS.glob("*.py")}
    assert bench.BENCHMARKS / "bench_calls.py" in sources
    assert [path.name for path, source in sources.items() if inner.search(source)] == []


def test_one_that_leaves_no_figures_has_failed_and_one_that_misses_a_goal_has_not(
    folder: Path, tmp_path: Path
) -> None:
    python = Path(sys.executable)
    assert bench.run(python, bench.names(folder), tmp_path, False, folder) == ["failing"]
    assert [path.stem for path in tmp_path.glob("*.json")] == ["missing"]


@pytest.mark.parametrize(("quick", "argv"), [(True, "--quick"), (False, "")])
def test_the_benchmarks_are_told_to_be_quick(
    folder: Path, tmp_path: Path, quick: bool, argv: str
) -> None:
    bench.run(Path(sys.executable), ["missing"], tmp_path, quick, folder)
    assert (tmp_path / "missing.json.argv").read_text() == argv


def test_a_missed_goal_is_told_by_the_exit_code(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = Path(sys.executable)
    bench.run(python, ["missing"], tmp_path, False, folder)
    assert bench.report(python, [tmp_path / "missing.json"], []) == 1
    assert "MISSED" in capfd.readouterr().out


def test_a_benchmark_that_failed_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tools.bench.run", lambda *_: ["wire"])
    assert bench.main(["--only", "wire"]) == bench.EXIT_FAILED
    assert capfd.readouterr().out.splitlines()[-1] == "FAILED: wire"


def test_a_part_is_measured_and_left_as_json_and_as_a_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    left, drawn = tmp_path / "figures.json", tmp_path / "figures.svg"
    assert bench.main(["--quick", "--only", "wire", f"--json={left}", f"--svg={drawn}"]) == 0
    document = json.loads(left.read_text("utf-8"))
    assert document["quick"] is True
    assert {figure["verdict"] for figure in document["figures"]} == {"not judged", ""}
    assert ElementTree.parse(drawn).getroot().tag.endswith("svg")
    assert "8 MB in 1,024-byte pieces" in capfd.readouterr().out


def test_a_part_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "everything"])
    assert ended.value.code == 2
    assert "allocation" in capsys.readouterr().err
