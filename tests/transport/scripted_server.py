"""A server of native threads that does just what a test tells it, and remembers what it saw."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.real_server import free_port

LONG_S = 30.0
"""What never takes this long has gone wrong."""


@dataclass(frozen=True)
class Command:
    """One command as it arrived."""

    connection: int
    name: str
    args: list[Any]

    @property
    def echo(self) -> list[Any]:
        """The answer that tells everybody their own."""
        return [self.name, self.args]


@dataclass
class Peer:
    """The server's end of one connection; `end` says how the client ended its own."""

    number: int
    sock: socket.socket
    end: str | None = None
    sent_early: int = 0
    """How often there was more to read before a command was answered."""
    commands: list[Command] = field(default_factory=list)

    def answer(self, value: Any) -> None:
        self.send({"return": value})

    def send(self, *messages: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in messages))

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def has_more_to_read(self) -> bool:
        """True if the client has sent on; its end alone does not count."""
        readable = bool(select.select([self.sock], [], [], 0)[0])
        return readable and bool(self.sock.recv(1, socket.MSG_PEEK))


Script = Callable[[Peer, Command], None]


def echo(peer: Peer, command: Command) -> None:
    peer.answer(command.echo)


class ScriptedServer:
    """Calls `script` with each command that arrives, in the thread of its connection."""

    def __init__(self, script: Script = echo, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script = script
        self.host = host
        self.port = port or free_port()
        self.peers: list[Peer] = []
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> ScriptedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=64)
        self._in_thread(self._accept, self._listener)

    def stop(self) -> None:
        """End it with every connection, and every thread it has started."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
        if self._threads:
            # First the one that accepts: the last it has accepted is to be hung up on as well.
            self._threads[0].join(LONG_S)
        for peer in self.peers:
            peer.hang_up()
        for thread in self._threads:
            thread.join(LONG_S)
            assert not thread.is_alive(), "a thread of the scripted server does not end"
        if listener is not None:
            listener.close()
        self._threads.clear()

    def _in_thread(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                peer = Peer(len(self.peers) + 1, sock)
                self.peers.append(peer)
                self._changed.notify_all()
            self._in_thread(self._serve, peer)

    def _serve(self, peer: Peer) -> None:
        with peer.sock, peer.sock.makefile("rb") as lines:
            try:
                for line in lines:
                    self._carry_out(peer, json.loads(line))
                self._note_end(peer, "finished")
            except ConnectionError:
                self._note_end(peer, "reset")

    def _carry_out(self, peer: Peer, request: dict[str, Any]) -> None:
        args = [*request["args"], *request["kwargs"].values()]
        command = Command(peer.number, request["command"], args)
        with self._changed:
            peer.sent_early += peer.has_more_to_read()
            peer.commands.append(command)
            self._changed.notify_all()
        self.script(peer, command)

    def _note_end(self, peer: Peer, end: str) -> None:
        with self._changed:
            peer.end = end
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return once `condition` holds; it is looked at whenever the server sees something."""
        assert self.comes_to(condition, LONG_S), f"it has not come so far: {self!r}"

    def comes_to(self, condition: Callable[[], object], within_s: float) -> bool:
        """Whether `condition` comes to hold in so many seconds."""
        with self._changed:
            return bool(self._changed.wait_for(condition, within_s))

    def __repr__(self) -> str:
        seen = [(peer.number, [c.name for c in peer.commands], peer.end) for peer in self.peers]
        return f"<ScriptedServer {self.host}:{self.port} {seen}>"

    @property
    def commands(self) -> list[Command]:
        """Every command seen, connection by connection."""
        return [command for peer in list(self.peers) for command in list(peer.commands)]

    @property
    def counts(self) -> Counter[str]:
        """How often each command has come."""
        return Counter(command.name for command in self.commands)

    @property
    def open_connections(self) -> int:
        return sum(peer.end is None for peer in list(self.peers))


def first_only(name: str, strike: Script) -> Script:
    """A script that strikes once, at the first command `name`, and else echoes."""
    left = [True]
    mutex = threading.Lock()

    def script(peer: Peer, command: Command) -> None:
        with mutex:
            struck = command.name == name and bool(left)
            if struck:
                left.clear()
        (strike if struck else echo)(peer, command)

    return script


def threads_of_this_process() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
