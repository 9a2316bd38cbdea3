"""The benchmark of the commands works on a small scale on the real server, and judges outcomes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools import environments


@pytest.mark.real_server
def test_the_quick_benchmark_of_the_commands_loses_no_update() -> None:
    program = environments.ROOT / "benchmarks" / "bench_commands.py"
    done = subprocess.run([sys.executable, str(program), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("  ")[0].strip() for line in done.stdout.splitlines()]
    assert "spalloc-ps, whole process, beside the existing client's" in rows
    judged = [line for line in done.stdout.splitlines() if line.rstrip().endswith("ok")]
    assert [line.strip().split("  ")[0] for line in judged] == ["lost updates at the end"]
