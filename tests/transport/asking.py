"""How the tests ask a session: questions whose answers tell everybody their own."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.transport.session import ServerSession
from spalloc_gevent.wire.requests import Request
from tests.transport.scripted_server import LONG_S, Command, Peer, Script, ScriptedServer, echo


class SessionWith(Protocol):
    """Makes a session with a scripted server."""

    def __call__(self, server: ScriptedServer, **options: Any) -> ServerSession: ...


def state_of(number: int, **rules: Any) -> Request:
    """A question by number; the scripted server echoes it unless the test says otherwise."""
    return Request("get_job_state", (number,), **rules)


def call(session: ServerSession, request: Request, timeout_s: float = LONG_S) -> Any:
    """What the server answers."""
    return session.call(request, Deadline(timeout_s))


def ask(session: ServerSession, number: int, timeout_s: float = LONG_S) -> Any:
    """What the server answers to :func:`state_of`."""
    return call(session, state_of(number), timeout_s)


def echo_of(number: int) -> list[object]:
    """What the scripted server echoes to :func:`ask`."""
    return ["get_job_state", [number]]


def held_until(gate: threading.Event) -> Script:
    """A script that echoes once the gate is open."""

    def script(peer: Peer, command: Command) -> None:
        assert gate.wait(LONG_S)
        echo(peer, command)

    return script


def hang_up(peer: Peer, _command: Command) -> None:
    """A script that answers by hanging up."""
    peer.hang_up()
