"""The ledger's file: what is written can be read, whatever else is in it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ConfigError
from spalloc_gevent.ledger import JobOutcome, Ledger, LedgerEntry, read_ledger, used_board

ASKED: dict[str, Any] = {
    "owner": "me", "label": "case 7", "resumed": False, "what": [3], "options": {"tags": None}
}  # fmt: skip
BOARDS: dict[str, Any] = {
    "machine_name": "m",
    "boards": [[0, 0, 1], [0, 0, 0]],
    "width": 8,
    "height": 8,
    "connections": [((0, 0), "a"), ((4, 8), "b")],
}


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_the_whole_life_of_an_allocation_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    entry = LedgerEntry(Ledger(str(path)), 12, "host:22244", ASKED)
    entry.granted(BOARDS, 1000.5)
    entry.ended(JobOutcome.GIVEN_BACK, "done")
    (found,), strange = read_ledger(lines(path))
    assert strange == 0
    assert (found.server, found.job_id, found.owner, found.label) == (
        "host:22244", 12, "me", "case 7"
    )  # fmt: skip
    assert (found.what, found.machine, found.boards) == ((3,), "m", ((0, 0, 0), (0, 0, 1)))
    assert (found.start_time, found.fate, found.reason) == (1000.5, "given back", "done")
    times = (found.asked_at, found.granted_at, found.ended_at)
    assert None not in times
    assert list(times) == sorted(times)  # type: ignore[type-var]


def test_each_event_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    entry = LedgerEntry(Ledger(str(path)), 1, "h:1", ASKED)
    granted_before = entry.is_granted
    for _ in range(2):
        entry.granted(BOARDS, None)
        entry.ended(JobOutcome.LOST, None)
    assert (granted_before, entry.is_granted) == (False, True)
    assert [json.loads(line)["event"] for line in lines(path)] == ["asked", "granted", "ended"]


def test_two_allocations_with_one_number_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    for reason in ("first", "second"):
        LedgerEntry(Ledger(str(path)), 1, "h:1", ASKED).ended(JobOutcome.GIVEN_BACK, reason)
    found, _ = read_ledger(lines(path))
    assert [one.reason for one in found] == ["first", "second"]


def test_what_is_no_line_of_a_ledger_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    LedgerEntry(Ledger(str(path)), 1, "h:1", ASKED)
    whole = path.read_bytes()
    path.write_bytes(b'hello\n[]\n{"event": "asked"}\n\n' + whole + whole[:40])
    found, strange = read_ledger(lines(path))
    assert len(found) == 1
    assert strange == 4


@given(st.lists(st.binary(max_size=30) | st.text(max_size=30).map(str.encode), max_size=8))
def test_whatever_a_file_holds_can_be_read(content: list[bytes]) -> None:
    found, strange = read_ledger(content)
    assert found == []
    assert strange <= len(content)


def test_a_ledger_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the ledger '.*/nowhere/ledger' cannot be written"):
        Ledger(str(tmp_path / "nowhere" / "ledger"))


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"the ledger '.*/pipe' cannot be written: .* named pipe"):
        Ledger(str(path))


def test_a_named_pipe_that_takes_its_place_later_keeps_nobody_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(str(path))
    path.unlink()
    os.mkfifo(path)
    LedgerEntry(ledger, 1, "h:1", ASKED)
    assert ["is not written any more" in text for text in caplog.messages] == [True]


@pytest.mark.parametrize("left", [b'{"format": 1, "time": 17960', b"{"])
def test_an_entry_after_half_a_line_begins_on_a_line_of_its_own(
    tmp_path: Path, left: bytes
) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(left)
    ledger = Ledger(str(path))
    LedgerEntry(ledger, 1, "h:1", ASKED)
    # Another program is killed while we hold it open, so to say.
    with path.open("ab") as other:
        other.write(left)
    LedgerEntry(ledger, 2, "h:1", ASKED)
    LedgerEntry(ledger, 3, "h:1", ASKED)
    found, strange = read_ledger(lines(path))
    assert ([(one.job_id, one.label) for one in found], strange) == (
        [(1, "case 7"), (2, "case 7"), (3, "case 7")], 2
    )  # fmt: skip
    assert b"\n\n" not in path.read_bytes()


def test_one_that_may_only_be_written_to_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.touch(0o222)
    LedgerEntry(Ledger(str(path)), 1, "h:1", ASKED)
    path.chmod(0o600)
    assert len(lines(path)) == 1


def test_a_full_disk_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    LedgerEntry(Ledger("/dev/full"), 1, "h:1", ASKED)
    assert caplog.messages == [
        "the ledger '/dev/full' is not written any more: No space left on device"
    ]


def test_one_that_cannot_be_written_later_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    ledger = Ledger(str(folder / "ledger"))
    (folder / "ledger").unlink()
    folder.rmdir()
    with caplog.at_level(logging.WARNING):
        entry = LedgerEntry(ledger, 1, "h:1", ASKED)
        entry.ended(JobOutcome.CLOSED, None)
    (record,) = caplog.records
    assert "is not written any more" in record.getMessage()
    # Once it can be written again it is, on a line of its own.
    folder.mkdir()
    LedgerEntry(ledger, 2, "h:1", ASKED)
    found, strange = read_ledger(lines(folder / "ledger"))
    assert ([one.job_id for one in found], strange) == ([2], 0)


def test_a_forked_child_enters_nothing_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    entry = LedgerEntry(Ledger(str(path)), 1, "h:1", ASKED)
    child = os.fork()
    if child == 0:
        entry.ended(JobOutcome.CLOSED, None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(lines(path)) == 1


def test_the_name_is_meant_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("ledger")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    LedgerEntry(ledger, 1, "h:1", ASKED)
    assert len(lines(tmp_path / "ledger")) == 1


def test_those_that_had_a_board_are_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    LedgerEntry(Ledger(str(path)), 1, "h:1", ASKED).granted(BOARDS, None)
    LedgerEntry(Ledger(str(path)), 2, "h:1", ASKED)
    found, _ = read_ledger(lines(path))
    assert [one.job_id for one in used_board(found, "m", (0, 0, 1))] == [1]
    assert used_board(found, "m", (0, 0, 2)) == used_board(found, "n", (0, 0, 1)) == []
