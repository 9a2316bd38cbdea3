"""``spalloc-job --fate``: what became of the allocations in a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spalloc_gevent import Job
from spalloc_gevent.scripts import job
from tests.cli.either_server import Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.test_json import document_in


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def asked(office: Office, ledger: Path, **options: Any) -> Job:
    where: dict[str, Any] = {
        "hostname": office.server.host,
        "port": office.server.port,
        "config_filenames": [],
    }
    made = Job(**where, owner="me", ledger=str(ledger), **options)
    made.wait_until_ready(30.0)
    return made


def rows(office: Office, *arguments: object) -> list[list[str]]:
    ended = office.run(job.main, *arguments)
    assert (ended.code, ended.err) == (0, "")
    return [line.split() for line in ended.lines[1:]]


def test_what_the_ledger_knows_and_what_the_server_knows(office: Office, ledger: Path) -> None:
    asked(office, ledger, label="first").destroy()
    # Let go of: its fate is the server's affair from then on, but the ledger says what we did.
    asked(office, ledger, label="second", keepalive=None).close()
    held = asked(office, ledger, label="third")
    found = rows(office, "--fate", ledger)
    assert [row[1] for row in found] == ["first", "second", "third"]
    assert "given back" in " ".join(found[0])
    assert "closed" in found[1]
    assert " ".join(found[2]).endswith("held it is ready")
    held.destroy()


def killed(ledger: Path) -> None:
    """Take away the ends of all allocations, as a program leaves them that is killed."""
    kept = [
        line for line in ledger.read_bytes().splitlines(True) if b'"event": "ended"' not in line
    ]
    ledger.write_bytes(b"".join(kept))


def test_a_program_that_was_killed_leaves_it_to_the_server(office: Office, ledger: Path) -> None:
    asked(office, ledger).destroy("the board is red")
    killed(ledger)
    (allocation,) = document_in(office.run(job.main, "--fate", ledger, "--json"), "fates")[
        "allocations"
    ]
    assert (allocation["fate"], allocation["why"]) == ("destroyed", "the board is red")


def test_a_number_that_is_another_job_s_now_is_a_lost_one(office: Office, ledger: Path) -> None:
    held = asked(office, ledger)
    content = ledger.read_text(encoding="utf-8")
    began = office.client.list_jobs()[0]["start_time"]
    assert repr(began) in content
    ledger.write_text(content.replace(repr(began), "1000.0"), encoding="utf-8")
    (row,) = rows(office, "--fate", ledger)
    assert " ".join(row).endswith("lost its ID belongs to another job now")
    held.destroy()


def test_a_server_that_cannot_be_asked_is_told_of(office: Office, ledger: Path) -> None:
    asked(office, ledger).destroy()
    killed(ledger)
    content = ledger.read_text(encoding="utf-8")
    ledger.write_text(content.replace(f":{office.server.port}", ":1"), encoding="utf-8")
    (row,) = rows(office, "--fate", ledger)
    assert "not known the server cannot be asked" in " ".join(row)


def test_the_allocations_that_had_a_board(office: Office, ledger: Path) -> None:
    first, second = asked(office, ledger), asked(office, ledger)
    (board,) = second.boards or []
    place = "m:" + ",".join(map(str, board))
    assert [row[0] for row in rows(office, "--fate", ledger, "--board", place)] == [str(second.id)]
    for held in (first, second):
        held.destroy()


def test_all_there_is_to_know_is_told_as_json(office: Office, ledger: Path) -> None:
    with asked(office, ledger, label="case") as held:
        boards = held.boards
    (told,) = document_in(office.run(job.main, "--fate", ledger, "--json"), "fates")["allocations"]
    assert (told["job_id"], told["label"], told["owner"]) == (held.id, "case", "me")
    assert (told["machine"], told["boards"], told["fate"]) == ("m", boards, "given back")
    assert told["asked_at"] <= told["granted_at"] <= told["ended_at"]


def test_strange_lines_are_warned_of_and_passed_over(office: Office, ledger: Path) -> None:
    asked(office, ledger).destroy()
    with ledger.open("ab") as file:
        file.write(b"what is this?")
    ended = office.run(job.main, "--fate", ledger)
    assert ended.code == 0
    assert ended.err == ("spalloc-job: warning: ignored 1 line that is not a ledger entry\n")
    assert len(ended.lines) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--fate", "/nowhere/ledger"], "cannot be read: No such file"),
        (["--fate", "/"], "cannot be read"),
        (["3", "--fate", "x"], "--fate is about a ledger, and goes with no job ID"),
        (["--fate", "x", "--power-on"], "--fate is about a ledger"),
        (["--fate", "x", "--destroy"], "--fate is about a ledger"),
        (["--fate", "x", "--watch"], "--fate is about a ledger"),
        (["3", "--board", "m:0,0,0"], "--board goes with --fate"),
        (["--fate", "x", "--board", "0,0,0"], "'0,0,0' is not a board: give MACHINE:X,Y,Z"),
        (["--fate", "x", "--board", "m:0,0"], "'m:0,0' is not a board: give MACHINE:X,Y,Z"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    office: Office, arguments: list[str], complaint: str
) -> None:
    ended = office.run(job.main, *arguments)
    assert ended.code == 2
    assert complaint in ended.err
