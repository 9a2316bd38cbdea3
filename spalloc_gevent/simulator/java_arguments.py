"""Lines and arguments as the Java server reads them, and the words in which it refuses them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Message, Reply
from spalloc_gevent.wire.quoting import quoted

COMMAND_CLASS = "uk.ac.manchester.spinnaker.alloc.compat.Command"
JAVA_CLASSES: Mapping[type, str] = {
    str: "java.lang.String",
    bool: "java.lang.Boolean",
    list: "java.util.ArrayList",
    dict: "java.util.LinkedHashMap",
}
DEFAULT_KEEPALIVE_S = 60
MOST_KEEPALIVE_S = 2**31 - 1
MOST_LONG_S = 2**63 // 10**9


class JavaException(ValueError):  # noqa: N818 (what a server answers is no error of ours)
    """The text of the exception that the server answers with."""


def decode_java_command(line: bytes) -> CommandRequest:
    """What a line asks for.

    Raises:
        JavaException: The server cannot read it.
        ProtocolError: The server hangs up on it.
    """
    body = json_of(line.decode("utf-8", "replace"))
    if isinstance(body, list):
        raise JavaException(f"Cannot deserialize value of type {COMMAND_CLASS} from Array value")
    if body is not None and not isinstance(body, dict):
        raise JavaException(f"Cannot construct instance of {COMMAND_CLASS}")
    name = None if body is None else body.get("command")
    if body is None or name is None:
        raise ProtocolError(f"the client sent no valid command: {quoted(line)}")
    args, kwargs = body.get("args", []), body.get("kwargs", {})
    for value, kind in ((args, list), (kwargs, dict)):
        if value is None:
            raise JavaException(
                'Cannot invoke "java.util.Collection.toArray()" because "c" is null'
            )
        if not isinstance(value, kind):
            raise JavaException(f"Cannot deserialize value of type {JAVA_CLASSES[kind]}")
    return CommandRequest(name if isinstance(name, str) else json.dumps(name), args, kwargs)


def json_of(text: str) -> Any:
    """The value of a JSON text; JavaException in the server's words if there is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
    except (ValueError, RecursionError):
        rest = ""
    word = re.match(r"[A-Za-z]+", rest)
    if word:
        raise JavaException(
            f"Unrecognized token '{word[0]}': was expecting (JSON String, Number, ...)"
        )
    if rest:
        raise JavaException(
            f"Unexpected character ('{rest[0]}' (code {ord(rest[0])})): expected ..."
        )
    raise JavaException("Unexpected end-of-input: expected close marker for Object")


def encode_java_message(message: Message) -> bytes:
    """As the Java server sends it: characters as they are, and both line ends."""
    if isinstance(message, Reply):
        body: dict[str, Any] = {"return": message.value}
    elif isinstance(message, ErrorReply):
        body = {"exception": message.reason}
    else:
        body = message.body
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\r\n"


class Arguments:
    """The arguments of one command; what is too much is not looked at."""

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def at(self, key: int | str) -> Any:
        """What stands at a place, or has a name; JavaException if there is nothing."""
        if isinstance(key, int):
            if key >= len(self.args):
                raise JavaException(f"missing argument at index {key}")
            return self.args[key]
        if key not in self.kwargs:
            raise JavaException(f"missing keyword argument: {key}")
        return self.kwargs[key]

    def integer(self, key: int | str) -> int:
        """The same as a number that is not negative."""
        return integer_from(self.at(key))

    def integers(self, *keys: str) -> tuple[int, ...]:
        """Several such numbers."""
        return tuple(map(self.integer, keys))


def integer_from(value: Any) -> int:
    """As the server makes a number of it: texts are read, fractions are cut off."""
    if value is None:
        raise JavaException('Cannot invoke "java.lang.Integer.intValue()" because ... is null')
    if isinstance(value, (bool, list, dict)):
        raise JavaException(f"needed a number, got a {JAVA_CLASSES[type(value)]}")
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]+", value):
        raise JavaException(f'For input string: "{value}"')
    number = int(value)
    if number < 0:
        raise JavaException("negative values not supported")
    return number


def is_plain_integer(value: Any) -> bool:
    """Whether ``list_jobs`` can tell of a job with this number among its arguments."""
    return isinstance(value, int) and not isinstance(value, bool)


def keepalive_from(value: Any) -> int:
    """Whole seconds: 60 for null, fractions cut off."""
    if value is None:
        return DEFAULT_KEEPALIVE_S
    if type(value) in JAVA_CLASSES:
        kind = JAVA_CLASSES[type(value)]
        raise JavaException(f"class {kind} cannot be cast to class java.lang.Number")
    if abs(value) >= MOST_LONG_S:
        raise JavaException("long overflow")
    if value > MOST_KEEPALIVE_S:
        raise JavaException(
            "PreparedStatementCallback; "
            "Data truncation: Out of range value for column 'keepalive_interval' at row 1"
        )
    return int(value)


def owner_from(value: Any) -> str:
    """The owner as text."""
    owner = "" if value is None else str(value)
    if not owner.strip():
        raise JavaException("invalid owner identifier; must be non-empty")
    if not (owner.isascii() and owner.isprintable()):
        raise JavaException("invalid owner identifier; must be printable ASCII")
    return owner
