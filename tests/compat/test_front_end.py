"""PyPI's ``SpiNNFrontEndCommon`` allocates boards of the real server through this client."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from spalloc_gevent import ProtocolClient
from tests.conftest import MakeRealServer
from tools import environments, existing_client
from tools.real_server import RealServer

PROGRAM = Path(__file__).with_name("front_end_program.py")
ON_THIS_CLIENT = ("-m", "spalloc_gevent.compat")
FIRST_BOARD = "127.1.0.1"


def run(server: RealServer, folder: Path, *before: str, avoided: str = "None") -> list[str]:
    """Its lines, those of its log among them."""
    python = environments.python_of("front-end")
    done = subprocess.run(
        [python, *before, PROGRAM, server.host, str(server.port), avoided],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def printed(lines: list[str]) -> list[str]:
    names = ("boards", "racks", "power", "a daemon thread waits", "it waits no more")
    return [line for line in lines if line.startswith(tuple(f"{name}: " for name in names))]


@pytest.mark.real_server
def test_it_allocates_power_cycles_locates_and_gives_back_as_on_the_existing_client(
    make_real_server: MakeRealServer, tmp_path: Path
) -> None:
    theirs = make_real_server(version=existing_client.UNDERSTOOD_VERSION)
    ours = make_real_server(version=existing_client.UNDERSTOOD_VERSION)
    expected = printed(run(theirs, tmp_path))
    assert printed(run(ours, tmp_path, *ON_THIS_CLIENT)) == expected
    assert len(expected) == 6
    with ProtocolClient(ours.host, ours.port) as client:
        assert client.list_jobs() == []
        assert client.get_job_state(1)["reason"] is None


@pytest.mark.real_server
def test_it_asks_again_for_boards_in_place_of_those_that_it_avoids(
    real_server: RealServer, tmp_path: Path
) -> None:
    lines = run(real_server, tmp_path, *ON_THIS_CLIENT, avoided=FIRST_BOARD)
    assert [line for line in lines if "Asking for new job" in line]
    assert printed(lines)[0].split()[1] != FIRST_BOARD
    with ProtocolClient(real_server.host, real_server.port) as client:
        assert client.list_jobs() == []
        assert client.get_job_state(1)["reason"] == "Asked to avoid by cfg"
