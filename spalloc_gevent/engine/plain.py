"""One blocking connection in the caller's own thread, for a program that asks little and ends.

No hub, no greenlet, no second thread: starting those, and importing gevent,
would take a quick command longer than its question does.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import ConnectionLostError, ProtocolError, ProtocolTimeoutError
from spalloc_gevent.wire.conversation import Answer, Conversation
from spalloc_gevent.wire.messages import Refused, Returned

DIAL_TIMEOUT_S = 5.0
LINGER_S = 1.0
"""How long a polite close waits for the server to end its side."""
READ_BYTES = 64 * 1024

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class PlainConnection:
    """Asks one command after another; connects when first asked. For one thread only."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._conversation: Conversation[str] = Conversation()

    def ask(self, name: str, line: bytes, timeout_s: float | None) -> Returned | Refused:
        """Send the `line` of command `name`; the server's answer.

        Raises ProtocolTimeoutError after `timeout_s` seconds (None: never) and
        ConnectionLostError. An answer that did not come is not waited for any
        more: the connection is closed, and the next command gets a new one.
        """
        deadline = Deadline(timeout_s)
        try:
            return self._exchange(name, line, deadline)
        except TimeoutError:
            self.close()
            raise ProtocolTimeoutError(
                f"{self._host}:{self._port} did not answer {name!r} in {timeout_s:g} s"
            ) from None
        except ConnectionLostError:
            raise
        except (OSError, ProtocolError) as error:
            self.close()
            raise ConnectionLostError(
                f"the connection to {self._host}:{self._port} broke before {name!r} "
                f"was answered: {error}",
                may_have_happened=True,
            ) from None
        except BaseException:
            self.close()
            raise

    def _exchange(self, name: str, line: bytes, deadline: Deadline) -> Returned | Refused:
        if self._socket is None:
            self._socket = self._dial(deadline)
            self._conversation = Conversation()
        self._conversation.sent(name)
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(line)
        while True:
            self._socket.settimeout(_left(deadline))
            for event in self._conversation.receive(_received(self._socket)):
                if isinstance(event, Answer):
                    return event.reply

    # -- the connection ---------------------------------------------------------

    def _dial(self, deadline: Deadline) -> socket.socket:
        within = Deadline(deadline.left_or(DIAL_TIMEOUT_S))
        failure = "it has no address"
        try:
            for family, kind, protocol, _, address in _addresses(self._host, self._port):
                try:
                    return _connected(socket.socket(family, kind, protocol), address, within)
                except TimeoutError:
                    failure = "no answer to the connection attempt"
                except OSError as error:
                    failure = str(error)
        except (OSError, UnicodeError) as error:
            # A host name that IDNA cannot encode is an error of its own kind.
            failure = str(error)
        raise ConnectionLostError(
            f"cannot connect to the spalloc server at {self._host}:{self._port}: {failure}"
        )

    def close(self) -> None:
        """Disconnect politely: shut down writing, read to the end, close.

        An abrupt close with a command in flight is what real servers do not take well.
        """
        sock, self._socket = self._socket, None
        if sock is None:
            return
        within = Deadline(LINGER_S)
        with closing(sock), suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(_left(within))
            while sock.recv(READ_BYTES):
                sock.settimeout(_left(within))


_Address = tuple[int, int, int, str, tuple[object, ...]]


def _addresses(host: str, port: int) -> Iterator[_Address]:
    # Text goes through the IDNA codec, whose import takes longer than the look-up.
    name = host.encode("ascii") if host.isascii() else host
    yield from socket.getaddrinfo(name, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def _connected(sock: socket.socket, address: object, within: Deadline) -> socket.socket:
    try:
        sock.settimeout(_left(within))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)  # type: ignore[arg-type]
        # TCP lets a port of the local range connect to itself when no server listens on it.
        if sock.getsockname() == sock.getpeername():
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except BaseException:
        sock.close()
        raise
    return sock


def _left(deadline: Deadline) -> float | None:
    """The seconds left, as a socket takes them; raises TimeoutError when there are none."""
    left_s = deadline.left()
    if left_s is not None and left_s <= 0:
        raise TimeoutError
    return left_s


def _received(sock: socket.socket) -> bytes:
    # The server never sets TCP_NODELAY: the rest of a long answer would wait for our
    # delayed acknowledgement, 44 ms on Linux. The option does not stick.
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
    data = sock.recv(READ_BYTES)
    if not data:
        raise ProtocolError("the server closed the connection")
    return data
