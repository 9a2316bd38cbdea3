"""A socket that carries one command at a time, used by whoever holds it."""

from __future__ import annotations

import errno
import itertools
import logging
import math
import os
import socket
import struct
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from spalloc_gevent.address import bracketed
from spalloc_gevent.errors import ConnectionLostError, ProtocolError
from spalloc_gevent.transport import native
from spalloc_gevent.transport.waiting import (
    hub_waker,
    wait_readable,
    wait_writable,
)
from spalloc_gevent.wire.messages import AnyReply, Notification
from spalloc_gevent.wire.protocol_state import ProtocolState
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 5.0
CLOSE_WITHIN_S = 1.0
"""How long a polite close waits for the server to end its side."""
READ_BYTES = 32 * 1024
"""Small enough for a quick allocation at every read; longer replies take several."""

KERNEL_WAIT_S = 1
"""A receive that finds nothing returns after this time."""

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_numbers = itertools.count()


class Connection:
    """A connected socket; one thread or greenlet holds it at a time.

    An operating-system error, or a :class:`ProtocolError`, ends its use: it is then
    discarded, as after any exchange that did not come to its end.
    """

    def __init__(self, sock: Any) -> None:
        self.number = next(_numbers)
        self.sock = sock
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", KERNEL_WAIT_S, 0))
        self.poll = native.poll_for(sock, native.READABLE)
        self.made_at = monotonic()
        self.used_at = self.made_at
        """When the last reply came."""
        self.request: Request | None = None
        """The last one that was sent here."""
        self.sent_at = self.made_at
        """When it was."""
        self.holder: Request | None = None
        """What it is in use for; None while it is idle."""
        self.serves_keepalive = False
        self.has_ended_reading = False
        self.is_inherited = False
        """True in a forked child, if it is the parent's."""
        self.notified: Callable[[Notification], object] = _ignore
        """Called with each notification, by whoever reads."""
        self.dropped: Callable[[Connection], object] | None = None
        """Called if an interruption has left it, still open, with nobody that holds it."""
        self._state = ProtocolState()

    def __repr__(self) -> str:
        doing = "closed" if self.is_closed else "in-flight" if self.owes_reply else "idle"
        return f"<Connection {self.number} {doing}>"

    def __del__(self) -> None:
        # Half made, it has no attributes, and what it was made of is closed by who made that.
        if getattr(self, "dropped", None) is not None and not sys.is_finalizing():
            self.lose()

    def lose(self) -> None:
        """An interruption, or the end of a hub, has left it with nobody that holds it."""
        dropped, self.dropped = self.dropped, None
        if dropped is not None and not self.is_closed:
            dropped(self)

    def fileno(self) -> int:
        return int(self.sock.fileno())

    @property
    def is_closed(self) -> bool:
        return self.fileno() < 0

    @property
    def owes_reply(self) -> bool:
        """True while a command is in flight."""
        return self._state.in_flight

    @property
    def has_answered(self) -> bool:
        """True once the server has replied here: it is more than a place in a backlog."""
        return self.used_at > self.made_at

    def is_open_and_owes(self) -> bool:
        """True if its end has to wait for a reply."""
        return self.owes_reply and not self.is_closed

    @property
    def leads_to_java_server(self) -> bool:
        """True once it is known, by its line ends, that the Java server answers here."""
        return self._state.ends_lines_with_crlf

    # -- one command ------------------------------------------------------------

    def exchange(self, request: Request, deadline: float) -> AnyReply | None:
        """Send a command and read its reply.

        Args:
            request: the command; none may be in flight.
            deadline: when to give up, on the monotonic clock.

        Returns:
            The reply, or None if it has not come by the deadline and is still owed.

        Raises:
            OSError: the connection broke.
            ProtocolError: the server said what the protocol does not allow.
        """
        return self.reply(deadline) if self.send(request, deadline) else None

    def send(self, request: Request, deadline: float) -> bool:
        """Send a command; False if the server has not taken all of it by the deadline."""
        self.request = request
        self._state.sent()
        self.sent_at = monotonic()
        _log.debug("-> %s", request.line)
        rest = request.line
        while True:
            try:
                sent = self.sock.send(rest, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            if sent == len(rest):
                return True
            rest = rest[sent:]
            if not wait_writable(self.fileno(), deadline):
                return False

    def reply(self, deadline: float) -> AnyReply | None:
        """The reply that is owed, or None if it has not come by the deadline.

        Args:
            deadline: as for :meth:`exchange`, which also tells what is raised.
        """
        waker = hub_waker()
        # A receive waits as well, and saves a system call, after each of which a thread may
        # have to wait for the interpreter. Not in the main thread: a program's timer signals
        # would begin that wait anew, each time.
        may_block = waker is None and not native.is_main_thread()
        while True:
            if waker is not None:
                is_readable = waker.wait_readable(self, deadline)
            else:
                lasts = deadline - monotonic() > KERNEL_WAIT_S
                is_readable = (may_block and lasts) or wait_readable(self, deadline)
            if not is_readable:
                return None
            try:
                reply = self.receive()
            except BlockingIOError:
                continue
            if reply is not None:
                self.used_at = monotonic()
                return reply
            self.acknowledge_quickly()
            # In a flood of notifications there is something to read all the time.
            if monotonic() >= deadline:
                return None

    def receive(self) -> AnyReply | None:
        """Take in what there is to read; the reply if it is among it.

        Raises:
            BlockingIOError: there was nothing to read, for a second.
        """
        data = self.sock.recv(READ_BYTES)
        _log.debug("<- %s", data)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        reply = None
        for message in self._state.receive(data):
            if isinstance(message, Notification):
                self.notified(message)
            else:
                reply = message
        return reply

    def acknowledge_quickly(self) -> None:
        """Tell the server at once that what it sent has come."""
        # The server never sets TCP_NODELAY: the rest of a long answer, or the second message
        # in a row, would wait for our delayed acknowledgement, 44 ms on Linux. The option
        # does not stick.
        if _QUICKACK is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def is_clean(self, unused_for_s: float = math.inf) -> bool:
        """True if a command can be sent: nothing is owed, nothing but notifications has come.

        Args:
            unused_for_s: False, too, if it was not used for so many seconds.
        """
        state = self._state
        try:
            while not state.in_flight and state.violation is None:
                if not self.poll.poll(0):
                    return monotonic() - self.used_at < unused_for_s
                self.receive()
        except (OSError, ProtocolError) as error:
            _log.debug("an idle connection is of no more use: %s", error)
        return False

    # -- the end ------------------------------------------------------------------

    def end_writing(self) -> None:
        """Tell the server that no more commands will come; what is owed can still be read."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            _log.debug("a connection had ended already: %s", error)

    def end_reading(self) -> None:
        """Have whoever reads find the end."""
        self.has_ended_reading = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _log.debug("a connection had ended already: %s", error)

    def close(self, deadline: float | None = None) -> None:
        """Close politely: shut down writing, read to the end, close.

        An abrupt close with a command in flight or unread bytes is what real servers do not
        take well.

        Args:
            deadline: when to close all the same; None for a second from now.
        """
        if self.is_closed:
            return
        self.end_writing()
        until = monotonic() + CLOSE_WITHIN_S if deadline is None else deadline
        try:
            while wait_readable(self, until) and self.sock.recv(READ_BYTES):
                pass
        except OSError as error:
            _log.debug("a connection broke while it was closed: %s", error)
        finally:
            self.sock.close()

    def close_in_child(self) -> None:
        """In a forked child: let go of the parent's socket, without a shutdown."""
        self.dropped = None
        self.is_inherited = True
        native.close_descriptor(self.sock)


def _ignore(notification: Notification) -> None:
    _log.debug("a notification that nobody asked for here: %s", notification.body)


# -- making one ---------------------------------------------------------------------


def connect(host: str, port: int, deadline: float) -> Connection:
    """Connect to a server; each of its addresses has a share of the time.

    Args:
        host: a name, or an address of IPv4 or IPv6.
        port: the TCP port.
        deadline: when to give up, on the monotonic clock; 5 s from now at the latest.

    Raises:
        ConnectionLostError: no address answered; it names host, port and the reason.
    """
    deadline = min(deadline, monotonic() + CONNECT_WITHIN_S)
    failure = "it has no address"
    try:
        addresses = _addresses(host, port)
        for number, address in enumerate(addresses):
            now = monotonic()
            share_s = (deadline - now) / (len(addresses) - number)
            try:
                return Connection(_connected(address, now + share_s))
            except OSError as error:
                failure = str(error)
    except (OSError, UnicodeError) as error:
        # A host name that IDNA cannot encode is an error of its own kind.
        failure = str(error)
    raise ConnectionLostError(
        f"cannot connect to the spalloc server at {bracketed(host)}:{port}: {failure}"
    )


_Address = tuple[int, int, int, str, Any]


def _addresses(host: str, port: int) -> list[_Address]:
    # Text goes through the IDNA codec, whose import takes longer than the look-up.
    name = host.encode("ascii") if host.isascii() else host
    query = (name, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        return list(native.getaddrinfo(*query, socket.AI_NUMERICHOST))
    except socket.gaierror:
        waker = hub_waker()
        if waker is None:
            return list(native.getaddrinfo(*query))
        # The resolver blocks: not the hub, but a thread of its pool.
        return list(waker.hub.threadpool.apply(native.getaddrinfo, query))


def _connected(address: _Address, deadline: float) -> Any:
    family, kind, protocol, _, where = address
    sock = native.Socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(where)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            began = monotonic()
            if not wait_writable(sock.fileno(), deadline):
                waited_s = monotonic() - began
                raise TimeoutError(f"no answer to the connection attempt in {waited_s:.2g} s")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # TCP lets a port of the local range connect to itself when no server listens on it.
        if code == 0 and sock.getsockname() == sock.getpeername():
            code = errno.ECONNREFUSED
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock
