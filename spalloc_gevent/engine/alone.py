"""Commands that a server may answer by hanging up, each on a connection of its own."""

from __future__ import annotations

import logging
import time

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import Connection
from spalloc_gevent.engine.dialling import Dialler
from spalloc_gevent.engine.hub import HubThread
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.wire.messages import Notification

_log = logging.getLogger(__name__)


class Alone:
    """The connections that carry one command and end; every method runs on the hub."""

    def __init__(self, thread: HubThread, dial: Dialler) -> None:
        self._thread = thread
        self._dial = dial
        self._open: set[Connection] = set()

    @property
    def connections(self) -> int:
        return len(self._open)

    def submit(self, call: Call) -> None:
        self._thread.spawn(self._carry, call)

    def _carry(self, call: Call) -> None:
        try:
            sock = self._dial()
        except ConnectionLostError as error:
            call.outcome.fail(error)
            return
        connection = Connection(self._thread, sock, self)
        self._open.add(connection)
        if call.wanted:
            connection.send(call, time.monotonic())
        else:
            connection.retire()

    def abandon(self, call: Call) -> None:
        call.abandon()
        for connection in list(self._open):
            if connection.in_flight is call:
                connection.retire()

    def idle(self, connection: Connection) -> None:
        connection.retire()

    def gone(self, connection: Connection, error: Exception, call: Call | None) -> None:
        self._open.discard(connection)
        if call is not None:
            call.lost(self._dial.where, error)

    def notified(self, notification: Notification) -> None:
        _log.debug("a notification that nobody asked for: %s", notification.body)

    def close(self) -> None:
        for connection in list(self._open):
            connection.retire()
