"""What a job enters in a ledger, on both servers."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from spalloc_gevent import Job, JobDestroyedError, JobState
from spalloc_gevent.batch import JobGroup, SpallocExecutor, allocate, bad_boards
from spalloc_gevent.errors import ConfigError
from spalloc_gevent.ledger import Entered, read_ledger
from spalloc_gevent.simulator import Drop, SimulatedServer
from tests.contract.conftest import MakeServer
from tests.contract.support import (
    ONE_TRIAD,
    PATIENCE_S,
    Server,
    Tap,
    await_true,
    destroy_from_elsewhere,
    job_of,
    listed,
    owner,
    told_of,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "json" / "ledger.schema.json"

pytestmark = pytest.mark.usefixtures("quick_and_forgetful")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def entered_in(ledger: Path) -> list[Entered]:
    """What is in it; every line is as its schema says."""
    lines = ledger.read_bytes().splitlines()
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for line in lines:
        assert not list(validator.iter_errors(json.loads(line))), line
    found, strange = read_ledger(lines)
    assert strange == 0
    return found


def the_one_in(ledger: Path) -> Entered:
    (entered,) = entered_in(ledger)
    return entered


def test_the_life_of_a_job(server: Server, ledger: Path) -> None:
    with job_of(server, 3, ledger=str(ledger), label="boot test") as job:
        told = the_one_in(ledger)
        boards = [(x, y, z) for x, y, z in job.boards or []]
        assert (told.machine, list(told.boards)) == (job.machine_name, boards)
        assert told.start_time == listed(server)[0]["start_time"]
        assert told.fate is None
    told = the_one_in(ledger)
    assert (told.job_id, told.server) == (job.id, f"{server.host}:{server.port}")
    assert (told.owner, told.label, told.what) == (owner(), "boot test", (3,))
    assert (told.fate, told.reason) == ("given back", None)


def test_a_job_that_nobody_looked_at_is_granted_at_the_latest_at_its_end(
    server: Server, ledger: Path
) -> None:
    job = job_of(server, 1, ledger=str(ledger))
    assert the_one_in(ledger).machine is None
    await_true(lambda: told_of(server, job.id)["state"] == JobState.ready)
    job.destroy("enough")
    told = the_one_in(ledger)
    assert told.machine is not None
    assert len(told.boards) == 1
    assert (told.fate, told.reason) == ("given back", "enough")


@pytest.mark.own_server("has machines of its own")
def test_a_queued_job_has_no_boards(make_server: MakeServer, ledger: Path) -> None:
    server = make_server(ONE_TRIAD)
    with job_of(server, 3):
        job_of(server, 3, ledger=str(ledger)).destroy()
    told = the_one_in(ledger)
    assert (told.machine, told.boards, told.fate) == (None, (), "given back")


def test_one_that_was_destroyed_by_somebody_else(server: Server, ledger: Path) -> None:
    job = job_of(server, ledger=str(ledger))
    job.wait_until_ready(PATIENCE_S)
    destroy_from_elsewhere(server, job.id, "the board is red")
    with pytest.raises(JobDestroyedError):
        job.wait_until_ready(PATIENCE_S)
    told = the_one_in(ledger)
    assert (told.fate, told.reason) == ("destroyed", "the board is red")
    job.destroy()
    assert the_one_in(ledger).fate == "destroyed"


def test_closed_and_forgotten_jobs(server: Server, ledger: Path) -> None:
    job = job_of(server, ledger=str(ledger))
    job.close()
    forgotten = job_of(server, ledger=str(ledger))
    assert forgotten.id is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del forgotten
        gc.collect()
    assert [told.fate for told in entered_in(ledger)] == ["closed", "closed"]


def test_a_resumed_job(server: Server, ledger: Path) -> None:
    with (
        job_of(server) as first,
        job_of(server, resume_job_id=first.id, ledger=str(ledger)) as again,
    ):
        told = the_one_in(ledger)
        assert (told.job_id, told.what) == (again.id, None)
        assert json.loads(ledger.read_bytes().splitlines()[0])["resumed"]


def test_a_server_that_could_not_be_told(server: Server, ledger: Path) -> None:
    with Tap(server) as tap:
        job = job_of(tap, ledger=str(ledger), timeout=0.2)
        job.wait_until_ready(PATIENCE_S)
        with tap.held():
            job.destroy()
    assert the_one_in(ledger).fate == "not told"


def test_a_job_whose_destroy_was_answered_by_a_broken_connection_is_given_back(
    ledger: Path,
) -> None:
    with SimulatedServer() as server:
        job = job_of(server, ledger=str(ledger))
        job.wait_until_ready(PATIENCE_S)
        server.faults = [Drop(on="destroy_job")]
        job.destroy("enough")
    assert (the_one_in(ledger).fate, the_one_in(ledger).reason) == ("given back", "enough")


def test_the_environment_and_files_may_name_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPALLOC_LEDGER", str(tmp_path / "environment"))
    job_of(server, config_filenames=[]).destroy()
    job_of(server, config_filenames=[], ledger=None).destroy()
    assert len(entered_in(tmp_path / "environment")) == 1
    monkeypatch.delenv("SPALLOC_LEDGER")
    config = tmp_path / "config"
    config.write_text(f"[spalloc]\nledger = {tmp_path / 'file'}\n")
    job_of(server, config_filenames=[str(config)]).destroy()
    assert len(entered_in(tmp_path / "file")) == 1


def test_everything_of_the_batch_room_is_entered(server: Server, ledger: Path) -> None:
    options: dict[str, Any] = {
        "hostname": server.host, "port": server.port, "owner": owner(), "ledger": str(ledger)
    }  # fmt: skip
    checked: list[Job] = []

    def check(job: Job) -> bool:
        checked.append(job)
        return len(checked) > 1

    allocate(check=check, label="checked", **options).destroy()
    bad_boards.forget()
    with JobGroup(3, **options) as group:
        list(group.as_ready())
    with SpallocExecutor(**options) as executor:
        list(executor.map(lambda job, _: job.id, range(3)))
    told = entered_in(ledger)
    assert [one.label for one in told] == ["checked"] * 2 + [None] * 6
    assert {one.fate for one in told} == {"given back"}
    assert all(one.boards for one in told)


def test_no_job_is_asked_for_when_the_ledger_cannot_be_written(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        job_of(server, ledger=str(tmp_path / "no" / "ledger"))
    with pytest.raises(TypeError, match="label must be a text"):
        job_of(server, label=7)
    assert listed(server) == []
