"""One command to be sent: how it is written, and whether it may be sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spalloc_gevent.wire.commands import COMMANDS, Route
from spalloc_gevent.wire.requests import Request


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), None), ((1, "a"), None), ((), {"job_id": 1}), ((3,), {"reason": "x"})]
)
def test_a_request_is_one_line_of_json(args: tuple[object, ...], kwargs: Any) -> None:
    request = Request("destroy_job", args, kwargs)
    assert request.line.endswith(b"\n")
    assert json.loads(request.line) == {
        "command": "destroy_job",
        "args": list(args),
        "kwargs": kwargs or {},
    }


def test_what_json_cannot_carry_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(TypeError, match="'version' cannot be sent as JSON"):
        Request("version", (object(),))


@pytest.mark.parametrize("name", ["create_job", "power_on_job_boards", "power_off_job_boards"])
def test_what_would_happen_twice_is_never_sent_again(name: str) -> None:
    kwargs = {"owner": "me"} if name == "create_job" else {"job_id": 1}
    assert not Request(name, (), kwargs).repeatable


@pytest.mark.parametrize("name", ["version", "list_jobs", "list_machines"])
def test_a_question_may_be_sent_again(name: str) -> None:
    assert Request(name).repeatable


@pytest.mark.parametrize("name", ["get_job_state", "job_keepalive", "destroy_job"])
def test_a_keepalive_and_a_destroy_may_be_sent_again(name: str) -> None:
    assert Request(name, (1,)).repeatable


@pytest.mark.parametrize(
    "request_", [Request("dance"), Request("version", (1,)), Request("get_job_state", (1, 2))]
)
def test_what_a_server_may_answer_by_hanging_up_travels_alone_and_once(request_: Request) -> None:
    assert request_.route is Route.ALONE
    assert not request_.repeatable


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row.names_job])
def test_the_job_that_is_named_is_known_however_it_is_given(name: str) -> None:
    assert Request(name, (7,)).job_id == 7
    assert Request(name, (), {"job_id": 7}).job_id == 7


def test_a_chip_of_a_job_names_that_job() -> None:
    assert Request("where_is", (), {"job_id": 7, "chip_x": 0, "chip_y": 0}).job_id == 7


@pytest.mark.parametrize("request_", [Request("version"), Request("list_jobs")])
def test_what_names_no_job_names_none(request_: Request) -> None:
    assert request_.job_id is None


def test_the_rules_of_its_caller_are_kept_with_it() -> None:
    late: list[object] = []
    request = Request("version", wait_for_server=True, late_reply=late.append)
    assert request.wait_for_server
    assert request.late_reply == late.append
    assert not Request("version").wait_for_server
