"""Commands in surroundings that are not as usual: many open files, streams that take nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from spalloc_gevent import Job
from tests.cli.conftest import Shell, Site
from tests.cli.piped import Piped
from tools.terminal import PATIENCE_S

# ------------------------------------------------------------------- many open files

MANY_FILES = """
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 5000), hard))
for _ in range(1100):
    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command with 1,100 open files, as a parent that leaks them does."""


def with_many_files(*argv: str) -> list[str]:
    return [sys.executable, "-c", MANY_FILES, *Shell.argv(*argv)]


def run(site: Site, argv: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        argv,
        env=site.shell.environ,
        cwd=site.shell.folder,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
        **{"capture_output": True, **options},
    )


def test_a_command_is_run_with_many_files_open(site: Site) -> None:
    done = run(site, with_many_files("alloc", "-q", "-c", "echo ran; exit 3"))
    assert (done.stdout, done.stderr, done.returncode) == ("ran\n", "", 3)
    assert site.destroyed() == [(1, None)]


def test_a_campaign_is_run_with_many_files_open(site: Site) -> None:
    (site.shell.folder / "cases").write_text("a echo A\nb echo B\n", encoding="utf-8")
    done = run(site, with_many_files("batch", "cases", "--quiet"))
    assert (sorted(done.stdout.split()), done.stderr, done.returncode) == (["A", "B"], "", 0)


def test_a_prompt_is_shown_with_many_files_open(site: Site) -> None:
    terminal = site.shell.terminal(with_many_files("alloc"))
    terminal.read_until("<Press enter when done>")
    terminal.type("\r")
    assert terminal.wait() == 0


def test_jobs_are_watched_with_many_files_open(site: Site) -> None:
    process = subprocess.Popen(
        with_many_files("ps", "--watch"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=site.shell.environ,
        text=True,
    )
    piped = Piped(process)
    try:
        piped.read_until(lambda piped: piped.blocks, "block")
        assert piped.interrupt() == 0
    finally:
        process.kill()
        process.communicate()
    assert piped.err == ""


# -------------------------------------------------------------------- far-off times


@pytest.mark.parametrize(
    "command",
    [
        "ps",
        "machine",
        "job 1",
        "where-is -b big 0 0 0",
        "job 1 --wait ready",
        "job 1 -e",
        "job 1 -p",
    ],
)
def test_a_time_out_beyond_all_measure_is_one_for_ever(site: Site, command: str) -> None:
    holder = site.shell.start("alloc", "-q", "-c", "echo up; cat")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "up\n"
    done = site.shell.run(*command.split(), "--timeout", "1e10")
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_time_out_beyond_all_measure_may_be_configured(site: Site) -> None:
    assert site.shell.run("ps", SPALLOC_TIMEOUT="31536000000").returncode == 0


FAR = ["--reconnect-delay", "1e12"]


def test_an_allocation_takes_times_beyond_all_measure(site: Site) -> None:
    done = site.shell.run("alloc", *FAR, "--timeout", "1e12", "-q", "-c", "echo works")
    assert (done.stdout, done.stderr, done.returncode) == ("works\n", "", 0)


def test_a_campaign_takes_times_beyond_all_measure(site: Site) -> None:
    limits = [f"--{name}-timeout" for name in ("server", "queue", "power")]
    times = [word for limit in (*limits, "--timeout") for word in (limit, "1e12")]
    done = site.shell.run("batch", *FAR, *times, "--quiet", stdin="a echo works\n")
    assert (done.stdout, done.stderr, done.returncode) == ("works\n", "", 0)


def test_watching_and_waiting_take_times_beyond_all_measure(site: Site) -> None:
    holder = site.shell.start("alloc", "-q", "-c", "echo up; cat")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "up\n"
    waits = ["--wait", "ready", "--wait-timeout", "1e12"]
    assert site.shell.run("job", "1", *waits).returncode == 0
    piped = Piped(site.shell.start("ps", "--watch", "--interval", "1e12", "--timeout", "1e12"))
    piped.read_until(lambda piped: piped.blocks, "block")
    assert (piped.interrupt(), piped.err) == (0, "")


# ------------------------------------------------- streams that take nothing

FULL = "/dev/full"


def with_stderr(site: Site, stderr: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard error is opened as a shell's `stderr` says."""
    return run(site, ["/bin/sh", "-c", f'exec "$@" 2>{stderr}', "sh", *Shell.argv(*argv)])


