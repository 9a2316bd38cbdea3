"""Every benchmark works on a small scale, on its real servers, and what it judges then is so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.raw_sockets import Command, RawSockets
from tests.conftest import MakeRealServer
from tools import environments


def quick(name: str, folder: Path) -> list[dict[str, Any]]:
    """The figures of a quick run, which must have missed no goal."""
    left = folder / "figures.json"
    program = [sys.executable, str(environments.ROOT / "benchmarks" / "__main__.py")]
    command = [*program, "--quick", "--only", name, f"--json={left}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: list[dict[str, Any]] = json.loads(left.read_text("utf-8"))["figures"]
    return figures


def judged(figures: list[dict[str, Any]]) -> list[str]:
    assert {figure["verdict"] for figure in figures} <= {"ok", "not judged", ""}
    return [figure["name"].strip() for figure in figures if figure["verdict"] == "ok"]


def goals(figures: list[dict[str, Any]]) -> dict[str, float]:
    return {figure["name"].strip(): figure["goal"]["limit"] for figure in figures if figure["goal"]}


def without_the_existing_client(figures: list[dict[str, Any]]) -> set[str]:
    """The figures that are told beside the floor alone; all must be told beside that."""
    alone = set()
    for figure in figures:
        compared = ["ours", "floor", "ratio"]
        if figure["existing"] is None:
            alone.add(figure["name"])
        else:
            compared += ["existing", "existing_ratio"]
        for who in compared:
            assert figure[who]["median"] > 0, (figure["name"], who)
    return alone


@pytest.mark.real_server
def test_calls_are_told_beside_the_floor_and_the_existing_client(tmp_path: Path) -> None:
    figures = quick("calls", tmp_path)
    assert judged(figures) == []
    assert without_the_existing_client(figures) == set()
    assert goals(figures) == {
        "calls from 200 greenlets, real server": 0.80,
        "calls from one plain thread": 0.95,
        "calls from one greenlet": 0.90,
        "calls from 200 greenlets, server that answers at once": 0.65,
        "calls from 100 native threads, real server": 0.45,
        "calls from 30 native threads, server that answers at once": 0.80,
    }


@pytest.mark.real_server
def test_making_and_destroying_is_told_in_time_and_cpu_time_beside_the_floor(
    tmp_path: Path,
) -> None:
    figures = quick("allocation", tmp_path)
    assert judged(figures) == []
    cpu_of_one_made = "CPU of the client for one job made, 100 jobs at once"
    cpu_of_one_destroyed = "CPU of the client for one job destroyed, 100 jobs at once"
    one_by_one = "10 jobs made one after the other, per job"
    assert goals(figures) == {
        "create 100 jobs at once, per job": 1.25,
        "create 100 jobs at once from 100 threads, per job": 1.5,
        "destroy 100 jobs at once, per job": 1.25,
        cpu_of_one_made: 0.0005,
        cpu_of_one_destroyed: 0.0003,
        one_by_one: 1.6,
    }
    alone = {
        cpu_of_one_made,
        cpu_of_one_destroyed,
        one_by_one,
        f"  {one_by_one}, simulated server",
    }
    assert without_the_existing_client(figures) == alone


@pytest.mark.real_server
def test_no_job_is_lost_and_all_that_belongs_to_the_program_is_counted(tmp_path: Path) -> None:
    figures = quick("holding", tmp_path)
    assert judged(figures) == [
        "processes for 200 held jobs, guardian included",
        "connections for 200 held jobs",
        "jobs lost while asleep: 100 jobs, 4 s, keepalive 3 s",
        "jobs lost while burning CPU: 100 jobs, 4 s, keepalive 3 s",
        "2 times SIGKILL amid 100 busy greenlets: server dead after",
    ]
    by_name = {figure["name"].strip(): figure for figure in figures}
    processes = by_name["processes for 200 held jobs, guardian included"]
    assert (processes["ours"]["median"], processes["existing"]["median"]) == (2, 201)
    assert by_name["connections for 200 held jobs"]["existing"]["median"] == 401


def test_every_change_reaches_its_waiter(tmp_path: Path) -> None:
    figures = quick("waiting", tmp_path)
    assert judged(figures) == []
    assert [figure["ours"]["median"] > 0 for figure in figures] == [True] * 4


def test_jobs_on_the_java_server_are_ready_and_told_beside_its_own_time(tmp_path: Path) -> None:
    (figure,) = quick("java", tmp_path)
    assert figure["name"] == "20 jobs at once until ready, Java dialect"
    assert without_the_existing_client([figure]) == {figure["name"]}
    assert figure["goal"]["limit"] == pytest.approx(1.2 * figure["floor"]["median"] + 1.0)


def test_lines_and_calls_are_counted(tmp_path: Path) -> None:
    figures = quick("size", tmp_path)
    assert judged(figures) == []
    assert min(figure["ours"]["median"] for figure in figures) > 0
    assert goals(figures) == {
        "lines of the core": 4300,
        "job.state: functions called": 40,
        "job.state: files they are in": 10,
        "a keepalive: functions called": 40,
        "a keepalive: files they are in": 10,
        "Job(3): functions called": 140,
        "Job(3): files they are in": 17,
        "spalloc-ps: functions called": 120,
        "spalloc-ps: files they are in": 15,
    }


def test_hundreds_of_jobs_on_a_simulated_server_are_all_there_at_the_end(tmp_path: Path) -> None:
    assert judged(quick("scale", tmp_path)) == [
        "500 jobs held for 3 s: lost",
        "500 jobs held for 3 s: connections",
    ]


def test_every_case_of_a_campaign_passes_and_no_job_is_left(tmp_path: Path) -> None:
    assert judged(quick("batch", tmp_path)) == [
        "cases that have not passed",
        "jobs that are left at the end",
    ]


@pytest.mark.real_server
def test_the_commands_lose_no_update(tmp_path: Path) -> None:
    figures = quick("commands", tmp_path)
    assert judged(figures) == ["updates lost at the end"]
    assert "spalloc-ps, whole process, against the existing client's" in {
        figure["name"] for figure in figures
    }


# -- the floor ------------------------------------------------------------------


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
