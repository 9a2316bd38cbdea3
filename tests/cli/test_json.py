"""``--json`` of every command against the schema that documents it."""

from __future__ import annotations

import copy
import itertools
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from spalloc_gevent.scripts import job, machine, ps, where_is
from spalloc_gevent.scripts.machine_views import JOB_COLUMNS, MACHINE_COLUMNS
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.conftest import Shell, Site
from tests.cli.desk import Desk, MakeDesk
from tests.cli.desk import desk_fixture as desk_fixture
from tests.cli.desk import make_desk_fixture as make_desk_fixture
from tests.cli.either_server import Ended, MakeOffice, Office
from tests.cli.either_server import make_office_fixture as make_office_fixture
from tests.cli.either_server import office_fixture as office_fixture
from tests.cli.emulator import windows_fixture as windows_fixture
from tests.cli.piped import Piped

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "json"
DOCUMENTS = (
    "ps",
    "job",
    "hostnames",
    "machines",
    "machine",
    "where_is",
    "fates",
    "ledger",
    "batch",
    "joblog",
    "error",
)

SCARRED = MachineSpec("m", 4, 2, ("z", "default"), dead_boards=[(3, 1, 2)],
                      dead_links=[(0, 0, 0, 2), (0, 0, 2, 5)])  # fmt: skip
ODD_OWNERS = ("1e5", "o\x1b[2Jx\n", '"quoted\\', "Zoë 张伟", "x y ", "<Hidden>")

Document = dict[str, Any]


def schema_of(name: str) -> Document:
    schema: Document = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def complaints(name: str, document: object) -> list[str]:
    validator = Draft202012Validator(schema_of(name))
    return [error.message for error in validator.iter_errors(document)]


def document_in(ended: Ended, name: str) -> Document:
    """The one document that a command printed, which is as its schema says."""
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("\n")
    (line,) = ended.out.splitlines()
    document: Document = json.loads(line)
    assert complaints(name, document) == []
    return document


# --------------------------------------------------------------- the schemas


def test_every_schema_is_one_and_is_described_in_the_documentation() -> None:
    told = (FOLDER.parent / "json.rst").read_text(encoding="utf-8")
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(
        f"{name}.schema.json" for name in DOCUMENTS
    )
    for name in DOCUMENTS:
        Draft202012Validator.check_schema(schema_of(name))
        assert f"json/{name}.schema.json" in told


