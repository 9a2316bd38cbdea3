"""JSON to typed messages and back, and everything that is no message named and quoted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.wire.lines import LineSplitter
from spalloc_gevent.wire.messages import (
    CommandRequest,
    ErrorReply,
    Message,
    Notification,
    Reply,
    decode_command,
    decode_message,
    encode_command,
    encode_message,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part),
    max_leaves=4,
)
NOTICE = st.sampled_from(["jobs_changed", "machines_changed", "something_new"])
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Reply, JSON),
    st.builds(ErrorReply, st.text(max_size=10)),
    st.builds(Notification, st.dictionaries(NOTICE, JSON, min_size=1)),
)


def refusal(decode: Callable[[bytes], object], line: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        decode(line)
    return str(caught.value)


# -- what a server says -------------------------------------------------------


@given(
    st.lists(MESSAGES, max_size=8),
    st.lists(st.integers(0, 2000), max_size=20),
    st.sampled_from([b"\n", b"\r\n", b"\n\r\n"]),
    st.booleans(),
)
def test_any_split_of_any_stream_gives_the_same_messages(
    messages: list[Message], cuts: list[int], end: bytes, escaped: bool
) -> None:
    bodies = (json.loads(encode_message(message)) for message in messages)
    # The Python server escapes what is not ASCII; the Java server sends it raw.
    texts = (json.dumps(body, ensure_ascii=escaped) for body in bodies)
    stream = b"".join(text.encode() + end for text in texts)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    splitter = LineSplitter()
    lines = [line for a, b in pairwise(edges) for line in splitter.feed(stream[a:b])]
    assert [decode_message(line) for line in lines] == messages


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"return": null}', Reply(None)),
        (b'{"return": "1!7.0.0"}', Reply("1!7.0.0")),
        (b'{"return": {"exception": "no"}}', Reply({"exception": "no"})),
        (b'{"exception": "no such job"}', ErrorReply("no such job")),
        (b'{"exception": null}', ErrorReply("None")),
        (b'{"jobs_changed": [1, 2]}', Notification({"jobs_changed": [1, 2]})),
        (b'{"machines_changed": ["m"]}', Notification({"machines_changed": ["m"]})),
        (b'{"weather_changed": "rain"}', Notification({"weather_changed": "rain"})),
        (b"{}", Notification({})),
        ('{"return": "Grüße"}'.encode(), Reply("Grüße")),
    ],
)
def test_a_line_is_an_answer_a_refusal_or_else_a_notification(
    line: bytes, message: Message
) -> None:
    assert decode_message(line) == message


@pytest.mark.parametrize("line", [b"[1, 2]", b"1", b'"return"', b"null", b"true"])
def test_json_that_is_no_object_is_quoted(line: bytes) -> None:
    said = refusal(decode_message, line)
    assert said == f"the server sent JSON that is no object: {line.decode()!r}"


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 400 Bad Request", b'{"return": 1', b'{"return": 1} {}', b"{'return': 1}"]
)
def test_invalid_json_is_quoted(line: bytes) -> None:
    assert refusal(decode_message, line) == f"the server sent invalid JSON: {line.decode()!r}"


def test_invalid_utf_8_is_quoted_with_its_bytes_as_numbers() -> None:
    said = refusal(decode_message, b'{"return": "\xff\xc3"}')
    assert said == "the server sent invalid UTF-8: " + repr(r'{"return": "\xff\xc3"}')


def test_of_a_long_line_the_first_80_characters_are_quoted() -> None:
    said = refusal(decode_message, b"x" * 79 + "é".encode() + b"y" * 1000)
    assert said == f"the server sent invalid JSON: '{'x' * 79}é'..."


@pytest.mark.parametrize("decode", [decode_message, decode_command])
@pytest.mark.parametrize("sign", [b"", b"-"])
def test_a_number_of_more_digits_than_python_reads_is_a_protocol_error(
    decode: Callable[[bytes], object], sign: bytes
) -> None:
    said = refusal(decode, b'{"return": ' + sign + b"9" * 4301 + b"}")
    assert 'a number too long to read: \'{"return": ' in said


def test_a_number_of_just_as_many_digits_as_python_reads_is_a_number() -> None:
    assert decode_message(b'{"return": 1' + b"0" * 4299 + b"}") == Reply(10**4299)


# -- nested too deep ----------------------------------------------------------

LEVELS = 100_000
DEEP = [
    pytest.param(b"[" * LEVELS + b"]" * LEVELS, id="lists"),
    pytest.param(b'{"a":' * LEVELS + b"1" + b"}" * LEVELS, id="objects"),
    pytest.param(b'{"return": ' + b'[{"a":' * LEVELS, id="mixed and unfinished"),
]


def directly(work: Callable[[], None]) -> None:
    work()


def in_a_greenlet(work: Callable[[], None]) -> None:
    gevent.spawn(work).get()


def in_a_native_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_greenlet_of_a_native_thread(work: Callable[[], None]) -> None:
    def run() -> None:
        try:
            in_a_greenlet(work)
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    in_a_native_thread(run)


@pytest.mark.parametrize(
    "run", [directly, in_a_greenlet, in_a_native_thread, in_a_greenlet_of_a_native_thread]
)
@pytest.mark.parametrize("line", DEEP)
@pytest.mark.parametrize("decode", [decode_message, decode_command])
def test_json_nested_too_deep_is_a_protocol_error_wherever_it_is_read(
    decode: Callable[[bytes], object], line: bytes, run: Callable[[Callable[[], None]], None]
) -> None:
    said: list[str] = []
    run(lambda: said.append(refusal(decode, line)))
    assert [what.partition(" sent ")[2] for what in said] == [
        f"JSON nested too deep: {line[:80].decode()!r}..."
    ]


def test_json_nested_as_deep_as_servers_nest_it_is_read() -> None:
    assert decode_message(b'{"return": ' + b"[" * 100 + b"]" * 100 + b"}")


# -- what a client asks -------------------------------------------------------


class IndexLike:
    """An integer as numpy has them."""

    def __index__(self) -> int:
        return 7


class FloatLike:
    """A number as numpy and decimal have them."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


