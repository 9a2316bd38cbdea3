"""A server that does what the test says, and links to it on a hub of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from spalloc_gevent.engine.hub import Hub
from spalloc_gevent.engine.link import ServerLink
from tests.transport.asking import LinkTo
from tests.transport.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.end()


@pytest.fixture
def link_to(hub: Hub) -> Iterator[LinkTo]:
    """Makes links; all are closed before their servers stop."""
    links: list[ServerLink] = []

    def make(server: ScriptedServer, **options: Any) -> ServerLink:
        links.append(ServerLink(hub, server.host, server.port, **options))
        return links[-1]

    yield make
    for link in links:
        link.close()
