"""How the tests ask a session: questions whose answers tell everybody their own."""

from __future__ import annotations

from typing import Any, Protocol

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.transport.session import ServerSession
from spalloc_gevent.wire.requests import Request
from tests.transport.scripted_server import LONG_S, ScriptedServer


class SessionWith(Protocol):
    """Makes a session with a scripted server."""

    def __call__(self, server: ScriptedServer, **options: Any) -> ServerSession: ...


def ask(session: ServerSession, number: int, timeout_s: float = LONG_S) -> Any:
    """A question by number; the scripted server echoes it unless the test says otherwise."""
    return session.call(Request("get_job_state", (number,)), Deadline(timeout_s))


def echo_of(number: int) -> list[object]:
    """What the scripted server echoes to :func:`ask`."""
    return ["get_job_state", [number]]
