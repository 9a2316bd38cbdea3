"""The kinds of servers that there are: what each is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from spalloc_gevent.simulator.commands import Asker, Commands
from spalloc_gevent.simulator.java_arguments import decode_java_command, encode_java_message
from spalloc_gevent.simulator.java_commands import JavaCommands
from spalloc_gevent.simulator.java_jobs import JavaJobs
from spalloc_gevent.simulator.jobs import Jobs
from spalloc_gevent.wire.messages import (
    CommandRequest,
    ErrorReply,
    Message,
    Reply,
    decode_command,
    encode_message,
)


class Answers(Protocol):
    """What answers commands and tells of changes."""

    def carry_out(self, asker: Asker, request: CommandRequest) -> Reply | ErrorReply: ...
    def must_wait(self, request: CommandRequest, /) -> bool: ...
    def notifications(self) -> Iterator[tuple[Asker, dict[str, Any]]]: ...
    def next_due(self) -> float: ...
    def forget(self, asker: Asker) -> None: ...


@dataclass(frozen=True)
class Dialect:
    """One kind of server."""

    name: str
    version: str
    jobs: type[Jobs]
    commands: Callable[[Any, str], Answers]
    """Made of the jobs, and the version to tell."""
    decode: Callable[[bytes], CommandRequest]
    """Raises ProtocolError for a line on which the server hangs up."""
    encode: Callable[[Message], bytes]
    blank_line_ends: bool = False
    line_patience_s: float = float("inf")
    """A line that pauses longer than this loses its beginning."""


PYTHON = Dialect("python", "1!7.0.0", Jobs, Commands, decode_command, encode_message)
JAVA = Dialect(
    "java",
    "5.0.0",
    JavaJobs,
    JavaCommands,
    decode_java_command,
    encode_java_message,
    blank_line_ends=True,
    line_patience_s=2.0,
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (PYTHON, JAVA)}
