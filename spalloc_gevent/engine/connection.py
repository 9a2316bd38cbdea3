"""One TCP connection's life: an explicit state table over a non-blocking socket.

Driven by the hub's loop, with no greenlet of its own. What the server sends is
read at once, whether anybody waits for it or not.
"""

from __future__ import annotations

import enum
import logging
import socket
from typing import Any, Protocol

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.errors import LifecycleBugError, ProtocolError
from spalloc_gevent.wire.conversation import Answer, Conversation, Swallowed
from spalloc_gevent.wire.messages import Notification

_log = logging.getLogger(__name__)

READ_BYTES = 32 * 1024
"""Small enough for a quick allocation at every read; longer answers take several."""
LINGER_S = 1.0
"""How long a polite close waits for the server to end its side."""

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_READABLE, _WRITABLE = 1, 2


class ConnectionState(enum.Enum):
    """Where in its life a connection is."""

    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


_NEXT = {
    (ConnectionState.OPEN, "retire"): ConnectionState.DRAINING,
    (ConnectionState.OPEN, "broke"): ConnectionState.GONE,
    (ConnectionState.DRAINING, "broke"): ConnectionState.GONE,
}


class Owner(Protocol):
    """Who is told what happens on a connection; every method runs on the hub."""

    def idle(self, connection: Connection) -> None:
        """The answer that was owed is here; the next command may be sent."""

    def gone(self, connection: Connection, error: Exception, call: Call | None) -> None:
        """The connection is no more; `call` was in flight on it, and not abandoned."""

    def notified(self, notification: Notification) -> None:
        """The server told something unasked."""


class Connection:
    """A connected socket that carries one command at a time."""

    def __init__(self, thread: HubThread, sock: Any, owner: Owner) -> None:
        self.state = ConnectionState.OPEN
        self.proven = False
        """True once the server has answered here: it is more than a place in a backlog."""
        self._thread = thread
        self._socket = sock
        self._owner = owner
        self._conversation: Conversation[Call] = Conversation()
        self._unsent = b""
        self._linger: Timer | None = None
        self._writer: Any = None
        self._reader = thread.loop.io(sock.fileno(), _READABLE)
        self._reader.start(self._readable)
        thread.opened(sock)

    def __repr__(self) -> str:
        call = self.in_flight
        doing = f"{call.name!r} in flight" if call else "idle"
        return f"<Connection {self.state.value}, {doing}>"

    @property
    def in_flight(self) -> Call | None:
        return self._conversation.in_flight

    def _on(self, event: str) -> None:
        try:
            self.state = _NEXT[self.state, event]
        except KeyError:
            raise LifecycleBugError(f"{event!r} on a connection {self.state.value}") from None

    def stays_idle(self) -> bool:
        """Take in what has come unasked, which is no answer to what is sent next.

        False if the connection is of no more use: out of step, or closed by the server.
        """
        self._readable()
        return self.state is ConnectionState.OPEN

    def send(self, call: Call, now: float) -> None:
        """Send `call`, whose answer its outcome gets; there must be none in flight."""
        if self.state is not ConnectionState.OPEN:
            raise LifecycleBugError(f"{call.name!r} sent on a connection {self.state.value}")
        self._conversation.sent(call)
        call.sent(now)
        _log.debug("-> %s", call.line)
        self._unsent = call.line
        self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            # Told by the loop, not by the caller's stack, which may still be choosing.
            self._thread.timer(0.0, self._broke, error)
            return
        self._unsent = self._unsent[sent:]
        if self._unsent and self._writer is None:
            self._writer = self._thread.loop.io(self._socket.fileno(), _WRITABLE)
            self._writer.start(self._writable)

    def _writable(self) -> None:
        self._drop_writer()
        self._write()
        if self.state is ConnectionState.DRAINING and not self._unsent:
            self._end_writing()

    def _readable(self) -> None:
        try:
            self._acknowledge_quickly()
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._broke(error)
            return
        if data:
            self._take_in(data)
        else:
            self._broke(ProtocolError("the server closed the connection"))

    def _acknowledge_quickly(self) -> None:
        # The server never sets TCP_NODELAY: its second message in a row would wait
        # for our delayed acknowledgement, 44 ms on Linux. The option does not stick.
        if _QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _take_in(self, data: bytes) -> None:
        _log.debug("<- %s", data)
        was_busy = self.in_flight is not None
        try:
            for event in self._conversation.events(data):
                self._handle(event)
        except ProtocolError as error:
            self._broke(error)
            return
        if was_busy and self.in_flight is None and self.state is ConnectionState.OPEN:
            self._owner.idle(self)

    def _handle(self, event: Answer[Call] | Swallowed[Call] | Notification) -> None:
        if isinstance(event, Notification):
            self._owner.notified(event)
            return
        self.proven = True
        event.waiter.answered(event.reply)

    def abandon(self) -> None:
        """Its caller has given up: the answer in flight is still owed, and swallowed."""
        self._conversation.abandon()

    def retire(self, linger_s: float = LINGER_S) -> None:
        """Close politely: shut down writing, read to the end, close.

        An answer that is still owed is taken in. An abrupt close with a command
        in flight or unread bytes is what real servers do not take well.
        """
        if self.state is not ConnectionState.OPEN:
            return
        self._on("retire")
        self._linger = self._thread.timer(linger_s, self._broke, TimeoutError("it did not close"))
        if not self._unsent:
            self._end_writing()

    def _end_writing(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        if self.state is ConnectionState.GONE:
            return
        self._on("broke")
        call = None if self._conversation.abandoned else self._conversation.in_flight
        self._let_go()
        self._owner.gone(self, error, call)

    def _let_go(self) -> None:
        self._drop_writer()
        self._reader.stop()
        self._reader.close()
        if self._linger is not None:
            self._linger.cancel()
        self._socket.close()
        self._thread.closed(self._socket)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None
