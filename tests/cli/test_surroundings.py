"""Commands in surroundings that are not as usual: many open files, streams that take nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