@given(
    st.text(min_size=1), st.lists(JSON, max_size=3), st.dictionaries(st.text(), JSON, max_size=3)
)
def test_a_command_is_one_line_that_asks_what_was_meant(
    name: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    line = encode_command(name, args, kwargs)
    assert line.index(b"\n") == len(line) - 1
    assert line.isascii()
    assert decode_command(line[:-1]) == CommandRequest(name, args, kwargs)


def test_a_command_has_the_keys_that_servers_want_also_when_it_takes_nothing() -> None:
    request = {"command": "version", "args": [], "kwargs": {}}
    assert json.loads(encode_command("version", (), {})) == request


def test_numbers_of_other_libraries_are_sent_as_numbers() -> None:
    line = encode_command("create_job", (IndexLike(),), {"keepalive": FloatLike(0.5)})
    assert decode_command(line) == CommandRequest("create_job", [7], {"keepalive": 0.5})


def circular() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


def nested() -> list[object]:
    deep: list[object] = []
    for _ in range(LEVELS):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (object(), TypeError),
        (b"bytes", TypeError),
        ({1, 2}, TypeError),
        ({(1, 2): 3}, TypeError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (FloatLike(float("nan")), ValueError),
        (10**4300, ValueError),
        (circular(), ValueError),
        (nested(), TypeError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_argument_that_json_cannot_carry_is_refused_by_the_name_of_its_command(
    bad: object, kind: type[Exception]
) -> None:
    requests: list[tuple[list[object], Mapping[str, object]]] = [([bad], {}), ([], {"a": bad})]
    for args, kwargs in requests:
        with pytest.raises(kind, match="arguments of 'version' cannot be sent as JSON: "):
            encode_command("version", args, kwargs)


# -- what a server reads and writes -------------------------------------------


@given(MESSAGES)
def test_what_a_server_says_is_one_line_that_says_it(message: Message) -> None:
    line = encode_message(message)
    assert line.index(b"\n") == len(line) - 1
    assert decode_message(line[:-1]) == message


def test_a_command_may_come_without_arguments() -> None:
    assert decode_command(b'{"command": "version"}') == CommandRequest("version", [], {})


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"command": ""}',
        b'{"command": 3}',
        b'{"command": "version", "args": {}}',
        b'{"command": "version", "args": null}',
        b'{"command": "version", "kwargs": []}',
        b'{"command": "version", "args": "abc"}',
    ],
)
def test_an_object_that_is_no_command_is_quoted(line: bytes) -> None:
    said = refusal(decode_command, line)
    assert said == f"the client sent no valid command: {line.decode()!r}"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"\xff", "invalid UTF-8"),
        (b"version", "invalid JSON"),
        (b'["version"]', "JSON that is no object"),
    ],
)
def test_what_is_no_object_is_laid_at_the_client_door(line: bytes, what: str) -> None:
    assert refusal(decode_command, line).startswith(f"the client sent {what}: ")
