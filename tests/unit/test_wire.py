"""The wire: any split of any stream, nothing believed blindly, nothing sent that does harm."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.wire.checks import check_create_job, check_where_is
from spalloc_gevent.wire.commands import COMMANDS, Route, route_of
from spalloc_gevent.wire.lines import LineSplitter
from spalloc_gevent.wire.messages import (
    ErrorReply,
    Message,
    Notification,
    Reply,
    decode_message,
    encode_command,
    encode_message,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Reply, JSON_VALUES),
    st.builds(ErrorReply, st.text()),
    st.builds(Notification, st.dictionaries(st.sampled_from(["jobs_changed", "x"]), JSON_VALUES)),
)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    return [stream[a:b] for a, b in pairwise(edges)]


@given(st.lists(MESSAGES), st.lists(st.integers(min_value=0)), st.sampled_from([b"\n", b"\r\n"]))
def test_any_split_of_any_stream_gives_the_same_messages(
    messages: list[Message], cuts: list[int], end: bytes
) -> None:
    stream = b"".join(encode_message(message).rstrip(b"\n") + end for message in messages)
    splitter = LineSplitter()
    lines = [line for piece in pieces(stream, cuts) for line in splitter.feed(piece)]
    assert [decode_message(line) for line in lines] == messages
    assert splitter.held_bytes == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"return": "\xff"}', "invalid UTF-8"),
        (b"HTTP/1.1 400 Bad Request", "invalid JSON"),
        (b'{"return": ' + b"9" * 5000 + b"}", "invalid JSON"),
        (b"[1, 2]", "no object"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
    ],
)
def test_line_that_is_no_message_is_quoted_in_the_error(line: bytes, what: str) -> None:
    with pytest.raises(ProtocolError, match=what) as caught:
        decode_message(line)
    quotation = line[:80].decode("utf-8", "backslashreplace")[:80]
    assert repr(quotation) in str(caught.value)
    assert repr(line[:81].decode("utf-8", "backslashreplace")) not in str(caught.value) or (
        len(line) <= 80
    )


def test_line_beyond_the_cap_is_an_error_as_soon_as_it_is_exceeded() -> None:
    splitter = LineSplitter(max_line_bytes=100)
    splitter.feed(b"x" * 100)
    with pytest.raises(ProtocolError, match="more than 100 bytes, beginning 'xxx"):
        splitter.feed(b"x")


def test_every_byte_is_joined_once_however_small_the_pieces() -> None:
    splitter = LineSplitter()
    for _ in range(8 * 1024):
        assert splitter.feed(b"x" * 1024) == []
    assert splitter.feed(b"\n") == [b"x" * 1024 * 8 * 1024]


def test_blank_lines_and_carriage_returns_carry_nothing() -> None:
    assert LineSplitter().feed(b'\r\n\n{"return": 1}\r\n \n') == [b'{"return": 1}']


@given(st.text(), st.lists(JSON_VALUES), st.dictionaries(st.text(), JSON_VALUES))
def test_command_is_one_line_of_json(name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    line = encode_command(name, args, kwargs)
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"command": name, "args": args, "kwargs": kwargs}


@pytest.mark.parametrize("bad", [object(), float("nan"), {1, 2}])
def test_argument_that_json_cannot_carry_is_named(bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match="'version' cannot be sent as JSON"):
        encode_command("version", [bad], {})


@pytest.mark.parametrize("name", ["create_job", "power_on_job_boards", "power_off_job_boards"])
def test_commands_that_do_something_twice_are_never_repeatable(name: str) -> None:
    assert not COMMANDS[name].repeatable


def test_other_commands_are_repeatable() -> None:
    assert sum(not command.repeatable for command in COMMANDS.values()) == 4


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "route"),
    [
        ("version", (), {}, Route.POOL),
        ("version", (1,), {}, Route.ALONE),
        ("get_job_state", (1,), {}, Route.POOL),
        ("get_job_state", (), {"job_id": 1}, Route.POOL),
        ("get_job_state", (1,), {"job_id": 1}, Route.ALONE),
        ("get_job_state", (), {}, Route.ALONE),
        ("notify_job", (), {}, Route.SUBSCRIPTION),
        ("frobnicate", (), {}, Route.ALONE),
        ("create_job", (), {"owner": "me", "colour": "red"}, Route.ALONE),
    ],
)
def test_route_of_a_command(
    name: str, args: tuple[object, ...], kwargs: dict[str, object], route: Route
) -> None:
    assert route_of(name, args, kwargs) is route


@pytest.mark.parametrize(
    ("args", "options", "kind", "message"),
    [
        ((1, 2, 3, 4), {}, ValueError, "4 numbers given"),
        ((0,), {}, ValueError, "boards must be 1 or more, not 0"),
        ((-1,), {}, ValueError, "boards must be 1 or more, not -1"),
        ((2, 0), {}, ValueError, "height in triads must be 1 or more"),
        ((0, 0, 3), {}, ValueError, "board z must be 0, 1 or 2"),
        ((1.5,), {}, TypeError, "boards must be a whole number, not 1.5"),
        ((True,), {}, TypeError, "boards must be a whole number, not True"),
        (("3",), {}, TypeError, "boards must be a whole number, not '3'"),
        ((), {"owner": None}, ValueError, "no owner given"),
        ((), {"owner": " "}, ValueError, "owner must not be blank"),
        ((), {"machine": "m", "tags": ["t"]}, ValueError, "only one of the two"),
        ((), {"tags": "default"}, TypeError, "tags must be a list of text"),
        ((), {"keepalive": 0}, ValueError, "keepalive must be more than 0"),
        ((), {"min_ratio": 1.5}, ValueError, "min_ratio must be from 0.0"),
        ((), {"max_dead_boards": -1}, ValueError, "max_dead_boards"),
        ((), {"require_torus": True}, ValueError, "cannot go with one board"),
        ((1,), {"require_torus": True}, ValueError, "cannot go with one board"),
        ((0, 0, 0), {"require_torus": True}, ValueError, "cannot go with one board"),
    ],
)
def test_request_that_a_server_would_lose_is_refused(
    args: tuple[object, ...], options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        check_create_job(args, {"owner": "me", **options})


class IndexLike:
    def __index__(self) -> int:
        return 7


def test_integers_of_other_libraries_are_taken() -> None:
    assert check_create_job([IndexLike()], {"owner": "me", "tags": {"a"}}) == (7,)


@pytest.mark.parametrize(
    "question",
    [
        {"machine": "m", "x": 0, "y": 0, "z": 0},
        {"machine": "m", "cabinet": 0, "frame": 0, "board": 0},
        {"machine": "m", "chip_x": 0, "chip_y": 5000},
        {"job_id": 1, "chip_x": 0, "chip_y": 0},
    ],
)
def test_where_is_takes_its_four_styles(question: dict[str, Any]) -> None:
    assert check_where_is(question) == question


@pytest.mark.parametrize("question", [{}, {"machine": "m"}, {"job_id": 1, "x": 0, "y": 0}])
def test_where_is_refuses_other_styles(question: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="where_is takes exactly"):
        check_where_is(question)
