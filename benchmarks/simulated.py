"""A simulated server in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.orders import ROOT, WorkerError
from tools.real_machine import machine_with_boards


@contextmanager
def simulated_server(boards: int, *options: str) -> Iterator[tuple[str, int]]:
    """Its host and port; boards of it are powered on at once, unless `options` say otherwise."""
    machine = machine_with_boards(boards)
    command = [sys.executable, "-m", "spalloc_gevent.simulator", "--quiet", "--port=0"]
    command += ["--power-seconds=0", f"--machine=m:{machine.width}x{machine.height}"]
    command += options
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            host, _, port = process.stdout.readline().strip().rpartition(":")
            if not port:
                raise WorkerError("the simulated server did not start")
            yield host, int(port)
        finally:
            process.terminate()
