"""What a job asks for: arguments over configuration, and what nobody can have."""

from __future__ import annotations

from typing import Any

import pytest

from spalloc_gevent.config import Config, load_config
from spalloc_gevent.job.request import REQUIREMENTS, job_request, server_options


def config(**values: Any) -> Config:
    plain = load_config([])
    return Config(**{**vars(plain), "hostname": "server", "owner": "me", **values})


def test_what_is_not_given_is_taken_from_the_configuration() -> None:
    request = job_request((3,), {}, config(min_ratio=0.5, max_dead_boards=2, keepalive=7.0))
    assert request.size == (3,)
    assert set(request.options) == set(REQUIREMENTS)
    assert request.options["owner"] == "me"
    assert request.options["min_ratio"] == 0.5
    assert request.options["max_dead_boards"] == 2
    assert request.keepalive_s == 7.0


@pytest.mark.parametrize("name", ["keepalive", "max_dead_boards", "max_dead_links"])
def test_an_explicit_none_is_a_value_and_not_given_is_another(name: str) -> None:
    configured = config(keepalive=7.0, max_dead_boards=2, max_dead_links=3)
    assert job_request((), {name: None}, configured).options[name] is None
    assert job_request((), {}, configured).options[name] is not None


def test_an_argument_counts_before_the_configuration() -> None:
    request = job_request((), {"owner": "you", "keepalive": 3.0}, config(keepalive=7.0))
    assert request.options["owner"] == "you"
    assert request.keepalive_s == 3.0


def test_an_owner_of_none_is_refused_though_one_is_configured() -> None:
    with pytest.raises(ValueError, match=r"no owner given.*SPALLOC_OWNER"):
        job_request((), {"owner": None}, config())


def test_a_missing_owner_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"owner=.*SPALLOC_OWNER.*configuration file"):
        job_request((), {}, config(owner=None))


def test_a_machine_given_overrides_the_configured_tags() -> None:
    options = job_request((), {"machine": "m"}, config(tags=("a",))).options
    assert (options["machine"], options["tags"]) == ("m", None)


def test_tags_given_override_the_configured_machine() -> None:
    options = job_request((), {"tags": ["a", "b"]}, config(machine="m")).options
    assert (options["machine"], options["tags"]) == (None, ["a", "b"])


def test_a_machine_given_as_none_leaves_the_configured_tags() -> None:
    options = job_request((), {"machine": None}, config(tags=("a",))).options
    assert (options["machine"], options["tags"]) == (None, ["a"])


def test_a_machine_and_tags_given_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"machine='m' and tags=.*only one of the two"):
        job_request((), {"machine": "m", "tags": ["a"]}, config())


def test_tags_are_sent_as_a_list_of_its_own() -> None:
    given_tags = ["a"]
    options = job_request((), {"tags": given_tags}, config()).options
    assert options["tags"] == ["a"]
    assert options["tags"] is not given_tags


@pytest.mark.parametrize(
    ("args", "error", "said"),
    [
        ((1, 2, 3, 4), ValueError, "4 numbers given"),
        ((0,), ValueError, "boards must be 1 or more, not 0"),
        ((-1,), ValueError, "boards must be 1 or more, not -1"),
        ((0, 2), ValueError, "width in triads must be 1 or more"),
        ((2, 0), ValueError, "height in triads must be 1 or more"),
        ((0, 0, 3), ValueError, "board z must be 0, 1 or 2"),
        ((0, -1, 0), ValueError, "board y must be 0 or more"),
        ((1.5,), TypeError, "boards must be a whole number, not 1.5"),
        (("3",), TypeError, "boards must be a whole number, not '3'"),
        ((True,), TypeError, "boards must be a whole number, not True"),
    ],
)
def test_a_size_that_cannot_be_is_refused(
    args: tuple[object, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        job_request(args, {}, config())


@pytest.mark.parametrize(
    ("given_options", "error", "said"),
    [
        ({"keepalive": 0}, ValueError, "keepalive must be more than 0"),
        ({"keepalive": "60"}, TypeError, "keepalive must be a finite number"),
        ({"keepalive": float("nan")}, ValueError, "keepalive must be a finite number"),
        ({"owner": "  "}, ValueError, "owner must not be blank"),
        ({"owner": 3}, TypeError, "owner must be text"),
        ({"tags": "abc"}, TypeError, "tags must be a list of text"),
        ({"tags": [1]}, TypeError, "1 is none"),
        ({"machine": 3}, TypeError, "machine must be the name"),
        ({"min_ratio": 1.5}, ValueError, "min_ratio must be from 0.0"),
        ({"min_ratio": None}, TypeError, "min_ratio must be a finite number"),
        ({"max_dead_boards": -1}, ValueError, "max_dead_boards .* must be 0 or more"),
        ({"max_dead_links": 1.0}, TypeError, "max_dead_links .* must be a whole number"),
        ({"require_torus": 1}, TypeError, "require_torus must be True or False"),
        ({"require_torus": True}, ValueError, "require_torus=True asks for a whole machine"),
    ],
)
def test_a_requirement_that_cannot_be_is_refused(
    given_options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        job_request((), given_options, config())


def test_a_missing_hostname_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"hostname=.*SPALLOC_HOSTNAME.*configuration file"):
        server_options({}, config(hostname=None))


def test_the_server_is_taken_from_arguments_before_the_configuration() -> None:
    configured = config(port=1, timeout=5.0, ignore_version=True)
    assert server_options({}, configured).port == 1
    assert server_options({}, configured).timeout_s == 5.0
    options = server_options(
        {"hostname": "h", "port": 2, "timeout": None, "ignore_version": False}, configured
    )
    assert (options.hostname, options.port) == ("h", 2)
    assert options.timeout_s is None
    assert options.ignore_version is False


@pytest.mark.parametrize(
    ("given_options", "said"),
    [({"timeout": 0}, "timeout must be more than 0"), ({"reconnect_delay": -1}, "0 seconds or")],
)
def test_an_impossible_time_is_refused(given_options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        server_options(given_options, config())
