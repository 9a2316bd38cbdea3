"""``--svg`` of ``spalloc-machine`` and ``spalloc-job`` as a user meets it."""

from __future__ import annotations

import os
import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from spalloc_gevent.scripts import drawing, job, machine
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.either_server import MakeOffice, Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.either_server import watched_office_fixture as watched_office_fixture

_SVG = "{http://www.w3.org/2000/svg}"


def titles(picture: str | bytes) -> list[str]:
    """What the picture tells of its boards where they are pointed at."""
    root = ET.fromstring(picture)
    boards = [one for one in root.iter(f"{_SVG}g") if "board" in one.get("class", "").split()]
    return [str(board.findtext(f"{_SVG}title")) for board in boards]


def names_of_commands(office: Office) -> list[str]:
    assert isinstance(office.server, SimulatedServer)
    return [command.name for command in office.server.commands_seen]


# ------------------------------------------------------------ what is drawn


def test_machine_is_drawn_into_a_file_and_nothing_is_shown(office: Office, tmp_path: Path) -> None:
    job_id = office.create_ready_job(1, 1)
    ended = office.run(machine.main, "m", "--svg", tmp_path / "m.svg")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    told = titles((tmp_path / "m.svg").read_bytes())
    assert len(told) == 24
    assert sum(f"Job using board: {job_id} of me (127.0.0.1), ready" in one for one in told) == 3
    assert sum("Board is free" in one for one in told) == 21
    assert all("\nPhysical location: Cabinet 0, Frame " in one for one in told)


def test_machine_is_drawn_on_standard_output(office: Office) -> None:
    ended = office.run(machine.main, "m", "--svg", "-")
    assert (ended.code, ended.err) == (0, "")
    assert len(titles(ended.out)) == 24


def test_dead_boards_and_links_are_told(make_office: MakeOffice) -> None:
    spec = MachineSpec("m", 2, 2, dead_boards=[(1, 0, 2)], dead_links=[(0, 0, 0, 5)])
    drawn = make_office(spec).run(machine.main, "m", "--svg", "-").out
    (dead,) = [one for one in titles(drawn) if "Board is dead" in one]
    assert dead.startswith("Board coordinate: (1, 0, 2)\n")
    assert "Dead link: south of board (0, 0, 0), to board (1, 1, 1)" in drawn


def test_job_is_drawn_within_its_machine(office: Office) -> None:
    other, job_id = office.create_ready_job(1, owner="other"), office.create_ready_job(1, 1)
    ended = office.run(job.main, job_id, "--svg", "-")
    assert (ended.code, ended.err) == (0, "")
    told = titles(ended.out)
    assert len(told) == 24
    own = [one for one in told if f"Job using board: {job_id} of me" in one]
    assert len(own) == 3
    assert all("Physical location: " in one for one in own)
    assert any(f"Job using board: {other} of other" in one for one in told)
    assert f'<title id="spalloc-map-title">Job {job_id} on machine m</title>' in ended.out


def test_the_only_job_of_an_owner_is_drawn_once_it_is_ready(office: Office) -> None:
    job_id = office.create_job(1, owner="lone")
    ended = office.run(job.main, "--owner", "lone", "--wait", "ready", "--info", "--svg", "-")
    assert (ended.code, ended.err) == (0, "")
    assert f"Job using board: {job_id} of lone (127.0.0.1), ready" in ended.out


def test_drawing_asks_where_boards_are_and_keeps_no_job_alive(watched_office: Office) -> None:
    job_id = watched_office.create_job(1, 1)
    watched_office.run(machine.main, "m", "--svg", "-")
    asked = ["version", "list_machines", "list_jobs", *["get_board_position"] * 24]
    assert names_of_commands(watched_office) == ["create_job", *asked]
    watched_office.run(job.main, job_id, "--svg", "-")
    asked = ["version", "list_jobs", "list_machines", "list_jobs", *["get_board_position"] * 3]
    assert names_of_commands(watched_office)[26 + 2 :] == asked


def test_server_that_is_too_slow_about_places_is_warned_of(
    watched_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "LONGEST_S", 0.0)
    ended = watched_office.run(machine.main, "m", "--svg", "-")
    assert ended.code == 0
    assert ended.err == (
        "spalloc-machine: warning: the server took longer than 0 s to report where boards are: "
        "24 boards drawn without cabinet and frame\n"
    )
    assert titles(ended.out)[0] == "Board coordinate: (0, 0, 0)\nBoard is free"


# ------------------------------------------------- what there is not to draw


def test_queued_and_unknown_jobs_are_exit_code_9_and_no_file(
    office: Office, tmp_path: Path
) -> None:
    office.create_job(4, 2)
    queued = office.create_job(4, 2)
    for job_id, state in ((queued, "queued"), (queued + 1000, "unknown")):
        ended = office.run(job.main, job_id, "--svg", tmp_path / "job.svg")
        assert (ended.code, ended.out) == (9, "")
        assert ended.err == f"Job {job_id} has no boards to draw: it is {state}\n"
    assert list(tmp_path.iterdir()) == []


def test_unknown_machine_is_exit_code_6_and_leaves_the_file_alone(
    office: Office, tmp_path: Path
) -> None:
    (tmp_path / "m.svg").write_text("before", "ascii")
    ended = office.run(machine.main, "nosuch", "--svg", tmp_path / "m.svg")
    assert (ended.code, ended.out) == (6, "")
    assert (tmp_path / "m.svg").read_text("ascii") == "before"


# ------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("nosuch/m.svg", "No such file or directory"),
        (".", "Is a directory"),
        ("/dev/full", "No space left on device"),
        ("file/m.svg", "Not a directory"),
        ("pipe", "it is a pipe that nobody reads"),
    ],
)
def test_file_that_cannot_be_written_is_exit_code_12_and_one_line(
    watched_office: Office, empty_folder: Path, file: str, reason: str
) -> None:
    (empty_folder / "file").touch()
    os.mkfifo(empty_folder / "pipe")
    watched_office.create_ready_job(1)
    for ended in (
        watched_office.run(machine.main, "m", "--svg", file),
        watched_office.run(job.main, "1", f"--svg={file}"),
    ):
        assert (ended.code, ended.out) == (12, "")
        assert ended.err == f"Error: --svg {file} cannot be written: {reason}\n"
    assert sorted(path.name for path in empty_folder.iterdir()) == ["file", "pipe"]


def test_file_is_as_private_as_any_new_file_or_as_it_was(
    watched_office: Office, tmp_path: Path
) -> None:
    new, old = tmp_path / "new.svg", tmp_path / "old.svg"
    old.touch()
    old.chmod(0o604)
    before = os.umask(0o027)
    try:
        for file in (new, old):
            assert watched_office.run(machine.main, "m", "--svg", file).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert stat.S_IMODE(old.stat().st_mode) == 0o604
    assert len(list(tmp_path.iterdir())) == 2


def test_a_device_is_written_to_and_stays_what_it_is(watched_office: Office) -> None:
    assert watched_office.run(machine.main, "m", "--svg", os.devnull).code == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