@pytest.fixture
def three_cases(site: Site) -> list[str]:
    (site.shell.folder / "cases").write_text("a echo A\nb echo B\nc echo C\n", encoding="utf-8")
    return ["batch", "cases", "-j", "1", "--joblog", "log"]


def test_a_campaign_goes_on_when_its_progress_cannot_be_written(
    site: Site, three_cases: list[str]
) -> None:
    done = with_stderr(site, FULL, *three_cases)
    assert (done.stdout, done.returncode) == ("A\nB\nC\n", 5)
    log = (site.shell.folder / "log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["verdict"] for line in log] == ["passed"] * 3


def test_a_case_that_has_not_passed_is_1_whether_the_progress_is_written_or_not(site: Site) -> None:
    (site.shell.folder / "cases").write_text("a true\nb exit 3\nc true\n", encoding="utf-8")
    done = with_stderr(site, FULL, "batch", "cases", "--json")
    assert done.returncode == 1
    verdicts = [case["verdict"] for case in json.loads(done.stdout)["cases"]]
    assert verdicts == ["passed", "failed", "passed"]


def test_a_campaign_goes_on_when_nobody_reads_its_progress(
    site: Site, three_cases: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(site, Shell.argv(*three_cases), capture_output=False, stdout=subprocess.PIPE,
                   stderr=writer)  # fmt: skip
    finally:
        os.close(writer)
    assert (done.stdout, done.returncode) == ("A\nB\nC\n", 5)


@pytest.mark.parametrize(("exit_code", "ours"), [(0, 5), (3, 3)])
def test_a_command_is_run_when_its_status_cannot_be_written(
    site: Site, exit_code: int, ours: int
) -> None:
    done = with_stderr(site, FULL, "alloc", "-c", f"echo runs; exit {exit_code}")
    assert (done.stdout, done.returncode) == ("runs\n", ours)
    assert site.destroyed() == [(1, None)]


def test_a_prompt_is_waited_at_when_the_status_cannot_be_written(site: Site) -> None:
    done = with_stderr(site, FULL, "alloc", "3")
    assert "Num boards: 3" in done.stdout
    assert "<Press enter when done>" in done.stdout
    assert done.returncode == 5


def test_a_closed_standard_error_is_nobody_who_wants_to_be_told(
    site: Site, three_cases: list[str]
) -> None:
    done = with_stderr(site, "&-", "alloc", "-c", "echo runs")
    assert (done.stdout, done.returncode) == ("runs\n", 0)
    done = with_stderr(site, "&-", *three_cases)
    assert (done.stdout, done.returncode) == ("A\nB\nC\n", 0)


@pytest.mark.parametrize("command", ["ps", "machine", "where-is -b big 0 0 0", "alloc -q -c :"])
def test_a_warning_that_cannot_be_written_ends_nothing_and_is_5_in_place_of_0(
    site: Site, command: str
) -> None:
    (site.shell.folder / ".spalloc").write_text("[spalloc]\nprot = 1\n", encoding="utf-8")
    expected = site.shell.run(*command.split())
    assert "passed over 'prot'" in expected.stderr
    done = with_stderr(site, FULL, *command.split())
    assert (done.stdout, expected.returncode, done.returncode) == (expected.stdout, 0, 5)


@pytest.mark.parametrize(
    ("command", "code"), [("ps", 1), ("alloc", 6), ("batch -", 6), ("ps --nonsense", 2)]
)
def test_an_error_that_cannot_be_written_leaves_its_exit_code(
    shell: Shell, command: str, code: int
) -> None:
    shell.environ.update(SPALLOC_HOSTNAME="127.0.0.1", SPALLOC_PORT="1", SPALLOC_OWNER="me")
    argv = ["/bin/sh", "-c", f'echo a true | "$@" 2>{FULL}', "sh", *Shell.argv(*command.split())]
    done = subprocess.run(argv, env=shell.environ, cwd=shell.folder, check=False)
    assert done.returncode == code


@pytest.mark.parametrize("command", ["alloc 3", "batch cases --json"])
def test_a_result_that_cannot_be_written_is_5_and_no_matter_of_the_server(
    site: Site, command: str
) -> None:
    (site.shell.folder / "cases").write_text("a true\n", encoding="utf-8")
    done = run(site, ["/bin/sh", "-c", f'exec "$@" >{FULL}', "sh", *Shell.argv(*command.split())])
    assert "Error: [Errno 28] No space left on device" in done.stderr
    assert done.returncode == 5
    assert [job_id for job_id, _ in site.destroyed()] == [1]


# --------------------------------------------------------------- files that are none


def test_a_ledger_that_cannot_be_written_when_the_job_is_made_is_warned_of(site: Site) -> None:
    done = site.shell.run("alloc", "-q", "-c", "echo runs", SPALLOC_LEDGER=FULL)
    assert done.stderr == (
        f"warning: the ledger '{FULL}' is not written any more: No space left on device\n"
    )
    assert (done.stdout, done.returncode) == ("runs\n", 0)


def test_a_named_pipe_as_a_ledger_is_refused_before_boards_are_asked_for(site: Site) -> None:
    os.mkfifo(site.shell.folder / "pipe")
    done = site.shell.run("alloc", "-c", "true", SPALLOC_LEDGER="pipe")
    assert "the ledger 'pipe' cannot be written: it is a named pipe" in done.stderr
    assert (done.returncode, site.requests()) == (2, [])


@pytest.mark.parametrize("command", ["ps", "alloc -q -c :", "batch -q"])
def test_a_named_pipe_as_a_configuration_keeps_no_command_waiting(site: Site, command: str) -> None:
    os.mkfifo(site.shell.folder / ".spalloc")
    done = site.shell.run(*command.split(), stdin="a true\n")
    assert "./.spalloc: passed over, because it is a pipe or a device" in done.stderr
    assert done.returncode == 0


def test_a_pipe_that_nobody_reads_is_no_place_for_junit_xml(site: Site) -> None:
    (site.shell.folder / "cases").write_text("a true\n", encoding="utf-8")
    os.mkfifo(site.shell.folder / "pipe")
    done = site.shell.run("batch", "cases", "--junit-xml", "pipe")
    assert "pipe cannot be written: it is a pipe that nobody reads" in done.stderr
    assert done.returncode == 5


def test_a_pipe_that_is_read_is_given_the_junit_xml_whole(site: Site) -> None:
    (site.shell.folder / "cases").write_text("a true\n", encoding="utf-8")
    os.mkfifo(site.shell.folder / "pipe")
    with subprocess.Popen(
        ["cat", "pipe"], cwd=site.shell.folder, stdout=subprocess.PIPE, text=True
    ) as reader:
        done = site.shell.run("batch", "cases", "--junit-xml", "pipe")
        read, _ = reader.communicate()
    assert done.returncode == 0, done.stderr
    assert read.startswith("<?xml")
    assert read.rstrip().endswith("</testsuites>")


# ------------------------------------------------------------------ names of people

NAMES = {
    "Persian": "\u0645\u06cc\u200c\u062e",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "emoji of two": "\U0001f469\u200d\U0001f4bb",
    "no-break space": "Ann\u00a0Example",
}


@pytest.mark.parametrize("owner", NAMES.values(), ids=NAMES)
def test_an_owner_is_shown_as_the_name_is_written(site: Site, owner: str) -> None:
    where: dict[str, Any] = {
        "hostname": site.server.host, "port": site.server.port, "config_filenames": []
    }  # fmt: skip
    with Job(1, owner=owner, **where):
        done = site.shell.run("ps", "--columns", "owner", PYTHONUTF8="1")
    assert done.stdout.splitlines()[-1] == f"{owner} (127.0.0.1)".replace("\u00a0", " ")
