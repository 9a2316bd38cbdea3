"""A whole campaign on the real server, with everything going wrong that may."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.ledger import Entered, read_ledger
from spalloc_gevent.simulator import MachineSpec
from spalloc_gevent.states import JobState
from tests.conftest import MakeRealServer
from tests.contract.support import await_true, listed
from tests.transport.programs import ROOT
from tools.real_server import RealServer

CASES = 500
ALLOCATIONS = 60
FAILING = 50
"""Each case of that many fails by itself."""
SABOTAGES = 15
PROMPT_S = 100.0
NEEDED_ELSEWHERE = "needed elsewhere"

pytestmark = [pytest.mark.real_server, pytest.mark.timeout(300)]

BAD = re.compile(r"[37]$")
"""Host names of boards that fail the check."""
CHECK = "case {hostname} in *[37]) exit 1;; esac"


class Saboteur:
    """Somebody else, who destroys jobs that are in use."""

    def __init__(self, server: RealServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.destroyed: set[int] = set()

    def __enter__(self) -> Saboteur:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng = random.Random(7)
        with ProtocolClient(self._server.host, self._server.port, 20.0) as client:
            while len(self.destroyed) < SABOTAGES and not self._stop.wait(0.1):
                try:
                    self._destroy_one(client, rng)
                except ProtocolError:
                    continue  # The server is being started again.

    def _destroy_one(self, client: ProtocolClient, rng: random.Random) -> None:
        used = [job["job_id"] for job in client.list_jobs() if job["state"] == JobState.ready]
        if used:
            victim = rng.choice(used)
            client.destroy_job(victim, NEEDED_ELSEWHERE)
            self.destroyed.add(victim)


class Campaign:
    """The command, its files, and what they tell."""

    def __init__(self, server: RealServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.joblog = folder / "joblog"
        lines = [f"case-{n} sleep 0.1; exit {3 if n % FAILING == 0 else 0}" for n in range(CASES)]
        folder.joinpath("cases").write_text("\n".join(lines) + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "spalloc_gevent", "batch", "cases"]
        where = ["--hostname", self._server.host, "--port", str(self._server.port)]
        how = [
            "-j",
            str(ALLOCATIONS),
            "--check",
            CHECK,
            "--attempts",
            "9",
            "--retries",
            "9",
            "--server-timeout",
            "60",
        ]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "SPALLOC_LEDGER": "ledger"}
        with self._folder.joinpath("said").open("ab") as said:
            return subprocess.Popen(
                [*command, *where, *how, "--owner=me", "--joblog=joblog", "--resume", "--quiet"],
                cwd=self._folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def records(self) -> list[dict[str, Any]]:
        """What the joblog tells; its last line may be half written as yet."""
        if not self.joblog.exists():
            return []
        whole = self.joblog.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def ledger(self) -> list[Entered]:
        entered, strange = read_ledger((self._folder / "ledger").read_bytes().splitlines())
        assert strange == 0
        return entered

    def left_on(self, server: RealServer) -> set[int]:
        """The jobs that the program knows and has not given back."""
        known = {one.job_id for one in self.ledger()}
        return known & {job["job_id"] for job in listed(server)}


def destroyed_by_server_log(server: RealServer) -> Counter[int]:
    """How often each job's end was asked for, as the server's own job log tells."""
    log = (server.state_folder / "spalloc_jobs.log").read_text()
    return Counter(int(number) for number in re.findall(r"destroy_job\((\d+)", log))


def ended_by_server_log(server: RealServer) -> set[int]:
    log = (server.state_folder / "spalloc_jobs.log").read_text()
    return {int(number) for number in re.findall(r"completed shutdown of job (\d+)", log)}


def created_by_server_log(server: RealServer) -> int:
    return (server.state_folder / "spalloc_jobs.log").read_text().count(": create_job(")


def test_every_case_has_one_verdict_whatever_goes_wrong(
    make_real_server: MakeRealServer, tmp_path: Path
) -> None:
    server = make_real_server([MachineSpec("m", 5, 4)])
    campaign = Campaign(server, tmp_path)
    with Saboteur(server) as saboteur:
        interrupted = campaign.start()
        await_true(lambda: len(campaign.records()) > CASES // 5)
        server.restart()
        created_before = created_by_server_log(server)
        await_true(lambda: len(campaign.records()) > CASES // 2)
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.wait(PROMPT_S) != 0
        assert campaign.left_on(server) == set()
        # Ten cases fail by themselves.
        assert campaign.start().wait(PROMPT_S) == 1
    assert campaign.left_on(server) == set()
    check_verdicts(campaign)
    check_ledger(campaign, server, saboteur, created_before)


def check_verdicts(campaign: Campaign) -> None:
    verdicts: dict[str, list[str]] = {}
    for record in campaign.records():
        if record["verdict"] != "cancelled":
            verdicts.setdefault(record["case"], []).append(record["verdict"])
        assert not any(BAD.search(hostname) for hostname in record["hostnames"])
    assert verdicts == {
        f"case-{n}": ["failed" if n % FAILING == 0 else "passed"] for n in range(CASES)
    }


def check_ledger(
    campaign: Campaign, server: RealServer, saboteur: Saboteur, created_before: int
) -> None:
    """created_before: how many jobs there had been when the server had been started again."""
    entered = campaign.ledger()
    job_ids = [one.job_id for one in entered]
    assert len(set(job_ids)) == len(job_ids)
    # The server may have stopped between creating a job and telling its number: nobody knows it.
    untold = set(range(1, created_by_server_log(server) + 1)) - set(job_ids)
    assert all(job_id <= created_before for job_id in untold)
    asked_to_end = destroyed_by_server_log(server)
    for one in entered:
        if one.fate == "given back":
            assert asked_to_end[one.job_id] > 0
        else:
            # In the eyes of the program somebody else has ended it, and nobody but he has. It is
            # lost if he did so while the server was away, and its end came before that was seen.
            assert one.fate == "lost" or (one.fate, one.reason) == ("destroyed", NEEDED_ELSEWHERE)
            assert one.job_id in saboteur.destroyed
    # Boards that nobody has looked at yet were given back without that.
    looked_at = {one.job_id for one in entered if one.boards}
    assert looked_at <= ended_by_server_log(server) <= {*job_ids, *untold}
    # Of each case that ran, the ledger knows the boards.
    boards = {one.job_id: [list(board) for board in one.boards] for one in entered}
    for record in campaign.records():
        if record["job_id"] is not None:
            assert boards[record["job_id"]] == record["boards"]
