"""One command to be sent, and the rules for losing it on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spalloc_gevent.wire.commands import COMMANDS, Command, Route, route_of
from spalloc_gevent.wire.messages import Refused, Returned, encode_command

Reply = Returned | Refused


class Request:
    """A command as it goes over the wire, and how it may travel."""

    __slots__ = ("job_id", "late_reply", "line", "name", "repeatable", "route", "wait_for_server")

    def __init__(
        self,
        name: str,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        wait_for_server: bool = False,
        late_reply: Callable[[Reply], object] | None = None,
    ) -> None:
        """Encode a command.

        Args:
            name: the command's; one that is in no table travels alone.
            args, kwargs: what it is given, as JSON can carry it.
            wait_for_server: wait for a server that is away, instead of failing.
            late_reply: called in the background with a reply that comes after its caller
                has given up.

        Raises:
            TypeError, ValueError: arguments that JSON cannot carry.
        """
        self.name = name
        self.line = encode_command(name, args, kwargs or {})
        self.wait_for_server = wait_for_server
        self.late_reply = late_reply
        self.route = route_of(name, args, kwargs or {})
        command = COMMANDS.get(name) if self.route is not Route.ALONE else None
        self.repeatable = command is not None and command.repeatable
        """May be sent again when its connection broke before the reply."""
        self.job_id = _job_named(command, args, kwargs or {})
        """The job that it names, if it does."""


def _job_named(
    command: Command | None, args: Sequence[Any], kwargs: Mapping[str, object]
) -> object:
    if command is not None and command.names_job and args:
        return args[0]
    return kwargs.get("job_id")
