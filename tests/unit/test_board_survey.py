"""Boards that a server does not tell of: asked for once, slowly, and kept for a week."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spalloc_gevent.client import Timeout
from spalloc_gevent.geometry import Board, boards_of_triads
from spalloc_gevent.not_given import NOT_GIVEN
from spalloc_gevent.scripts import board_survey
from spalloc_gevent.scripts.board_survey import KEPT_FOR_S, BoardSurvey, Surveyed, When
from spalloc_gevent.wire.answers import JobDescription, MachineDescription
from tests.unit.fake_client import FakeClient, job, machine

SOLO = machine(1, 1)
BESIDE_SOLO = {(0, 0, 1), (0, 0, 2)}


class JavaClient(FakeClient):
    """Of a Java server on which these boards were never there."""

    def __init__(self, absent: Iterable[Board] = BESIDE_SOLO) -> None:
        super().__init__()
        self.kind.learn(SimpleNamespace(leads_to_java_server=True))  # type: ignore[arg-type]
        self.absent = set(absent)
        self.asked_about: list[Board] = []

    def _ask(self, name: str, *args: object, timeout: Timeout = NOT_GIVEN, **place: Any) -> Any:
        assert name == "get_board_position"
        board = (place["x"], place["y"], place["z"])
        self.asked_about.append(board)
        return None if board in self.absent else [0, 0, 0]


class Clock:
    """Goes on only by what is slept."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s: list[float] = []

    def read(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "spalloc" / "absent-boards"


def survey(when: When = When.UNKNOWN) -> BoardSurvey:
    return BoardSurvey(when, sleep=lambda _: None)


def surveyed(
    client: FakeClient,
    described: MachineDescription = SOLO,
    jobs: Iterable[JobDescription] = (),
    when: When = When.UNKNOWN,
) -> Surveyed:
    (found,) = survey(when).complete(client, [described], list(jobs))
    return found


def dead_boards(found: Surveyed) -> set[Board]:
    assert found.is_complete
    return {(x, y, z) for x, y, z in found.machine["dead_boards"]}


def test_absent_boards_count_as_dead() -> None:
    assert dead_boards(surveyed(JavaClient())) == BESIDE_SOLO


def test_a_server_that_tells_of_absent_boards_is_not_asked() -> None:
    client = FakeClient()
    assert surveyed(client) == (SOLO, True)
    assert client.asked == []


def test_only_boards_of_which_nothing_is_told_are_asked_for() -> None:
    client = JavaClient([(1, 1, 2)])
    described = machine(2, 2, dead_boards=[(0, 0, 0)], dead_links=[(0, 0, 1, 2), (1, 1, 0, 5)])
    jobs = [
        job(1, boards_of_triads(1, 0)),
        job(2, [(1, 1, 2)], allocated_machine_name="another"),
    ]
    found = surveyed(client, described, jobs)
    assert dead_boards(found) == {(0, 0, 0), (1, 1, 2)}
    explained = {(0, 0, 0), (0, 0, 1), (1, 1, 0), *boards_of_triads(1, 0)}
    assert set(client.asked_about) == set(boards_of_triads(0, 0, 2, 2)) - explained
    assert len(client.asked_about) == len(set(client.asked_about))


def test_at_most_a_hundred_boards_a_second_are_asked_for() -> None:
    clock = Clock()
    client = JavaClient()
    BoardSurvey(clock=clock.read, sleep=clock.sleep).complete(client, [machine(10, 10)], [])
    assert len(client.asked_about) == 300
    assert clock.now_s - 1000.0 >= 299 / 100 - 1e-6
    assert max(clock.slept_s) <= 0.01 + 1e-6


def test_what_was_found_is_kept_for_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    surveyed(JavaClient())
    again = JavaClient()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEPT_FOR_S - 60)
    assert dead_boards(surveyed(again)) == BESIDE_SOLO
    assert again.asked_about == []
    monkeypatch.setattr(time, "time", lambda: now + KEPT_FOR_S + 60)
    surveyed(again)
    assert len(again.asked_about) == 3


