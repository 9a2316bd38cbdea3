"""The worked examples, each as a program of its own on the simulated and on the real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.contract.conftest import (
    MakeServer,
    make_server,
    make_simulated_server,
    pytest_generate_tests,
)
from tests.contract.support import listed
from tests.transport.programs import ROOT

__all__ = [
    "make_server",
    "make_simulated_server",
    "pytest_generate_tests",
]

EXAMPLES = ROOT / "docs" / "examples"
PROMPT_S = 100.0

SAYS = {
    "allocate.py": r"16 x 16 chips at [0-9.]+\n",
    "group.py": r"\{'done': 40\}\n",
    "executor.py": r"100 trials on ([1-9]|1[0-9]|20) boards or fewer\n",
    "on_processes.py": r"24 trials, each on boards of its own\n",
    "on_dask.py": r"60 trials in [23] processes\n",
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("example", SAYS)
def test_an_example_does_what_it_says(make_server: MakeServer, example: str) -> None:
    server = make_server()
    where = {"SPALLOC_HOSTNAME": server.host, "SPALLOC_PORT": str(server.port)}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(EXAMPLES / example)],
        cwd=ROOT,
        env={**os.environ, **where, "SPALLOC_OWNER": "me", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROMPT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(SAYS[example], done.stdout), done.stdout + done.stderr
    assert listed(server) == []
