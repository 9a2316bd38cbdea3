"""A client for a program that asks a few things, one after another, and ends."""

from __future__ import annotations

from typing import Any

from spalloc_gevent.engine.plain import PlainConnection
from spalloc_gevent.server_commands import (
    DEFAULT_PORT,
    NotGiven,
    ServerCommands,
    Timeout,
    as_port,
)
from spalloc_gevent.wire.conversation import value_of
from spalloc_gevent.wire.messages import encode_command


class PlainClient(ServerCommands):
    """The server's commands over one connection, in the calling thread, without gevent.

    Starts at once and is cheap. It is for one thread, blocks it, holds no jobs alive, sends
    nothing again after a lost connection, and hears no notifications:
    :class:`~spalloc_gevent.ProtocolClient` does all of that.
    """

    def __init__(
        self, hostname: str, port: int | str = DEFAULT_PORT, timeout: float | None = None
    ) -> None:
        """Define a client; it connects when first asked. `timeout` in seconds, None for none."""
        self._connection = PlainConnection(hostname, as_port(port))
        self._timeout_s = timeout

    def __enter__(self) -> PlainClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect from the server, politely; the next command connects again."""
        self._connection.close()

    def _ask(self, name: str, *args: object, timeout: Timeout, **kwargs: object) -> Any:
        timeout_s = self._timeout_s if isinstance(timeout, NotGiven) else timeout
        reply = self._connection.ask(name, encode_command(name, args, kwargs), timeout_s)
        return value_of(name, reply)
