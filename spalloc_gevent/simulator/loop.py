"""The loop that serves all clients, in one native thread.

Like the real Python server it is single-threaded, answers at once and tells of changes
after each round. Unlike that it is neither stalled nor ended by a bad client: it never
waits for one.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gevent.monkey import get_original

from spalloc_gevent.deadline import Clock
from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator.commands import Commands
from spalloc_gevent.simulator.connection import ServedConnection
from spalloc_gevent.simulator.dialects import Dialect
from spalloc_gevent.simulator.faults import CONNECT, Fault, FaultScript, answer_instead, reshaped
from spalloc_gevent.simulator.java_arguments import JavaException
from spalloc_gevent.simulator.record import SeenCommand, ServerRecord
from spalloc_gevent.simulator.timers import Timers
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import CommandRequest, ErrorReply, Notification

# The loop must not become a greenlet when the user's program is monkey-patched, so it
# uses what the operating system has, by way of the modules that are never patched.
new_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")
NativeSocket: type[socket.socket] = get_original("socket", "socket")

LONGEST_POLL_S = 60.0
PAUSE_WITHOUT_DESCRIPTORS_S = 0.1

READABLE, WRITABLE = select.POLLIN, select.POLLOUT
BROKEN = select.POLLERR | select.POLLHUP


@dataclass
class ServerState:
    """What the loop shares with those who ask about it from other threads."""

    clock: Clock
    dialect: Dialect
    script: FaultScript
    record: ServerRecord = field(default_factory=ServerRecord)
    lock: Any = field(default_factory=new_lock)
    """Held by the loop for each of its rounds, and by whoever else looks at the jobs."""


class ServerLoop:
    """One run of the server, from its start to its stop."""

    def __init__(
        self, listener: socket.socket, commands: Commands[Any], state: ServerState
    ) -> None:
        self._listener = listener
        self._commands = commands
        self._state = state
        self._poll: select.poll = get_original("select", "poll")()
        self._pauses = Timers(time.monotonic)
        self._connections: dict[int, ServedConnection] = {}
        self._held: list[ServedConnection] = []
        self._stopping = False
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._poll.register(self._wake_read, READABLE)
        self._poll.register(listener, READABLE)

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    def wake(self) -> None:
        """Have the loop look at everything again; from any thread."""
        with self._state.lock, contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.write(self._wake_write, b"x")

    def stop(self) -> None:
        """Ask the loop to end; from any thread."""
        self._stopping = True
        self.wake()

    def run(self) -> None:
        """Serve until stopped; then every connection is closed."""
        try:
            while not self._stopping:
                self.serve_once()
        finally:
            self._close()

    def serve_once(self) -> None:
        """Wait for something to do, and do it."""
        wait_s = min(
            self._commands.next_due() - self._state.clock(),
            self._pauses.next_due() - time.monotonic(),
            LONGEST_POLL_S,
        )
        # Rounded up to the milliseconds it counts in, lest it wake just before the time.
        ready = dict(self._poll.poll(math.ceil(max(0.0, wait_s) * 1000)))
        with self._state.lock:
            if ready.pop(self._wake_read, None):
                os.read(self._wake_read, 65_536)
            newcomers = ready.pop(self._listener.fileno(), None)
            for fd, events in ready.items():
                if fd in self._connections:
                    self._serve(self._connections[fd], events)
            # Last, because a connection may take the number of one that has just been closed.
            if newcomers:
                self._accept()
            self._pauses.run_due()
            self._tell_of_changes()
            while self._commands.jobs.timers.run_due():
                self._tell_of_changes()
            self._release_held()

    def _accept(self) -> None:
        while True:
            try:
                # The class's accept() would make sockets of whatever class `socket` is by now.
                fd, address = self._listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                self._pause_accepting()
                return
            sock = NativeSocket(fileno=fd)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = self._state.record.connected(len(self._connections) + 1)
            connection = ServedConnection(sock, number, address[0], self._state.dialect)
            self._connections[fd] = connection
            connection.greet(reshaped(self._state.script.strike(CONNECT), b""))
            self._advance(connection)

    def _pause_accepting(self) -> None:
        self._poll.unregister(self._listener)
        later = time.monotonic() + PAUSE_WITHOUT_DESCRIPTORS_S
        self._pauses.at(later, lambda: self._poll.register(self._listener, READABLE))

    def _serve(self, connection: ServedConnection, events: int) -> None:
        try:
            if events & WRITABLE:
                connection.flush()
            if events & READABLE:
                connection.receive(self._state.clock())
                self._state.record.in_flight(connection.in_flight)
            elif events & BROKEN:
                raise ConnectionResetError
        except BlockingIOError:
            pass
        except (OSError, ProtocolError):
            self._hang_up(connection)
        self._advance(connection)

    def _advance(self, connection: ServedConnection) -> None:
        """Answer what can be answered, and see what the connection waits for next."""
        try:
            while connection.is_open and not connection.paused:
                pause_s = connection.send_pieces()
                if pause_s > 0:
                    self._pause(connection, pause_s)
                    break
                line = connection.next_line()
                if line is None:
                    break
                self._answer(connection, line)
        except (OSError, ProtocolError):
            self._hang_up(connection)
        if not connection.is_open:
            return
        if connection.is_finished:
            self._hang_up(connection)
        else:
            interest = READABLE * connection.wants_reading | WRITABLE * bool(connection.unsent)
            if interest != connection.interest:
                self._poll.register(connection.fd, interest)
                connection.interest = interest

    def _pause(self, connection: ServedConnection, seconds: float) -> None:
        def go_on() -> None:
            connection.end_pause()
            self._advance(connection)

        connection.paused = True
        self._pauses.at(time.monotonic() + seconds, go_on)

    def _answer(self, connection: ServedConnection, line: bytes) -> None:
        try:
            request = self._state.dialect.decode(line)
        except JavaException as refusal:
            refused = self._state.dialect.encode(ErrorReply(str(refusal)))
            connection.answer(reshaped((), refused))
            return
        record = self._state.record
        seen = SeenCommand(request.name, request.args, request.kwargs, connection.number)
        record.commands.append(seen)
        if request.name in COMMANDS:
            record.counts[request.name] += 1
        if connection.has_sent_more:
            record.in_flight(connection.in_flight + 1)
        faults = self._state.script.strike(request.name)
        if self._commands.must_wait(request):
            connection.held = request, faults
            self._held.append(connection)
        else:
            self._carry_out(connection, request, faults)

    def _carry_out(
        self, connection: ServedConnection, request: CommandRequest, faults: list[Fault]
    ) -> None:
        encode = self._state.dialect.encode
        answer = answer_instead(faults, encode)
        if answer is None:
            answer = encode(self._commands.carry_out(connection, request))
        connection.answer(reshaped(faults, answer))

    def _release_held(self) -> None:
        """Carry out what had to wait, also of clients that have gone meanwhile."""
        held, self._held = self._held, []
        for connection in held:
            assert connection.held is not None
            if self._commands.must_wait(connection.held[0]):
                self._held.append(connection)
                continue
            (request, faults), connection.held = connection.held, None
            try:
                self._carry_out(connection, request, faults)
            except ProtocolError:
                self._hang_up(connection)
            if not connection.is_open:
                self._commands.forget(connection)
            self._advance(connection)

    def _tell_of_changes(self) -> None:
        for watcher, body in self._commands.notifications():
            assert isinstance(watcher, ServedConnection)
            try:
                watcher.tell(self._state.dialect.encode(Notification(body)))
            except OSError:
                self._hang_up(watcher)
            self._advance(watcher)

    def _hang_up(self, connection: ServedConnection) -> None:
        if connection.is_open:
            connection.is_open = False
            del self._connections[connection.fd]
            self._commands.forget(connection)
            if connection.interest is not None:
                self._poll.unregister(connection.fd)
            close_socket(connection.sock)

    def _close(self) -> None:
        with self._state.lock:
            self._closed = True
            for connection in list(self._connections.values()):
                self._hang_up(connection)
            close_socket(self._listener)
            os.close(self._wake_read)
            os.close(self._wake_write)


def close_socket(sock: socket.socket) -> None:
    """Close it for a forked child of the user's as well, which may hold it too."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
