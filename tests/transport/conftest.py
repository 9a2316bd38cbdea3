"""A server that does what the test says, and sessions with it on a background hub of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.session import ServerSession
from tests.transport.asking import SessionWith
from tests.transport.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started


@pytest.fixture
def background() -> Iterator[BackgroundHub]:
    made = BackgroundHub()
    yield made
    made.end()


@pytest.fixture
def session_with(background: BackgroundHub) -> Iterator[SessionWith]:
    """Makes sessions; all are closed before their servers stop."""
    sessions: list[ServerSession] = []

    def make(server: ScriptedServer, **options: Any) -> ServerSession:
        sessions.append(ServerSession(background, server.host, server.port, **options))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
