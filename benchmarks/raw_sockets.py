"""The floor: the same commands over plain sockets, with nothing but ``selectors`` and ``json``."""

from __future__ import annotations

import json
import queue
import selectors
import socket
from collections.abc import Iterable, Iterator
from typing import Any

Command = tuple[str, tuple[object, ...], dict[str, object]]
"""A command's name, arguments and keywords."""


class RawSockets:
    """A few connections to one server, open from the start, with one command in flight on each."""

    def __init__(self, host: str, port: int, count: int) -> None:
        self._sockets = [_connected(host, port) for _ in range(count)]
        self._free: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        for sock in self._sockets:
            self._free.put(sock)

    def __enter__(self) -> RawSockets:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for sock in self._sockets:
            _hang_up(sock)

    def run(self, commands: Iterable[Command]) -> list[Any]:
        """What the server returned for each command, in the order of the answers."""
        waiting = iter(commands)
        answers: list[Any] = []
        with selectors.DefaultSelector() as selector:
            for sock in self._sockets:
                if _send_next(sock, waiting):
                    selector.register(sock, selectors.EVENT_READ, bytearray())
            while selector.get_map():
                for key, _ in selector.select():
                    self._read(selector, key, waiting, answers)
        return answers

    def run_blocking(self, commands: Iterable[Command]) -> list[Any]:
        """As :meth:`run`, over one of the connections, with no loop: send, then wait."""
        return [_ask(self._sockets[0], command) for command in commands]

    def ask(self, command: Command) -> Any:
        """What the server returns, over the next connection that is free, for any thread."""
        sock = self._free.get()
        try:
            return _ask(sock, command)
        finally:
            self._free.put(sock)

    @staticmethod
    def _read(
        selector: selectors.BaseSelector,
        key: selectors.SelectorKey,
        waiting: Iterator[Command],
        answers: list[Any],
    ) -> None:
        sock, unread = key.fileobj, key.data
        assert isinstance(sock, socket.socket)
        unread += _received(sock)
        if unread.endswith(b"\n"):
            answers.append(_returned(unread))
            unread.clear()
            if not _send_next(sock, waiting):
                selector.unregister(sock)


class Notified:
    """A connection that is told of every job's changes."""

    def __init__(self, host: str, port: int) -> None:
        self._sock = _connected(host, port)
        self._unread = bytearray()
        _ask(self._sock, ("notify_job", (None,), {}))

    def next(self) -> dict[str, Any]:
        """The next notification; waits for it."""
        while b"\n" not in self._unread:
            self._unread += _received(self._sock)
        line, _, self._unread = self._unread.partition(b"\n")
        notification: dict[str, Any] = json.loads(line)
        return notification

    def close(self) -> None:
        _hang_up(self._sock)


def _hang_up(sock: socket.socket) -> None:
    """Politely: the real server does not survive every other way."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65_536):
        pass
    sock.close()


def _connected(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _send_next(sock: socket.socket, waiting: Iterator[Command]) -> bool:
    for command in waiting:
        sock.sendall(_encoded(command))
        return True
    return False


def _ask(sock: socket.socket, command: Command) -> Any:
    sock.sendall(_encoded(command))
    answer = _received(sock)
    while not answer.endswith(b"\n"):
        answer += _received(sock)
    return _returned(answer)


def _encoded(command: Command) -> bytes:
    name, args, kwargs = command
    return json.dumps({"command": name, "args": args, "kwargs": kwargs}).encode("utf-8") + b"\n"


def _received(sock: socket.socket) -> bytes:
    data = sock.recv(65_536)
    if not data:
        raise ConnectionError("the server hung up on a raw socket")
    return data


def _returned(answer: bytes | bytearray) -> Any:
    reply = json.loads(answer)
    if "return" not in reply:
        raise ValueError(f"the server refused: {reply}")
    return reply["return"]
