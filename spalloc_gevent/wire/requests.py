"""One command to be sent, and the rules for losing it on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from spalloc_gevent.wire.commands import COMMANDS, Route, route_of
from spalloc_gevent.wire.messages import AnyReply, encode_command


class Request:
    """A command as it goes over the wire, and how it may travel."""

    __slots__ = (
        "job_id",
        "late_reply",
        "line",
        "name",
        "outlives_caller",
        "repeatable",
        "route",
        "tries_at_once",
        "wait_for_server",
        "was_sent",
    )

    def __init__(
        self,
        name: str,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        wait_for_server: bool = False,
        tries_at_once: bool = False,
        late_reply: Callable[[AnyReply], Request | None] | None = None,
    ) -> None:
        """Encode a command.

        Args:
            name: the command's; one that is in no table travels alone.
            args, kwargs: what it is given, as JSON can carry it.
            wait_for_server: wait for a server that is away, instead of failing.
            tries_at_once: have a server that is away tried at once, and only then with the
                delay between attempts; a command that does not wait for the server always does.
            late_reply: called in the background with a reply that comes after its caller
                has given up; a command that it returns is sent over the same connection.

        Raises:
            TypeError, ValueError: arguments that JSON cannot carry.
        """
        self.name = name
        self.line = encode_command(name, args, kwargs or _NONE)
        self.wait_for_server = wait_for_server
        self.tries_at_once = tries_at_once or not wait_for_server
        self.late_reply = late_reply
        self.was_sent = False
        """True if the server may have carried it out, though its answer was lost."""
        plan = _plan(name, len(args), tuple(kwargs or ()))
        self.route, self.repeatable, self.outlives_caller, names_job = plan
        """Which connection carries it, if it may be sent again when that broke before the reply,
        and if it still goes out when its caller has given up."""
        self.job_id = args[0] if names_job else (kwargs or _NONE).get("job_id")
        """The job that it names, if it does."""


_NONE: Mapping[str, object] = {}


@functools.lru_cache(maxsize=1024)
def _plan(name: str, count: int, names: tuple[str, ...]) -> tuple[Route, bool, bool, bool]:
    """How a command travels, and if its first argument is a job's number."""
    route = route_of(name, range(count), dict.fromkeys(names))
    if route is Route.ALONE:
        return route, False, False, False
    command = COMMANDS[name]
    return route, command.repeatable, command.outlives_caller, command.names_job and count > 0
