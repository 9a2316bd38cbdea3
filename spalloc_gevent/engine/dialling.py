"""A host name and a port to a connected native socket, without blocking the hub."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from typing import Any

import gevent
import gevent.socket

from spalloc_gevent.engine import native
from spalloc_gevent.engine.hub import HubThread
from spalloc_gevent.errors import ConnectionLostError

DIAL_TIMEOUT_S = 5.0

_Address = tuple[int, int, int, Any]


class Dialler:
    """Makes connections to one server."""

    def __init__(self, thread: HubThread, host: str, port: int) -> None:
        self.timeout_s = DIAL_TIMEOUT_S
        """After this time an attempt is taken for vain."""
        self._thread = thread
        self._host = host
        self._port = port

    @property
    def where(self) -> str:
        """The server's name, for messages."""
        return f"{self._host}:{self._port}"

    def __call__(self) -> Any:
        """As :func:`dial`."""
        return dial(self._thread, self._host, self._port, self.timeout_s)


def dial(thread: HubThread, host: str, port: int, timeout_s: float) -> Any:
    """A connected, non-blocking native socket; in a greenlet of the hub.

    The host's addresses, IPv6 and IPv4, are tried in the resolver's order
    within one time limit. Raises ConnectionLostError that names host and port.
    """
    failure = "it has no address"
    try:
        with gevent.Timeout(timeout_s):
            for address in _addresses(host, port):
                try:
                    return _connect(thread, address)
                except OSError as error:
                    failure = str(error)
    except gevent.Timeout:
        failure = f"no answer to the connection attempt in {timeout_s:g} s"
    except (OSError, UnicodeError) as error:
        # A host name that IDNA cannot encode is an error of its own kind.
        failure = str(error)
    raise ConnectionLostError(f"cannot connect to the spalloc server at {host}:{port}: {failure}")


def _addresses(host: str, port: int) -> list[_Address]:
    try:
        found = _look_up(socket.AI_NUMERICHOST, native.getaddrinfo, host, port)
    except socket.gaierror:
        # Only a name needs the resolver, which gevent asks in a thread of its pool.
        found = _look_up(0, gevent.socket.getaddrinfo, host, port)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]


def _look_up(flags: int, getaddrinfo: Any, host: str, port: int) -> Any:
    return getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, flags)


def _connect(thread: HubThread, where: _Address) -> Any:
    family, kind, protocol, address = where
    sock = native.Socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _await_connection(thread, sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _await_connection(thread: HubThread, sock: Any, address: Any) -> None:
    code = sock.connect_ex(address)
    if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        with closing(thread.loop.io(sock.fileno(), 2)) as writable:
            gevent.get_hub().wait(writable)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    # TCP lets a port of the local range connect to itself when no server listens on it.
    if code == 0 and sock.getsockname() == sock.getpeername():
        code = errno.ECONNREFUSED
    if code:
        raise OSError(code, os.strerror(code))
