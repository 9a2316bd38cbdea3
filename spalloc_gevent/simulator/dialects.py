"""The two kinds of servers: what each is made of, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.simulator.allocator import AllocatedJobs
from spalloc_gevent.simulator.commands import Commands, PythonCommands
from spalloc_gevent.simulator.java_arguments import decode_java_command, encode_java_message
from spalloc_gevent.simulator.java_commands import JavaCommands
from spalloc_gevent.simulator.jobs import Jobs
from spalloc_gevent.simulator.queues import QueuedJobs
from spalloc_gevent.wire.messages import CommandRequest, Message, decode_command, encode_message


@dataclass(frozen=True)
class Dialect:
    """One kind of server."""

    name: str
    version: str
    jobs: type[Jobs]
    commands: Callable[[Any, str], Commands[Any]]
    """Made of the jobs, and the version to tell."""
    decode: Callable[[bytes], CommandRequest]
    """Raises ProtocolError for a line on which the server hangs up."""
    encode: Callable[[Message], bytes]
    blank_line_ends: bool
    line_patience_s: float
    """A line that pauses longer than this loses its beginning."""


DIALECTS: Mapping[str, Dialect] = {
    "python": Dialect(
        name="python",
        version="1!7.0.0",
        jobs=QueuedJobs,
        commands=PythonCommands,
        decode=decode_command,
        encode=encode_message,
        blank_line_ends=False,
        line_patience_s=float("inf"),
    ),
    "java": Dialect(
        name="java",
        version="5.0.0",
        jobs=AllocatedJobs,
        commands=JavaCommands,
        decode=decode_java_command,
        encode=encode_java_message,
        blank_line_ends=True,
        line_patience_s=2.0,
    ),
}
