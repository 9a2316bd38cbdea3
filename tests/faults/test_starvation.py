"""Whatever a program does in its own threads, its jobs are kept alive."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.transport.scripted_server import LONG_S

ROOT = Path(__file__).resolve().parents[2]

KEEPALIVE_S = 1.5
JOBS = 3
INTERVALS = 3
BUSY_S = INTERVALS * KEEPALIVE_S
MANY_THREADS = "200 busy threads"
SLOWER = 4.0
"""What so many threads, and whoever else uses the machine, leave to the hub comes late at times."""

PATCH = "from gevent import monkey; monkey.patch_all()"

PREAMBLE = """
import subprocess, sys, threading, time
from gevent.monkey import get_original
from spalloc_gevent import Job

now = get_original("time", "monotonic")

def compute(until):
    while now() < until:
        sum(range(1000))
"""

HOLDING_JOBS = f"""
options = dict(hostname=sys.argv[1], port=int(sys.argv[2]), owner="me", config_filenames=[])
keepalive = float(sys.argv[3])
jobs = [Job(keepalive=keepalive, **options) for _ in range({JOBS})]
until = now() + {INTERVALS} * keepalive
"""

TELL = """
print([job.state.name for job in jobs])
for job in jobs:
    job.destroy()
"""

HOLDUPS = {
    "native sleep": ("", f"get_original('time', 'sleep')({BUSY_S})"),
    "native sleep, patched": (PATCH, f"get_original('time', 'sleep')({BUSY_S})"),
    "subprocess": ("", f"subprocess.run(['sleep', '{BUSY_S}'], check=True)"),
    "pure Python": ("", "compute(until)"),
    "pure Python in a patched program's hub": (PATCH, "compute(until)"),
    "pure Python in a callback of gevent's loop": (
        "import gevent",
        "gevent.get_hub().loop.run_callback(compute, until)\ngevent.sleep(0.01)",
    ),
    MANY_THREADS: (
        "",
        """
        threads = [threading.Thread(target=compute, args=(until,)) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
    ),
}


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.mark.parametrize("holdup", list(HOLDUPS))
def test_jobs_outlive_a_program_that_holds_itself_up(server: SimulatedServer, holdup: str) -> None:
    first, doing = HOLDUPS[holdup]
    keepalive_s = KEEPALIVE_S * (SLOWER if holdup == MANY_THREADS else 1.0)
    source = "\n".join((first, PREAMBLE, HOLDING_JOBS, textwrap.dedent(doing), TELL))
    done = subprocess.run(
        [sys.executable, "-c", source, server.host, str(server.port), str(keepalive_s)],
        cwd=ROOT, capture_output=True, text=True, timeout=BUSY_S + LONG_S, check=False,
        # By its own hub, not by the guardian.
        env={"SPALLOC_GUARDIAN": "no"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{['ready'] * JOBS}\n"), done.stderr
    # So many threads may well make a keepalive late, which is told.
    assert done.stderr == "" or holdup == MANY_THREADS
