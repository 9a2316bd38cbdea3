"""The Java server's answers made into the Python server's; the Python server's left alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.geometry import Link, ends_of_link
from spalloc_gevent.simulator.java_commands import DATABASE_BUSY
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import (
    NO_MACHINE,
    UNKNOWN_JOB,
    JobStateInfo,
    Location,
    MachineDescription,
    MachineInfo,
    Refusal,
    is_database_busy,
    java_location,
    job_state,
    kind_of_refusal,
    machine_info,
    means_nothing,
    with_links_renumbered,
)
from spalloc_gevent.wire.messages import ErrorReply, Reply

READY: dict[str, Any] = {
    "state": 3,
    "power": True,
    "keepalive": 60.0,
    "reason": None,
    "start_time": 1700000000.5,
    "keepalivehost": "host",
}
BOARDS: dict[str, Any] = {
    "width": 8,
    "height": 8,
    "connections": [[[0, 0], "10.2.225.1"]],
    "machine_name": "m",
    "boards": [[0, 0, 0]],
}


def test_a_state_of_the_python_server_is_told_as_it_is() -> None:
    assert job_state(READY) == READY


def test_machine_information_of_the_python_server_is_told_as_it_is() -> None:
    assert machine_info(BOARDS) == BOARDS


def test_an_empty_reason_of_the_java_server_is_none() -> None:
    assert job_state({**READY, "reason": ""})["reason"] is None


def test_a_reason_is_kept() -> None:
    assert job_state({**READY, "state": 4, "reason": "Cancelled: "})["reason"] == "Cancelled: "


@pytest.mark.parametrize("state", [JobState.unknown, JobState.queued, JobState.destroyed])
def test_a_job_without_boards_has_no_power_whatever_the_java_server_says(state: JobState) -> None:
    assert job_state({**READY, "state": int(state), "power": False})["power"] is None


@pytest.mark.parametrize("state", [JobState.power, JobState.ready])
@pytest.mark.parametrize("power", [True, False])
def test_a_job_with_boards_has_the_power_it_is_told(state: JobState, power: bool) -> None:
    assert job_state({**READY, "state": int(state), "power": power})["power"] is power


@pytest.mark.parametrize("answer", [None, {}])
def test_a_state_that_is_not_told_is_that_of_an_unknown_job(answer: object) -> None:
    assert job_state(answer) == UNKNOWN_JOB
    assert UNKNOWN_JOB["state"] == JobState.unknown


@pytest.mark.parametrize("answer", [None, {}])
def test_hardware_that_is_not_told_is_none_at_all(answer: object) -> None:
    assert machine_info(answer) == NO_MACHINE
    assert set(NO_MACHINE.values()) == {None}


@pytest.mark.parametrize("answer", [[], "no such job", 7, {"state": 9}, {"state": "ready"}])
def test_nonsense_is_not_taken_for_an_unknown_job(answer: object) -> None:
    with pytest.raises(ProtocolError, match="the server"):
        job_state(answer)


@pytest.mark.parametrize("answer", [[], "none", False])
def test_nonsense_is_not_taken_for_a_job_without_boards(answer: object) -> None:
    with pytest.raises(ProtocolError, match="a job's machine"):
        machine_info(answer)


def test_keys_that_nobody_documents_are_passed_on() -> None:
    assert dict(job_state({**READY, "colour": "red"}))["colour"] == "red"
    assert dict(machine_info({**BOARDS, "colour": "red"}))["colour"] == "red"


def test_what_is_returned_is_the_callers_to_change() -> None:
    answer = copy.deepcopy(READY)
    job_state(answer)["state"] = 1
    job_state(None)["state"] = 1
    machine_info(None)["width"] = 1
    assert answer == READY
    assert UNKNOWN_JOB["state"] == 0
    assert NO_MACHINE["width"] is None


def test_the_constants_have_every_documented_key() -> None:
    assert set(UNKNOWN_JOB) == set(get_type_hints(JobStateInfo)) == set(READY)
    assert set(NO_MACHINE) == set(get_type_hints(MachineInfo)) == set(BOARDS)


@pytest.mark.parametrize(
    "refusal",
    [
        "no such job",
        "No such board",
        "boards not allocated",
        "no boards currently allocated",
        "negative values not supported",
    ],
)
def test_a_refusal_of_the_java_server_may_only_mean_that_nothing_is_there(refusal: str) -> None:
    assert means_nothing(refusal)


def test_only_one_refusal_says_that_a_job_is_gone() -> None:
    assert kind_of_refusal("no such job") is Refusal.NO_JOB
    others = ("no such machine", "boards not allocated", "unknown command", "Deadlock", "")
    assert Refusal.NO_JOB not in map(kind_of_refusal, others)


@pytest.mark.parametrize("refusal", DATABASE_BUSY)
def test_a_refusal_by_the_database_says_that_nothing_has_happened(refusal: str) -> None:
    assert kind_of_refusal(refusal) is Refusal.DATABASE_BUSY
    assert is_database_busy(ErrorReply(refusal))
    assert not is_database_busy(Reply(refusal))


@pytest.mark.parametrize("refusal", ["", "owner must be specified for all jobs", "internal error"])
def test_other_refusals_mean_something(refusal: str) -> None:
    assert not means_nothing(refusal)


def recorded_machines() -> Iterator[tuple[dict[str, Any], MachineDescription]]:
    """The real Java server's machines: as they were set up, and as it tells of them."""
    recording = Path(__file__).parents[1] / "recordings" / "machines.jsonl"
    head, *events = map(json.loads, recording.read_text("utf-8").splitlines())
    sent = [event.get("sent", "") for event in events]
    asked = next(i for i, line in enumerate(sent) if "list_machines" in line)
    for machine in json.loads(events[asked + 1]["received"])["return"]:
        yield head["machines"][machine["name"]], machine


def test_the_links_that_the_real_java_server_tells_of_get_the_numbers_they_were_set_up_with() -> (
    None
):
    for spec, machine in recorded_machines():
        of_dead_boards = [(*board, link) for board in spec.get("dead_boards", ()) for link in Link]
        links = [tuple(link) for link in [*spec.get("dead_links", ()), *of_dead_boards]]
        torus = machine["width"], machine["height"]
        ends = {(*board, link) for dead in links for board, link in ends_of_link(dead, torus)}
        told = with_links_renumbered(machine)["dead_links"]
        assert {(*link,) for link in told} == ends


def test_a_board_of_the_java_server_is_counted_from_its_own_corner_and_its_jobs() -> None:
    told: Location = {
        "machine": "m",
        "logical": [3, 1, 1],
        "physical": [0, 0, 22],
        "chip": [44, 16],
        "board_chip": [44, 16],
        "job_id": 7,
        "job_chip": [80, 28],
    }
    question = {"machine": "m", "chip_x": 3, "chip_y": 19}
    assert java_location(told, question, (4, 2), (3, 1, 0)) == {
        **told,
        "chip": [3, 19],
        "board_chip": [7, 3],
        "job_chip": [15, 7],
    }
    of_board = {"machine": "m", "x": 3, "y": 1, "z": 1}
    assert java_location(told, of_board, (4, 2), None) == {
        **told,
        "board_chip": [0, 0],
        "job_id": None,
        "job_chip": None,
    }
