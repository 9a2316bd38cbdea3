"""One TCP connection's life: an explicit state table over a non-blocking socket.

Driven by the hub's loop, with no greenlet of its own. What the server sends is
read at once, whether anybody waits for it or not; except while it is lent to a
thread that waits for its answer itself.
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
        self.vouched = True
        """False while the jobs behind it may be others than those that are held."""
        self.asked_at: float | None = None
        """When the last command was sent, on the caller's clock."""
        self.socket = sock
        self.lent = False
        """True while the loop leaves the socket to the holder of a loan."""
        self._thread = thread
        self._owner = owner
        self._conversation: Conversation[Call] = Conversation()
        self._is_read = False
        """True while all that has come is taken in: on the way from an answer to the next call."""
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
        if not self._is_read:
            self._readable()
        return self.state is ConnectionState.OPEN

    def send(self, call: Call, now: float) -> None:
        """Send `call`, whose answer its outcome gets; there must be none in flight."""
        if self.state is not ConnectionState.OPEN:
            raise LifecycleBugError(f"{call.name!r} sent on a connection {self.state.value}")
        self._note(call, now)
        self._write()

    def _note(self, call: Call, now: float) -> None:
        self._conversation.sent(call)
        call.sent(now)
        self.asked_at = now
        _log.debug("-> %s", call.line)
        self._unsent = call.line

    def _write(self) -> None:
        try:
            self._send_some()
        except BlockingIOError:
            pass
        except OSError as error:
            # Told by the loop, not by the caller's stack, which may still be choosing.
            self._thread.timer(0.0, self._broke, error)
            return
        if self._unsent and self._writer is None:
            self._writer = self._thread.loop.io(self.socket.fileno(), _WRITABLE)
            self._writer.start(self._writable)

    def _send_some(self) -> None:
        sent = self.socket.send(self._unsent)
        self._unsent = self._unsent[sent:]

    def _writable(self) -> None:
        self._drop_writer()
        self._write()
        if self.state is ConnectionState.DRAINING and not self._unsent:
            self._end_writing()

    def _readable(self) -> None:
        conversation = self._conversation
        asked = conversation.in_flight
        try:
            all_read = self._take_in()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ProtocolError) as error:
            self._broke(error)
            return
        if asked and conversation.in_flight is None and self.state is ConnectionState.OPEN:
            self._is_read = all_read
            self._owner.idle(self)
            self._is_read = False
        if conversation.in_flight is None or conversation.in_flight is asked:
            self._acknowledge_quickly()

    def _take_in(self) -> bool:
        """Handle what is there to read; True if that is all of it, as far as can be told."""
        data = self.socket.recv(READ_BYTES)
        _log.debug("<- %s", data)
        if not data:
            raise ProtocolError("the server closed the connection")
        for event in self._conversation.events(data):
            self._handle(event)
        return len(data) < READ_BYTES

    def _acknowledge_quickly(self) -> None:
        # The server never sets TCP_NODELAY: its second message in a row would wait
        # for our delayed acknowledgement, 44 ms on Linux. The option does not stick.
        # Where a command follows at once it is not needed: that acknowledges as well.
        if _QUICKACK is not None and self.state is not ConnectionState.GONE:
            self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _handle(self, event: Answer[Call] | Swallowed[Call] | Notification) -> None:
        if isinstance(event, Notification):
            self._owner.notified(event)
            return
        self.proven = True
        event.waiter.answered(event.reply)

    # -- lent to another thread ---------------------------------------------

    def lend(self) -> None:
        """Leave the socket to the holder of a loan, with nothing in flight."""
        self.lent = True
        self._reader.stop()

    def begin_lent(self, call: Call, now: float) -> bool:
        """Send `call`; False if the socket does not take it all. For the holder of the loan."""
        self._note(call, now)
        self._send_some()
        return not self._unsent

    def receive_lent(self) -> None:
        """Take in what is there to read. For the holder of the loan, who hears what goes wrong."""
        self._take_in()

    def take_back(self, error: Exception | None, *, in_doubt: bool) -> None:
        """Go on from where the holders of the loan have got to.

        With an `error` it is of no more use. If what was sent and received is
        `in_doubt`, nothing more may be: it has to be retired.
        """
        self.lent = False
        self._reader.start(self._readable)
        if error is not None:
            self._broke(error)
        elif in_doubt:
            self._unsent = b""
            self.abandon()
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._unsent:
            self._write()
        # At once: what has come unasked is no answer to what is sent next.
        self._readable()
        self._acknowledge_quickly()

    # -- the end ------------------------------------------------------------

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
            self.socket.shutdown(socket.SHUT_WR)
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
        self.socket.close()
        self._thread.closed(self.socket)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None
