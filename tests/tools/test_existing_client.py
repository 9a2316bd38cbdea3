"""The existing client runs, and talks to the real server when that names a version it knows."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import MakeRealServer
from tools import existing_client


@pytest.mark.real_server
def test_the_existing_client_lists_the_machines_of_the_real_server(
    make_real_server: MakeRealServer,
) -> None:
    server = make_real_server(version=existing_client.UNDERSTOOD_VERSION)
    command = existing_client.command(
        "spalloc-machine", f"--hostname={server.host}", f"--port={server.port}"
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    name, boards, *_ = done.stdout.splitlines()[1].split()
    assert (name, boards) == ("m", "24")


def test_only_the_commands_that_the_existing_client_has_can_be_run() -> None:
    with pytest.raises(ValueError, match="has no 'spalloc-simulator', only spalloc, spalloc-job"):
        existing_client.command("spalloc-simulator")
