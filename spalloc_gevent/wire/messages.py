"""JSON lines to typed messages, and commands to JSON lines."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.errors import (
    BadTypeError,
    BadValueError,
    ProtocolError,
    SpallocServerException,
)
from spalloc_gevent.wire.quoting import quoted


def _as_number(value: Any) -> int | float:
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"{value!r} is neither text, number, list nor dictionary")


_to_json = json.JSONEncoder(allow_nan=False, default=_as_number).encode
_from_json = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Reply:
    """The value that the oldest unanswered command returned."""

    value: Any


@dataclass(frozen=True)
class ErrorReply:
    """The text of the exception that the oldest unanswered command raised."""

    reason: str


@dataclass(frozen=True)
class Notification:
    """Something that the server told unasked, as it came: ``{"jobs_changed": [ID, ...]}``."""

    body: dict[str, Any]


AnyReply = Reply | ErrorReply
Message = Reply | ErrorReply | Notification


def encode_command(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
    """The line that asks for command `name`, its end included.

    Numbers of other libraries (numpy's, say) go as plain ones. Raises TypeError
    or ValueError for arguments that JSON cannot carry.
    """
    if not args and not kwargs:
        return _encode_bare(name)
    try:
        listed = _to_json(list(args))
        named = _to_json(dict(kwargs)) if kwargs else "{}"
    except (TypeError, ValueError, RecursionError) as error:
        kind = BadValueError if isinstance(error, ValueError) else BadTypeError
        raise kind(f"the arguments of {name!r} cannot be sent as JSON: {error}") from None
    text = f'{{"command": {_to_json(name)}, "args": {listed}, "kwargs": {named}}}\n'
    return text.encode("ascii")


@functools.lru_cache(maxsize=64)
def _encode_bare(name: str) -> bytes:
    return f'{{"command": {_to_json(name)}, "args": [], "kwargs": {{}}}}\n'.encode("ascii")


def decode_message(line: bytes) -> Message:
    """What one line of the server says; a :class:`ProtocolError` if it is no JSON object."""
    body = _json_object(line, "the server")
    if "return" in body:
        return Reply(body["return"])
    if "exception" in body:
        return ErrorReply(str(body["exception"]))
    return Notification(body)


def _json_object(line: bytes, sender: str) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
        body, end = _from_json(text)
    except UnicodeDecodeError:
        wrong = "invalid UTF-8"
    except json.JSONDecodeError:
        wrong = "invalid JSON"
    except ValueError:
        # The one other complaint: more digits than sys.get_int_max_str_digits().
        wrong = "invalid JSON, a number too long to read"
    except RecursionError:
        wrong = "JSON nested too deep"
    else:
        if isinstance(body, dict) and not text[end:].strip():
            return body
        if not text[end:].strip():
            raise ProtocolError(f"{sender} sent JSON that is no object: {quoted(line)}")
        wrong = "invalid JSON"
    raise ProtocolError(f"{sender} sent {wrong}: {quoted(line)}")


def encode_message(message: Message) -> bytes:
    """The line that a server sends to say `message`, its end included."""
    if isinstance(message, Reply):
        body: dict[str, Any] = {"return": message.value}
    elif isinstance(message, ErrorReply):
        body = {"exception": message.reason}
    else:
        body = message.body
    return json.dumps(body).encode("ascii") + b"\n"


def value_of(command: str, reply: AnyReply) -> Any:
    """The value that `reply` returns; raises the server's exception if it is one."""
    if isinstance(reply, ErrorReply):
        raise SpallocServerException(command, reply.reason)
    return reply.value


@dataclass(frozen=True)
class CommandRequest:
    """One command as a server sees it."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]


def decode_command(line: bytes) -> CommandRequest:
    """What one line of a client asks for; a :class:`ProtocolError` if it asks nothing valid."""
    body = _json_object(line, "the client")
    request = CommandRequest(body.get("command", ""), body.get("args", []), body.get("kwargs", {}))
    wanted = ((request.name, str), (request.args, list), (request.kwargs, dict))
    if not request.name or not all(isinstance(value, kind) for value, kind in wanted):
        raise ProtocolError(f"the client sent no valid command: {quoted(line)}")
    return request
