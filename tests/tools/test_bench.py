"""``tools/bench.py`` runs every benchmark; the core's works on a small scale on the real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bench_core import Row, main, table
from benchmarks.raw_sockets import Command, RawSockets
from tests.conftest import MakeRealServer
from tools import bench, environments


@pytest.mark.real_server
def test_the_quick_benchmark_loses_no_job_and_leaves_the_server_answering() -> None:
    program = environments.ROOT / "benchmarks" / "bench_core.py"
    done = subprocess.run([sys.executable, str(program), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    judged = {
        line.partition("  ")[0] for line in done.stdout.splitlines() if line.rstrip().endswith("ok")
    }
    assert judged == {
        "connections for 300 jobs",
        "processes",
        "300 jobs held 10 s, keepalive 4 s, main thread asleep",
        "300 jobs held 10 s, keepalive 4 s, main thread burning CPU",
        "SIGKILL amid 100 busy greenlets: server answers",
    }


@pytest.mark.parametrize(("good", "code"), [(True, 0), (None, 0), (False, 1)])
def test_the_exit_code_says_whether_anything_judged_was_missed(
    good: bool | None,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = Row("jobs lost", "3", wanted="0", good=good)
    monkeypatch.setattr("benchmarks.bench_core.measure", lambda _: iter([row]))
    assert main(["--quick"]) == code
    assert ("MISSED" in capsys.readouterr().out) is (good is False)


def test_the_table_shows_a_figure_beside_its_floor() -> None:
    row = Row("version()", "12 /s", "20 /s", "0.60", ">= 0.6", good=True)
    last = table([row]).splitlines()[-1]
    assert last.split() == ["version()", "12", "/s", "20", "/s", "0.60", ">=", "0.6", "ok"]


@pytest.mark.real_server
def test_raw_sockets_get_an_answer_to_every_command(make_real_server: MakeRealServer) -> None:
    server = make_real_server()
    with RawSockets(server.host, server.port, 3) as sockets:
        assert sockets.run([("version", (), {})] * 10) == ["1!7.0.0"] * 10
        assert sockets.run_blocking([("version", (), {})] * 10) == ["1!7.0.0"] * 10


@pytest.mark.real_server
def test_raw_sockets_do_not_hide_a_refusal(make_real_server: MakeRealServer) -> None:
    server = make_real_server()
    refused: Command = ("create_job", (), {"owner": "me", "machine": "m", "tags": ["default"]})
    with RawSockets(server.host, server.port, 2) as sockets:
        for run in (sockets.run, sockets.run_blocking):
            with pytest.raises(ValueError, match="the server refused"):
                run([refused])


def test_every_benchmark_gets_the_arguments_and_the_failed_one_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench_a.py").write_text("import sys; print(sys.argv[1:]); sys.exit(1)")
    (tmp_path / "bench_b.py").write_text("import sys; print(sys.argv[1:])")
    (tmp_path / "helper.py").write_text("raise SystemExit(1)")
    assert bench.run(Path(sys.executable), ["--quick"], tmp_path) == ["bench_a"]
    assert capfd.readouterr().out.splitlines() == [
        "== bench_a",
        "['--quick']",
        "== bench_b",
        "['--quick']",
    ]
