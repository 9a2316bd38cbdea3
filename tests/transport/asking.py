"""Questions to a scripted server whose answers tell them apart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.link import ServerLink
from tests.transport.scripted_server import LONG_S, Command, Peer, echo

LinkTo = Callable[..., ServerLink]


def state_of(number: int, **rules: Any) -> Call:
    return Call("get_job_state", (number,), **rules)


def echo_of(number: int) -> list[Any]:
    return ["get_job_state", [number]]


def ask(link: ServerLink, number: int) -> Any:
    return link.run(state_of(number), LONG_S)


def held_until(gate: threading.Event) -> Callable[[Peer, Command], None]:
    def script(peer: Peer, command: Command) -> None:
        assert gate.wait(LONG_S)
        echo(peer, command)

    return script