def objects_in(schema: object) -> Iterator[Mapping[str, Any]]:
    """Each part of a schema that describes an object."""
    if isinstance(schema, Mapping):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects_in(part)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_is_described_and_required_and_there_are_no_others(name: str) -> None:
    for part in objects_in(schema_of(name)):
        for field, said in part["properties"].items():
            assert said.get("description") or "$ref" in said, field
        if part["additionalProperties"]:
            # What the server tells of a request is the server's affair.
            assert "require_torus" in part["properties"]
        else:
            assert part["required"] == list(part["properties"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_name_that_a_schema_refers_to_is_defined_and_used(name: str) -> None:
    text = json.dumps(schema_of(name))
    for defined in schema_of(name).get("$defs", {}):
        assert f'"#/$defs/{defined}"' in text
    assert text.count('"$ref"') == sum(
        text.count(f'"#/$defs/{defined}"') for defined in schema_of(name).get("$defs", {})
    )


# --------------------------------------------------------- what commands print


def documents_of(office: Office) -> dict[str, Document]:
    """One document of each kind."""
    held = office.create_ready_job(1, 2, max_dead_boards=2, tags=["default"], min_ratio=0.0)
    office.create_job(4, 2, keepalive=None)
    return {
        "ps": document_in(office.run(ps.main, "--json"), "ps"),
        "job": document_in(office.run(job.main, held, "--json"), "job"),
        "hostnames": document_in(office.run(job.main, held, "-e", "--json"), "hostnames"),
        "machines": document_in(office.run(machine.main, "--json"), "machines"),
        "machine": document_in(office.run(machine.main, "m", "--json"), "machine"),
        "where_is": document_in(office.run(where_is.main, "-j", held, 1, 2, "--json"), "where_is"),
        "error": {"format": 1, "time": 1.5, "error": "It is gone."},
    }


def parts_of(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to each object in a document, except what is told of a request's options."""
    if isinstance(document, Mapping):
        yield path
        for name, value in document.items():
            if name != "kwargs":
                yield from parts_of(value, (*path, name))
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from parts_of(value, (*path, place))


def part_at(document: Any, path: Sequence[str | int]) -> Document:
    for step in path:
        document = document[step]
    found: Document = document
    return found


def test_document_with_a_field_less_or_more_or_of_another_type_is_not_valid(
    make_office: MakeOffice,
) -> None:
    for name, document in documents_of(make_office(SCARRED)).items():
        assert complaints(name, document) == []
        for path in parts_of(document):
            for field in part_at(document, path):
                less, other = copy.deepcopy(document), copy.deepcopy(document)
                del part_at(less, path)[field]
                is_object = isinstance(part_at(other, path)[field], dict)
                part_at(other, path)[field] = "?" if is_object else {"no": "such"}
                assert complaints(name, less), f"{name}: {field} is missing at {path}"
                assert complaints(name, other), f"{name}: {field} is wrong at {path}"
            more = copy.deepcopy(document)
            part_at(more, path)["extra"] = 1
            assert complaints(name, more), f"{name}: one field too many at {path}"


def test_jobs_in_every_state_are_listed_with_all_that_the_table_tells(
    make_office: MakeOffice,
) -> None:
    office = make_office(power_seconds=60.0)
    powering = office.create_job(1, 1, owner="me@x")
    queued = office.create_job(4, 2, keepalive=None)
    jobs = document_in(office.run(ps.main, "--json"), "ps")["jobs"]
    listed = office.client.list_jobs()
    assert jobs == [
        {
            "job_id": powering,
            "owner": "me@x",
            "keepalive_host": "127.0.0.1",
            "state": "power",
            "power": "on",
            "start_time": listed[0]["start_time"],
            "keepalive": 60.0,
            "machine": "m",
            "boards": sorted(listed[0]["boards"] or []),
            "request": {"args": [1, 1], "kwargs": listed[0]["kwargs"]},
        },
        {
            "job_id": queued,
            "owner": "me",
            "keepalive_host": "127.0.0.1",
            "state": "queued",
            "power": None,
            "start_time": listed[1]["start_time"],
            "keepalive": None,
            "machine": None,
            "boards": [],
            "request": {"args": [4, 2], "kwargs": listed[1]["kwargs"]},
        },
    ]
    fields = {"id": "job_id", "created": "start_time"}
    assert {fields.get(column.name, column.name) for column in ps.COLUMNS} <= set(jobs[0])


def test_document_is_filtered_and_sorted_as_the_table_is(office: Office) -> None:
    mine = [office.create_job(1, owner="me") for _ in range(2)]
    office.create_job(1, owner="you")
    ended = office.run(ps.main, "--json", "--owner", "me", "--sort=-id")
    assert [told["job_id"] for told in document_in(ended, "ps")["jobs"]] == mine[::-1]


def test_ready_job_is_told_with_its_size_and_hostname(office: Office) -> None:
    held = office.create_ready_job(1, 1)
    told = document_in(office.run(job.main, held, "--json"), "job")
    info = office.client.get_job_machine_info(held)
    assert (told["state"], told["power"], told["reason"]) == ("ready", "on", None)
    assert (told["width"], told["height"]) == (info["width"], info["height"])
    connections = info["connections"] or []
    assert [told["hostname"]] == [host for chip, host in connections if not any(chip)]
    assert len(told["boards"]) == 3


def test_job_whose_boards_are_off_is_told_so(office: Office) -> None:
    held = office.create_ready_job(1)
    office.client.power_off_job_boards(held)
    assert office.run(job.main, held, "--wait", "ready").code == 0
    assert document_in(office.run(job.main, held, "--json"), "job")["power"] == "off"


def test_queued_job_has_no_size_and_no_boards(office: Office) -> None:
    office.create_ready_job(4, 2)
    told = document_in(office.run(job.main, office.create_job(1), "--json"), "job")
    assert (told["state"], told["boards"], told["power"]) == ("queued", [], None)
    assert (told["width"], told["height"], told["hostname"]) == (None, None, None)


def test_destroyed_job_is_told_with_its_reason_and_no_more(office: Office) -> None:
    ended = office.create_ready_job(1)
    office.client.destroy_job(ended, "Enough.")
    told = document_in(office.run(job.main, ended, "--json"), "job")
    assert (told["state"], told["reason"]) == ("destroyed", "Enough.")
    others = set(told) - {"format", "time", "job_id", "state", "reason"}
    assert {told[name] for name in others} == {None}


def test_unknown_job_is_told_as_unknown(office: Office) -> None:
    told = document_in(office.run(job.main, 99, "--json"), "job")
    assert (told["job_id"], told["state"], told["reason"]) == (99, "unknown", None)


def test_hostnames_are_sorted_and_complete(office: Office) -> None:
    held = office.create_ready_job(1, 2)
    told = document_in(office.run(job.main, held, "--ethernet-ips", "--json"), "hostnames")
    lines = office.run(job.main, held, "--ethernet-ips").lines
    rows = [f"{chip['x']},{chip['y']},{chip['hostname']}" for chip in told["connections"]]
    assert ["x,y,hostname", *rows] == lines
    assert told["job_id"] == held


def test_machines_are_told_with_all_that_the_table_tells(make_office: MakeOffice) -> None:
    office = make_office(SCARRED, MachineSpec("other", 1, 1))
    held = office.create_ready_job(2, machine="m")
    first, second = document_in(office.run(machine.main, "--json"), "machines")["machines"]
    assert first == {
        "name": "m",
        "tags": ["default", "z"],
        "width": 4,
        "height": 2,
        "num_boards": 23,
        "absent_boards_known": True,
        "in_use": len(office.client.list_jobs()[0]["boards"] or []),
        "dead_boards": [[3, 1, 2]],
        "dead_links": first["dead_links"],
        "jobs": [held],
    }
    assert [0, 0, 0, 2] in first["dead_links"]
    assert (second["name"], second["jobs"]) == ("other", [])
    assert {column.name for column in MACHINE_COLUMNS} <= set(first)


def test_machine_is_told_with_its_jobs_and_their_letters(make_office: MakeOffice) -> None:
    office = make_office(SCARRED)
    held = [office.create_ready_job(1) for _ in range(2)]
    told = document_in(office.run(machine.main, "m", "--json"), "machine")["machine"]
    assert [(each["key"], each["job_id"]) for each in told["jobs"]] == [
        ("A", held[0]),
        ("B", held[1]),
    ]
    assert told["in_use"] == 2
    fields = {"id": "job_id"}
    assert {fields.get(column.name, column.name) for column in JOB_COLUMNS} <= set(told["jobs"][0])
    detailed = document_in(office.run(machine.main, "m", "-d", "--json"), "machine")["machine"]
    assert detailed == told


def test_more_jobs_than_letters_are_told_too(make_office: MakeOffice) -> None:
    office = make_office(MachineSpec("m", 5, 2))
    for _ in range(28):
        office.create_job(1)
    told = document_in(office.run(machine.main, "m", "--json"), "machine")["machine"]
    assert [each["key"] for each in told["jobs"]][-3:] == ["Z", "AA", "AB"]


def test_place_is_told_with_and_without_a_job(office: Office) -> None:
    held = office.create_ready_job(1)
    x, y, z = (office.client.list_jobs()[0]["boards"] or [])[0]
    with_job = document_in(office.run(where_is.main, "-j", held, 1, 2, "--json"), "where_is")
    assert (with_job["machine"], with_job["job_id"]) == ("m", held)
    assert (with_job["job_chip"], with_job["board_chip"]) == ([1, 2], [1, 2])
    assert with_job["logical"] == [x, y, z]
    place = with_job["physical"]
    assert [place["cabinet"], place["frame"], place["board"]] == (
        office.client.get_board_position("m", x, y, z)
    )
    for question in (("-b", "m", 3, 1, 1), ("-c", "m", 40, 14), ("-p", "m", 0, 0, 20)):
        free = document_in(office.run(where_is.main, *question, "--json"), "where_is")
        assert (free["job_id"], free["job_chip"]) == (None, None)


def test_owners_with_odd_characters_are_one_line_and_come_back_as_they_are(office: Office) -> None:
    job_ids = [office.create_job(1, owner=owner) for owner in ODD_OWNERS]
    listed = document_in(office.run(ps.main, "--json"), "ps")["jobs"]
    assert [told["owner"] for told in listed] == list(ODD_OWNERS)
    for job_id, owner in zip(job_ids, ODD_OWNERS, strict=True):
        assert document_in(office.run(job.main, job_id, "--json"), "job")["owner"] == owner
    on_machine = document_in(office.run(machine.main, "m", "--json"), "machine")["machine"]["jobs"]
    assert {told["owner"] for told in on_machine} == set(ODD_OWNERS)


def test_java_server_is_told_by_the_same_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatedServer([SCARRED], dialect="java") as server:
        office = Office(server, capsys)
        told = documents_of(office)
        queued, ended = office.create_job(4, 2), office.create_job(1)
        office.client.destroy_job(ended)
        for job_id, state in ((queued, "queued"), (ended, "destroyed"), (99, "unknown")):
            document = document_in(office.run(job.main, job_id, "--json"), "job")
            assert document["state"] == state
        office.client.close()
    assert {each["owner"] for each in told["ps"]["jobs"]} == {"me"}


def test_state_that_this_client_does_not_know_is_told_by_its_number(office: Office) -> None:
    office.create_job(1)
    document = document_in(office.run(ps.main, "--json"), "ps")
    document["jobs"][0]["state"] = "7"
    assert complaints("ps", document) == []
    document["jobs"][0]["state"] = "queue"
    assert complaints("ps", document)


def test_json_is_never_coloured(site: Site) -> None:
    terminal = site.shell.on_terminal("ps", "--json", "--color", "always")
    assert terminal.wait() == 0
    assert complaints("ps", json.loads(terminal.screen)) == []


@pytest.mark.parametrize(
    ("main", "arguments", "code"),
    [
        (machine.main, ("nosuch",), 6),
        (where_is.main, ("--board", "m", 9, 9, 0), 4),
        (job.main, (99, "--ethernet-ips"), 9),
        (job.main, ("--owner", "nobody"), 3),
    ],
)
def test_what_is_not_there_is_no_document(
    office: Office,
    main: Callable[[Sequence[str]], int],
    arguments: tuple[object, ...],
    code: int,
) -> None:
    ended = office.run(main, *arguments, "--json")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.count("\n") == 1


def test_server_that_is_not_there_is_no_document(shell: Shell) -> None:
    with SimulatedServer() as server:
        port = str(server.port)
    run = shell.run("ps", "-H", "127.0.0.1", "-P", port, "--json")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("Error communicating with server: ")


# ------------------------------------------------------------------- --watch


def content_of(document: Document) -> Document:
    return {**document, "time": None}


WATCHED = (
    ("ps", "ps", ()),
    ("machines", "machine", ()),
    ("machine", "machine", ("m",)),
)


@pytest.mark.parametrize(("name", "command", "arguments"), WATCHED)
def test_watching_prints_a_line_an_update(
    desk: Desk, name: str, command: str, arguments: tuple[str, ...]
) -> None:
    often = ("--interval", "0.05")
    piped = Piped(desk.shell.start(command, *arguments, "--watch", "--json", *often))
    piped.read_until(lambda piped: piped.documents, "first line")
    desk.create_ready_job(1)
    piped.read_until(lambda piped: '"job_id": ' in piped.out or '"jobs": [1' in piped.out, "job")
    desk.client.destroy_job(1)
    piped.read_until(
        lambda piped: content_of(piped.documents[-1]) == content_of(piped.documents[0]),
        "line like the first",
    )
    assert piped.interrupt() == 0
    assert piped.err == ""
    documents = piped.documents
    assert [complaints(name, document) for document in documents] == [[]] * len(documents)
    contents = [content_of(document) for document in documents]
    assert len(contents) >= 3
    assert all(one != another for one, another in itertools.pairwise(contents))
    times = [document["time"] for document in documents]
    assert times == sorted(times)


def test_watched_job_is_a_line_an_update_and_its_end_is_the_last(desk: Desk) -> None:
    held = desk.create_ready_job(1)
    piped = Piped(desk.shell.start("job", str(held), "--watch", "--json"))
    piped.read_until(lambda piped: piped.documents, "first line")
    desk.client.destroy_job(held, "Enough.")
    assert piped.wait() == 0
    documents = piped.documents
    assert [complaints("job", document) for document in documents] == [[]] * len(documents)
    assert [document["state"] for document in documents] == ["ready", "destroyed"]
    hostnames = {document["state"]: document["hostname"] for document in documents}
    assert hostnames["ready"].startswith("127.")
    assert (documents[-1]["reason"], hostnames["destroyed"]) == ("Enough.", None)


def test_trouble_is_one_line_and_data_follows_once_the_server_is_back(make_desk: MakeDesk) -> None:
    desk = make_desk()
    held = desk.create_ready_job(1)
    piped = Piped(desk.shell.start("ps", "--watch", "--json", "--interval", "0.05"))
    piped.read_until(lambda piped: piped.documents, "first line")
    desk.server.stop()
    piped.read_until(lambda piped: "error" in piped.documents[-1], "line about the trouble")
    desk.server.restart()
    piped.read_until(lambda piped: "jobs" in piped.documents[-1], "data again")
    assert piped.interrupt() == 0
    *before, trouble, after = piped.documents
    assert complaints("error", trouble) == []
    assert trouble["error"]
    for document in (*before, after):
        assert complaints("ps", document) == []
    assert [told["job_id"] for told in after["jobs"]] == [held]
    assert piped.err == ""


def test_watching_on_a_terminal_prints_lines_and_takes_no_screen(site: Site) -> None:
    terminal = site.shell.on_terminal("ps", "--watch", "--json")
    terminal.read_until("}\r\n")
    terminal.signal(signal.SIGINT)
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.screen
    assert complaints("ps", json.loads(terminal.screen.splitlines()[0])) == []
