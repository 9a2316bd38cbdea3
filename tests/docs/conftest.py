"""The pages as Sphinx makes them, and the servers that provoked messages share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.docs.message_stage import Stage, servers
from tools.environments import ROOT


class Built(NamedTuple):
    """How a build has ended."""

    code: int
    complaints: str
    folder: Path


def build(builder: str, folder: Path) -> Built:
    """Make the documentation in a folder of its own, as ``tools/docs.py`` does."""
    program = (
        "import sys; from pathlib import Path; from tools.docs import build;"
        "sys.exit(build(Path(sys.executable), sys.argv[1], Path(sys.argv[2])))"
    )
    target = folder / builder
    done = subprocess.run(
        [sys.executable, "-c", program, builder, str(target)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return Built(done.returncode, done.stderr, target)


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build("html", tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="session")
def simulated_servers() -> Iterator[dict[str, SimulatedServer]]:
    with servers() as started:
        yield started


@pytest.fixture
def stage(
    simulated_servers: dict[str, SimulatedServer],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Stage]:
    made = Stage(simulated_servers, empty_folder, monkeypatch, capfd)
    yield made
    made.close()
