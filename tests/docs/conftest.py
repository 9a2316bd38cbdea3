"""The servers that provocations of messages share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.docs.stage import Stage, servers


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
