"""``spalloc-machine`` as a user sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.palette import lettered
from spalloc_gevent.display.terminal import Paint
from spalloc_gevent.scripts import job, machine
from spalloc_gevent.scripts.machine_views import MachineView
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.conftest import Site
from tests.cli.either_server import MakeOffice, Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.either_server import watched_office_fixture as watched_office_fixture

BIG = MachineSpec("my-machine", 20, 20, ("default", "big"), dead_boards=[(3, 4, 1)])
SOLO = MachineSpec("solo", 1, 1, ("solo",), dead_boards=[(0, 0, 1), (0, 0, 2)])
SMALL = MachineSpec("small", 2, 2, dead_boards=[(1, 0, 2)], dead_links=[(1, 1, 0, 2), (1, 1, 2, 5)])


def test_machines_are_listed_with_their_load(make_office: MakeOffice) -> None:
    office = make_office(BIG, SOLO)
    ended = office.run(machine.main)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == [
        "Name        Num boards  In-use  Jobs  Tags",
        "my-machine        1199       0     0  big, default",
        "solo                 1       0     0  solo",
    ]


def test_boards_in_use_are_counted_by_machine(make_office: MakeOffice) -> None:
    office = make_office(MachineSpec("a"), MachineSpec("b"))
    office.create_ready_job(2, 1, machine="b")
    office.create_ready_job(1, machine="b")
    assert [line.split()[:4] for line in office.run(machine.main).lines[1:]] == [
        ["a", "24", "0", "0"],
        ["b", "24", "7", "2"],
    ]


SMALL_WITH_A_JOB = (
    "  Name: small",
    "  Tags: default",
    "In-use: 1 of 11",
    "  Jobs: 1",
    "",
    r" ___     ___",
    r"/ . \___/ . \___",
    r"\___/ . \XXX/ . \ ".rstrip(),
    r"/ . \___/ . \___/",
    r"\___/ . \___/    ___",
    r"    \___/ . \___/ . \ ".rstrip(),
    r"    / A \___/ . \___/",
    r"    \___/   \___/",
    "",
)


def test_one_machine_is_drawn_with_its_jobs_and_their_key(make_office: MakeOffice) -> None:
    office = make_office(SMALL)
    job_id = office.create_ready_job(0, 0, 0, machine="small")
    ended = office.run(machine.main, "small")
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == [*SMALL_WITH_A_JOB, f"A:{job_id}"]


def test_machine_without_jobs_has_no_key(make_office: MakeOffice) -> None:
    ended = make_office(SOLO).run(machine.main, "solo")
    assert ended.code == 0
    assert ended.lines[-3:] == [" ___", "/ . \\", "\\___/"]


def test_detailed_explains_the_letters_in_a_table(office: Office) -> None:
    first = office.create_ready_job(1, owner="me")
    second = office.create_ready_job(1, 1, owner="you")
    for flag in ("--detailed", "-d"):
        assert office.run(machine.main, "m", flag).lines[-3:] == [
            "Key  Job ID  Num boards  Owner (Host)",
            f"A         {first}           1  me (127.0.0.1)",
            f"B         {second}           3  you (127.0.0.1)",
        ]


def test_compact_key_wraps_at_80_columns(office: Office) -> None:
    job_ids = [office.create_ready_job(1) for _ in range(24)]
    *_, above, below = office.run(machine.main, "m").lines
    assert len(above) <= 80
    pairs = [
        f"{key}:{job_id}" for key, job_id in zip(lettered(job_ids).values(), job_ids, strict=True)
    ]
    assert (above + " " + below).split() == pairs


def test_job_has_a_colour_of_its_own_in_picture_and_key() -> None:
    with SimulatedServer([MachineSpec(width=1, height=1)]) as server:
        from spalloc_gevent.protocol_client import ProtocolClient

        with ProtocolClient(server.host, server.port, 20.0) as client:
            client.create_job(owner="me")
            view = MachineView("m")
            shown = text_of(view.page(view.collect(client), Paint(True), None))
    assert "\x1b[34m A \x1b[0m" in shown
    assert shown.endswith("\x1b[34mA:1\x1b[0m")
    assert "\x1b[1m___\x1b[0m" in shown
    assert "\x1b[2m/ . \\___\x1b[0m" in shown


def test_unknown_machine_is_exit_code_6_and_lists_those_there_are(make_office: MakeOffice) -> None:
    ended = make_office(BIG, SOLO).run(machine.main, "nosuch")
    assert (ended.code, ended.out) == (6, "")
    assert ended.err == "No machine 'nosuch' was found; there are: my-machine, solo\n"


def test_detailed_without_a_machine_is_a_usage_error(site: Site) -> None:
    run = site.shell.run("machine", "--detailed")
    assert run.returncode == 2
    assert "--detailed shows one machine: name it" in run.stderr


def test_looking_keeps_no_job_alive(watched_office: Office) -> None:
    watched_office.create_job(1)
    watched_office.run(machine.main, "m", "-d")
    assert isinstance(watched_office.server, SimulatedServer)
    assert [command.name for command in watched_office.server.commands_seen] == [
        "create_job",
        "version",
        "list_machines",
        "list_jobs",
    ]


# -- the Java server, which does not tell of boards that were never there ----------------

ABSENT_SOLO = MachineSpec("solo", 1, 1, ("solo",), absent=[(0, 0, 1), (0, 0, 2)])
ABSENT_SMALL = MachineSpec("small", 2, 2, absent=[(1, 0, 2)], dead_links=[(1, 1, 0, 2)])


@pytest.fixture
def java_office(capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    with SimulatedServer([ABSENT_SMALL, ABSENT_SOLO], dialect="java") as server:
        office = Office(server, capsys)
        yield office
        office.client.close()


def questions(office: Office) -> int:
    """How many boards it was asked about."""
    assert isinstance(office.server, SimulatedServer)
    return office.server.command_counts["get_board_position"]


def numbers_of_boards(office: Office, *options: str) -> list[object]:
    ended = office.run(machine.main, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    machines = json.loads(ended.out)["machines"]
    return [(told["num_boards"], told["absent_boards_known"]) for told in machines]


def test_absent_boards_are_neither_counted_nor_drawn(java_office: Office) -> None:
    job_id = java_office.create_ready_job(0, 0, 0, machine="small")
    assert [line.split()[:3] for line in java_office.run(machine.main).lines[1:]] == [
        ["small", "11", "1"],
        ["solo", "1", "0"],
    ]
    drawn = java_office.run(machine.main, "small").lines
    assert drawn == [*SMALL_WITH_A_JOB, f"A:{job_id}"]
    assert questions(java_office) > 0


def test_boards_are_asked_for_once_and_again_when_that_is_wished(java_office: Office) -> None:
    assert numbers_of_boards(java_office) == [(11, True), (1, True)]
    asked = questions(java_office)
    assert 0 < asked <= 15
    assert numbers_of_boards(java_office) == [(11, True), (1, True)]
    java_office.run(machine.main, "solo")
    assert questions(java_office) == asked
    assert numbers_of_boards(java_office, "--resurvey") == [(11, True), (1, True)]
    assert questions(java_office) == 2 * asked


def test_without_asking_numbers_of_boards_are_limits(java_office: Office) -> None:
    assert numbers_of_boards(java_office, "--no-survey") == [(12, False), (3, False)]
    assert java_office.run(machine.main, "--no-survey").lines == [
        "Name   Num boards  In-use  Jobs  Tags",
        "small    up to 12       0     0  default",
        "solo      up to 3       0     0  solo",
    ]
    shown = java_office.run(machine.main, "small", "--no-survey")
    assert shown.value("In-use") == "0 of up to 12"
    drawn = java_office.run(machine.main, "small", "--no-survey", "--svg", "-").out
    assert "0 of up to 12 boards in use by 0 jobs" in drawn
    assert questions(java_office) == 12  # Their places, for the picture.


def test_asking_again_and_not_at_all_is_a_usage_error(site: Site) -> None:
    run = site.shell.run("machine", "--resurvey", "--no-survey")
    assert run.returncode == 2
    assert "not allowed with argument" in run.stderr


def test_pictures_tell_absent_boards_as_dead(java_office: Office) -> None:
    job_id = java_office.create_ready_job(0, 0, 0, machine="small")
    of_machine = java_office.run(machine.main, "small", "--svg", "-").out
    of_job = java_office.run(job.main, job_id, "--svg", "-").out
    for drawn in (of_machine, of_job):
        assert "1 of 11 boards in use by 1 job, 1 dead board, 1 dead link" in drawn