def test_another_server_machine_or_size_is_asked_for_itself() -> None:
    surveyed(JavaClient())
    for described in (machine(1, 1, name="n"), machine(2, 1)):
        client = JavaClient([])
        assert dead_boards(surveyed(client, described)) == set()
        assert client.asked_about
    elsewhere = JavaClient([])
    elsewhere.shared_session.port += 1
    assert dead_boards(surveyed(elsewhere)) == set()


def test_it_is_asked_anew_when_that_is_wished_and_that_is_kept() -> None:
    surveyed(JavaClient())
    repaired = JavaClient([])
    assert dead_boards(surveyed(repaired, when=When.ANEW)) == set()
    assert dead_boards(surveyed(JavaClient())) == set()


def test_nothing_is_asked_or_believed_when_it_is_to_be_left_out() -> None:
    surveyed(JavaClient())
    client = JavaClient()
    assert surveyed(client, when=When.NEVER) == (SOLO, False)
    assert client.asked_about == []


def test_a_board_of_a_job_is_there_whatever_was_kept() -> None:
    surveyed(JavaClient())
    assert dead_boards(surveyed(JavaClient(), jobs=[job(1, [(0, 0, 1)])])) == {(0, 0, 2)}


def test_while_somebody_watches_only_the_first_look_asks() -> None:
    client, watched = JavaClient(), survey()
    for _ in range(3):
        (found,) = watched.complete(client, [SOLO], [])
        assert dead_boards(found) == BESIDE_SOLO
    known, new = watched.complete(client, [SOLO, machine(2, 2, name="new")], [])
    assert known.is_complete
    assert not new.is_complete
    assert len(client.asked_about) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 1}',
        b'{"format": 1, "time": "x", "key": "y", "absent": []}',
        b"\xff",
    ],
)
def test_what_nobody_can_read_is_asked_for_again(cache: Path, content: bytes) -> None:
    surveyed(JavaClient())
    (kept,) = cache.iterdir()
    kept.write_bytes(content)
    client = JavaClient()
    assert dead_boards(surveyed(client)) == BESIDE_SOLO
    assert len(client.asked_about) == 3
    assert json.loads(kept.read_bytes())["absent"] == [[0, 0, 1], [0, 0, 2]]


def test_what_is_no_list_of_boards_is_asked_for_again(cache: Path) -> None:
    surveyed(JavaClient())
    (kept,) = cache.iterdir()
    content = json.loads(kept.read_bytes())
    for absent in ([1], [[0, 0]], [["x", 0, 0]], None):
        kept.write_text(json.dumps({**content, "absent": absent}), "ascii")
        assert dead_boards(surveyed(JavaClient())) == BESIDE_SOLO


def test_a_folder_that_cannot_be_written_to_only_means_asking_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        client = JavaClient()
        assert dead_boards(surveyed(client)) == BESIDE_SOLO
        assert len(client.asked_about) == 3


def test_a_user_without_a_home_has_nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_survey, "user_cache_folder", lambda: None)
    for _ in range(2):
        client = JavaClient()
        assert dead_boards(surveyed(client)) == BESIDE_SOLO
        assert len(client.asked_about) == 3


class TerminalText(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_taken_away_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = TerminalText()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    surveyed(JavaClient([]), machine(5, 2, name="m\x1b"))
    shown = terminal.getvalue()
    assert [f"m\\x1b has: {number} of 30" in shown for number in (0, 10, 20)] == [True] * 3
    *_, last = shown.split("\x1b[?2026h")
    assert "of 30" not in last
    surveyed(JavaClient([]), machine(5, 2, name="m\x1b"))
    assert terminal.getvalue() == shown


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    surveyed(JavaClient())
    assert capsys.readouterr() == ("", "")
