"""``--server HOST:PORT``: the contract on a server that somebody else runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spalloc_gevent.simulator import MachineSpec, Refuse, SimulatedServer
from tests.contract.live import LiveServer
from tests.contract.support import PATIENCE_S, job_of
from tools.real_server import free_port

ROOT = Path(__file__).resolve().parents[2]
ZOO = [MachineSpec("zoo", 3, 2), MachineSpec("other", 2, 2, tags=("special",))]
SUITES = ("tests/contract/test_ledger.py", "tests/contract/test_protocol_client.py")
SOME = "life_of_a_job or queued_job_has_no_boards or an_unknown_job_do_nothing"
"""One holds, one needs machines of its own, one does not hold."""


def contract(server: SimulatedServer) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *SUITES, "-k", SOME]
    return subprocess.run(
        [*command, "--server", f"{server.host}:{server.port}"],
        cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE_S,
    )  # fmt: skip


def test_it_ends_with_what_does_not_hold_and_why_and_touches_no_job_of_others() -> None:
    refuse = Refuse("closed on Sundays", on="job_keepalive", times=None)
    with (
        SimulatedServer(ZOO, dialect="java", faults=[refuse]) as server,
        job_of(server, owner="stranger", config_filenames=[]) as stranger,
    ):
        done = contract(server)
        _, asked = [one for one in server.commands_seen if one.name == "create_job"]
        assert [job["job_id"] for job in server.jobs] == [stranger.id]
    assert asked.kwargs["owner"].startswith("contract-")
    assert done.returncode == 1, done.stdout
    told = done.stdout.partition("a Java server, version 5.0.0\n")[2]
    assert told.startswith(
        "promises that do not hold: 1\n"
        "  commands about an unknown job do nothing\n"
        "      spalloc_gevent.errors.SpallocServerException: closed on Sundays\n"
        "promises that were not asked for: 1\n"
        "  1: needs a server of its own: has machines of its own\n"
    )


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    port = free_port()
    with pytest.raises(pytest.UsageError, match=f"--server 127.0.0.1:{port}: "):
        LiveServer.at(f"127.0.0.1:{port}")
