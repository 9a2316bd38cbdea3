"""``spalloc-where-is`` as a user sees it."""

from __future__ import annotations

import pytest

from spalloc_gevent.geometry import ethernet_chip
from spalloc_gevent.scripts import where_is
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.conftest import Site
from tests.cli.either_server import Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.either_server import watched_office_fixture as watched_office_fixture


def test_chip_of_a_job_is_located_in_the_documented_layout(office: Office) -> None:
    office.create_ready_job(1)
    job_id = office.create_ready_job(2, 2)
    boards = office.client.get_job_machine_info(job_id)["boards"] or []
    board = min((x, y, z) for x, y, z in boards)
    x, y = ethernet_chip(board)
    place = office.client.get_board_position("m", *board)
    assert place is not None
    ended = office.run(where_is.main, "--job-chip", job_id, 2, 3)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == [
        "                 Machine: m",
        "       Physical location: Cabinet {}, Frame {}, Board {}".format(*place),
        f"        Board coordinate: {board}",
        f"Machine chip coordinates: ({x + 2}, {y + 3})",
        "Coordinates within board: (2, 3)",
        f"         Job using board: {job_id}",
        "  Coordinates within job: (2, 3)",
    ]


def test_board_of_no_job_has_neither_chip_nor_coordinates_within_a_job(office: Office) -> None:
    for flag in ("--board", "-b", "--logical", "-l"):
        ended = office.run(where_is.main, flag, "m", 1, 1, 2)
        assert ended.code == 0
        assert [line.partition(":")[0].strip() for line in ended.lines] == [
            "Machine",
            "Physical location",
            "Board coordinate",
            "Machine chip coordinates",
            "Job using board",
        ]
        assert ended.value("Board coordinate") == "(1, 1, 2)"
        assert ended.value("Job using board") == "None"


def test_board_is_found_by_its_physical_location(office: Office) -> None:
    place = office.client.get_board_position("m", 2, 1, 1)
    assert place is not None
    for flag in ("--physical", "-p"):
        ended = office.run(where_is.main, flag, "m", *place)
        assert ended.code == 0
        assert ended.value("Board coordinate") == "(2, 1, 1)"


def test_chip_of_the_whole_machine_is_found_with_its_place_on_its_board(office: Office) -> None:
    for flag in ("--chip", "-c"):
        ended = office.run(where_is.main, flag, "m", 9, 6)
        assert ended.code == 0
        assert ended.value("Board coordinate") == "(0, 0, 1)"
        assert ended.value("Coordinates within board") == "(1, 2)"


@pytest.mark.parametrize(
    "question",
    [
        ("--job-chip", 1, 1, 2),
        ("--chip", "m", 29, 22),
        ("--board", "m", 2, 1, 2),
        ("--physical", "m", 0, 0, 20),
    ],
)
def test_the_java_server_is_not_believed_about_chips(
    capsys: pytest.CaptureFixture[str], question: tuple[object, ...]
) -> None:
    with SimulatedServer([MachineSpec()], dialect="java") as server:
        office = Office(server, capsys)
        office.create_ready_job(2, 1, 2)
        ended = office.run(where_is.main, *question)
        office.client.close()
    assert ended.code == 0
    on_board = "chip" in str(question[0])
    assert ended.value("Physical location") == "Cabinet 0, Frame 0, Board 20"
    assert ended.value("Board coordinate") == "(2, 1, 2)"
    assert ended.value("Machine chip coordinates") == ("(29, 22)" if on_board else "(28, 20)")
    assert ended.value("Coordinates within job") == ("(1, 2)" if on_board else "(0, 0)")


def test_coordinates_may_have_commas_between_them(office: Office) -> None:
    pasted = office.run(where_is.main, "--chip", "m", "9,", 6)
    assert pasted.code == 0
    assert pasted.out == office.run(where_is.main, "--chip", "m", 9, 6).out


@pytest.mark.parametrize("pair", ["9,6", "9, 6", "(9, 6)", "9,6,"])
def test_coordinates_may_be_pasted_as_one_word(office: Office, pair: str) -> None:
    job_id = office.create_ready_job(4, 2)
    for flag, whose in (("-c", "m"), ("--chip", "m"), ("-j", job_id)):
        pasted = office.run(where_is.main, flag, whose, pair)
        assert pasted.code == 0
        assert pasted.out == office.run(where_is.main, flag, whose, 9, 6).out
    for flag, three in (("-b", "1,1,2"), ("-l", "(1, 1, 2)")):
        pasted = office.run(where_is.main, flag, "m", three)
        assert pasted.out == office.run(where_is.main, flag, "m", 1, 1, 2).out


@pytest.mark.parametrize(
    "question",
    [
        ("--board", "m", 0, 0, 9),
        ("--board", "m", 4, 0, 0),
        ("--physical", "m", 7, 7, 7),
        ("--chip", "m", 5000, 0),
        ("--chip", "nosuch", 0, 0),
        ("--job-chip", 99, 0, 0),
    ],
)
def test_place_without_a_board_is_exit_code_4(office: Office, question: tuple[object, ...]) -> None:
    ended = office.run(where_is.main, *question)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "No boards at the specified location\n"


def test_chip_outside_the_job_is_no_boards_though_the_server_wraps_it_around(
    office: Office,
) -> None:
    job_id = office.create_ready_job(4, 2)
    assert office.run(where_is.main, "-j", job_id, 0, 0).code == 0
    assert office.run(where_is.main, "-j", job_id, 48, 0).code == 4


def test_queued_job_has_no_chips(office: Office) -> None:
    office.create_ready_job(4, 2)
    queued = office.create_job(1)
    assert office.run(where_is.main, "--job-chip", queued, 0, 0).code == 4


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "one of the arguments"),
        (("--board", "m", "x", "0", "0"), "--board: 'x' is not a whole number"),
        (("--chip", "m", "-1", "0"), "--chip: '-1' is less than 0"),
        (("--job-chip", "one", "0", "0"), "--job-chip: 'one' is not a whole number"),
        (("--chip", "m", "0"), "expected 3 arguments"),
        (("--chip", "m", "1,2,3"), "unrecognized arguments: 3"),
        (("--chip", "m", "-1,2"), "--chip: '-1' is less than 0"),
        (("--chip", "m", "0", "0", "--job-chip", "1", "0", "0"), "not allowed with"),
    ],
)
def test_wrong_question_is_a_usage_error(
    site: Site, arguments: tuple[str, ...], complaint: str
) -> None:
    run = site.shell.run("where-is", *arguments)
    assert run.returncode == 2
    assert complaint in run.stderr
    assert len(site.server.commands_seen) == 0
