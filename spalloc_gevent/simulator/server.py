"""The simulated server on sockets: one loop in one native thread of its own.

Like the real server it is single-threaded, answers at once and tells of changes
after each round. Unlike the real one it is neither stalled nor ended by a bad
client: it never waits for one, and what it keeps for each is bounded.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import math
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from gevent.monkey import get_original

from spalloc_gevent.deadline import Clock
from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator.client import Client
from spalloc_gevent.simulator.commands import Commands, listed_jobs
from spalloc_gevent.simulator.dialects import DIALECTS, Dialect
from spalloc_gevent.simulator.faults import (
    CONNECT,
    Fault,
    FaultScript,
    answer_instead,
    reshaped,
)
from spalloc_gevent.simulator.java_arguments import JavaException
from spalloc_gevent.simulator.java_options import ORDINARY, JavaOptions
from spalloc_gevent.simulator.jobs import Jobs
from spalloc_gevent.simulator.machine import MOST_MACHINES, MachineSpec
from spalloc_gevent.simulator.record import CommandsSeen, Record, SeenCommand
from spalloc_gevent.wire.checks import as_int, as_number
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import (
    CommandRequest,
    ErrorReply,
    Notification,
)

DEFAULT_PORT = 22244

# The loop must not become a greenlet when the user's program is monkey-patched, so it
# uses what the operating system has, by way of the modules that are never patched.
_start_thread: Callable[..., int] = get_original("_thread", "start_new_thread")
_new_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")
_getaddrinfo: Callable[..., list[Any]] = get_original("socket", "getaddrinfo")
_Socket: type[socket.socket] = get_original("socket", "socket")

_BACKLOG = 128
_CHUNK_BYTES = 65_536
_LONGEST_POLL_S = 60.0
_LONGEST_WAIT_S = 0.1
_PAUSE_WITHOUT_DESCRIPTORS_S = 0.1
_PORT_TRIES = 100
# Below the ports that the system gives to outgoing connections: one that is free between a
# stop and a restart must not become the near end of somebody's attempt to connect to it.
_FREE_PORTS = range(10_000, 32_000)

# These have the same values for poll and for epoll.
_READABLE, _WRITABLE, _BROKEN = 0x001, 0x004, 0x008 | 0x010


class _Poller:
    """Which descriptors can be read or written: epoll where there is one, else poll."""

    def __init__(self) -> None:
        self._units_a_second = 1.0
        try:
            self._poll: Any = get_original("select", "epoll")()
        except AttributeError:
            self._poll = get_original("select", "poll")()
            self._units_a_second = 1000.0

    def set(self, fd: int, interest: int, before: int | None) -> None:
        """Be told of `interest` in `fd`; `before` is what it was, None for a new one."""
        if before is None:
            self._poll.register(fd, interest)
        elif interest != before:
            self._poll.modify(fd, interest)

    def forget(self, fd: int) -> None:
        self._poll.unregister(fd)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        # Rounded up to the milliseconds it counts in, lest it wake just before the time.
        milliseconds = math.ceil(seconds * 1000)
        events: list[tuple[int, int]] = self._poll.poll(milliseconds / 1000 * self._units_a_second)
        return events

    def close(self) -> None:
        if hasattr(self._poll, "close"):
            self._poll.close()


class _Connection(Client):
    """A client and its socket."""

    def __init__(self, number: int, host: str, sock: socket.socket, dialect: Dialect) -> None:
        super().__init__(number, host, blank_line_ends=dialect.blank_line_ends)
        self.sock = sock
        self.fd = sock.fileno()
        self.interest: int | None = None
        self.is_open = True
        self.paused = False
        self.heard_at = 0.0


@dataclass
class _Shared:
    """What the loop shares with those who ask about it from other threads."""

    clock: Clock
    dialect: Dialect
    lock: Any = field(default_factory=_new_lock)
    """Held by the loop for each of its rounds, and by whoever else looks at the jobs."""
    record: Record = field(default_factory=Record)
    script: FaultScript = field(default_factory=FaultScript)


class _Loop:
    """One run of the server, from its start to its stop."""

    def __init__(
        self, listener: socket.socket, jobs: Jobs, commands: Commands[Any], shared: _Shared
    ) -> None:
        self._listener = listener
        self._jobs = jobs
        self._commands = commands
        self._shared = shared
        self._poller = _Poller()
        self._connections: dict[int, _Connection] = {}
        self._held: list[_Connection] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_order = itertools.count()
        self._stopping = False
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._poller.set(self._wake_read, _READABLE, None)
        self._poller.set(listener.fileno(), _READABLE, None)

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def wake(self) -> None:
        """Have the loop look at everything again; from any thread."""
        with self._shared.lock, contextlib.suppress(BlockingIOError):
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
                self._round()
        finally:
            self._close()

    def _round(self) -> None:
        ready = self._poller.wait(self._wait_s())
        with self._shared.lock:
            self._handle(dict(ready))
            self._run_timers()
            self._tell_of_changes()
            while self._jobs.timers.run_due():
                self._tell_of_changes()
            self._release_held()

    def _wait_s(self) -> float:
        waits = [self._commands.next_due() - self._shared.clock()]
        if self._timers:
            waits.append(self._timers[0][0] - time.monotonic())
        return max(0.0, min(*waits, _LONGEST_POLL_S))

    def _handle(self, ready: dict[int, int]) -> None:
        if ready.pop(self._wake_read, None):
            os.read(self._wake_read, _CHUNK_BYTES)
        newcomers = ready.pop(self._listener.fileno(), None)
        for fd, events in ready.items():
            if fd in self._connections:
                self._serve(self._connections[fd], events)
        # Last, because a new connection may take the number of one that has just been closed.
        if newcomers:
            self._accept()

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
            self._connected(_Socket(fileno=fd), address[0])

    def _pause_accepting(self) -> None:
        self._poller.set(self._listener.fileno(), 0, _READABLE)
        self._later(_PAUSE_WITHOUT_DESCRIPTORS_S, self._accept_again)

    def _accept_again(self) -> None:
        self._poller.set(self._listener.fileno(), _READABLE, 0)

    def _connected(self, sock: socket.socket, host: str) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = self._shared.record.connected(len(self._connections) + 1)
        connection = _Connection(number, host, sock, self._shared.dialect)
        self._connections[connection.fd] = connection
        connection.greet(reshaped(self._shared.script.strike(CONNECT), b""))
        self._advance(connection)

    def _serve(self, connection: _Connection, events: int) -> None:
        if events & _WRITABLE:
            self._flush(connection)
        if events & _READABLE:
            self._read(connection)
        elif events & _BROKEN:
            self._hang_up(connection)
        self._advance(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(_CHUNK_BYTES)
            connection.ended = not data
            self._note_time(connection)
            connection.take_in(data)
            self._shared.record.in_flight(connection.in_flight)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            self._hang_up(connection)
            return

    def _note_time(self, connection: _Connection) -> None:
        now, before = self._shared.clock(), connection.heard_at
        if connection.is_mid_command and now - before > self._shared.dialect.line_patience_s:
            connection.lose_beginning()
        connection.heard_at = now

    def _advance(self, connection: _Connection) -> None:
        """Answer what can be answered, and see what the connection waits for next."""
        while connection.is_open and self._send_pieces(connection):
            line = connection.next_line()
            if line is None:
                break
            self._answer(connection, line)
        if connection.is_open:
            self._settle(connection)

    def _settle(self, connection: _Connection) -> None:
        if connection.finished or connection.overwhelmed:
            self._hang_up(connection)
            return
        interest = _READABLE * connection.wants_reading | _WRITABLE * bool(connection.unsent)
        self._poller.set(connection.fd, interest, connection.interest)
        connection.interest = interest

    def _answer(self, connection: _Connection, line: bytes) -> None:
        try:
            request = self._shared.dialect.decode(line)
        except JavaException as refusal:
            connection.answered()
            self._send(connection, self._shared.dialect.encode(ErrorReply(str(refusal))))
        except ProtocolError:
            self._hang_up(connection)
        else:
            faults = self._note(connection, request)
            if self._commands.must_wait(request):
                connection.held = request, faults
                self._held.append(connection)
            else:
                self._carry_out(connection, request, faults)

    def _carry_out(
        self, connection: _Connection, request: CommandRequest, faults: list[Fault]
    ) -> None:
        try:
            answer = self._answer_to(connection, request, faults)
        except ProtocolError:
            self._hang_up(connection)
            return
        if not connection.is_open:
            self._commands.forget(connection)
            return
        if faults:
            connection.answer(reshaped(faults, answer))
        else:
            connection.answered()
            self._send(connection, answer)

    def _release_held(self) -> None:
        """Carry out what had to wait, also of clients that have gone meanwhile."""
        held, self._held = self._held, []
        for connection in held:
            request, faults = connection.held
            if self._commands.must_wait(request):
                self._held.append(connection)
                continue
            connection.held = None
            self._carry_out(connection, request, faults)
            self._advance(connection)

    def _note(self, connection: _Connection, request: CommandRequest) -> list[Fault]:
        seen = SeenCommand(request.name, request.args, request.kwargs, connection.number)
        self._shared.record.command(seen, known=request.name in COMMANDS)
        if _has_more(connection.sock):
            self._shared.record.in_flight(connection.in_flight + 1)
        return self._shared.script.strike(request.name)

    def _answer_to(
        self, connection: _Connection, request: CommandRequest, faults: list[Fault]
    ) -> bytes:
        instead = answer_instead(faults, self._shared.dialect.encode)
        if instead is not None:
            return instead
        return self._shared.dialect.encode(self._commands.carry_out(connection, request))

    def _send_pieces(self, connection: _Connection) -> bool:
        """Send what is due of the answer under way; True when nothing of it is left."""
        while connection.is_open:
            piece = connection.next_piece()
            if piece is None:
                return not connection.unsent
            if piece.after_s > 0:
                self._pause(connection, piece.after_s)
                return False
            connection.piece_done()
            if piece.data is None:
                self._hang_up(connection)
            elif piece.data:
                self._send(connection, piece.data)
        return False

    def _pause(self, connection: _Connection, seconds: float) -> None:
        if not connection.paused:
            connection.paused = True
            self._later(seconds, lambda: self._go_on(connection))

    def _go_on(self, connection: _Connection) -> None:
        connection.paused = False
        connection.waited()
        if connection.is_open:
            self._advance(connection)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        due = (time.monotonic() + seconds, next(self._timer_order), action)
        heapq.heappush(self._timers, due)

    def _run_timers(self) -> None:
        now = time.monotonic() if self._timers else 0.0
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _tell_of_changes(self) -> None:
        for watcher, body in self._commands.notifications():
            self._notify(watcher, body)

    def _notify(self, watcher: object, body: dict[str, Any]) -> None:
        assert isinstance(watcher, _Connection)
        data = self._shared.dialect.encode(Notification(body))
        if watcher.may_interrupt():
            self._send(watcher, data)
        else:
            watcher.interrupt_later(data)
        self._advance(watcher)

    def _send(self, connection: _Connection, data: bytes) -> None:
        try:
            count = 0 if connection.unsent else connection.sock.send(data)
        except BlockingIOError:
            count = 0
        except OSError:
            self._hang_up(connection)
            return
        connection.sent(data, count)

    def _flush(self, connection: _Connection) -> None:
        try:
            connection.flushed(connection.sock.send(connection.unsent))
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(connection)

    def _hang_up(self, connection: _Connection) -> None:
        if not connection.is_open:
            return
        connection.is_open = False
        del self._connections[connection.fd]
        self._commands.forget(connection)
        if connection.interest is not None:
            self._poller.forget(connection.fd)
        _close(connection.sock)

    def _close(self) -> None:
        with self._shared.lock:
            self._closed = True
            for connection in list(self._connections.values()):
                self._hang_up(connection)
            _close(self._listener)
            self._poller.close()
            os.close(self._wake_read)
            os.close(self._wake_write)


def _has_more(sock: socket.socket) -> bool:
    """Whether the client has sent more already, before it was answered."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _close(sock: socket.socket) -> None:
    # A forked child of the user's may hold the same sockets; shutting down is for it as well.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; for port 0 on a port that is free now and likely to be so later."""
    if port:
        return _bound(host, port)
    for candidate in random.sample(_FREE_PORTS, _PORT_TRIES):
        try:
            return _bound(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    flags = socket.AI_PASSIVE
    found = _getaddrinfo(host or None, port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, flags)
    family, kind, protocol, _, address = found[0]
    sock = _Socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class _Keeper:
    """Keeps an exception that ends a block, instead of letting it out."""

    error: BaseException | None = None

    def __enter__(self) -> None: ...

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        self.error = error
        return True


class _Thread:
    """A loop in a native thread; what goes wrong in it is raised by :meth:`join`."""

    def __init__(self, loop: _Loop) -> None:
        self.loop = loop
        self._keeper = _Keeper()
        self._ended = _new_lock()
        self._ended.acquire()
        _start_thread(self._run, ())

    def _run(self) -> None:
        try:
            with self._keeper:
                self.loop.run()
        finally:
            self._ended.release()

    def wait(self) -> None:
        # A signal that comes just before the wait does not interrupt it, so that its handler
        # would have to wait as well: hence not one long wait.
        while not self._ended.acquire(True, _LONGEST_WAIT_S):
            pass
        self._ended.release()

    def join(self) -> None:
        self.wait()
        error, self._keeper.error = self._keeper.error, None
        if error is not None:
            raise RuntimeError(f"the simulated server broke down: {error!r}") from error


class SimulatedServer:
    """A spalloc server without hardware, in this process; started by ``with`` or :meth:`start`.

    machines: highest priority first, sizes in triads.
    power_seconds: how long each power-on takes.
    seconds_before_free: how long the boards of a destroyed job stay unavailable.
    version: what the ``version`` command answers; None for the dialect's own.
    dialect: "python", or "java" for the Java server.
    java: what is chance on the Java server; the Python server does not look at it.
    host, port: where it listens; an IPv6 address makes it speak IPv6, port 0 takes a free one.
    faults: what it does wrong (:class:`~spalloc_gevent.simulator.Fault`).
    clock: seconds, for keepalive, powering and freeing; after changing one by
        hand call :meth:`wake`.

    It runs in a native thread, whatever gevent has patched. All attributes and
    methods may be used from any thread or greenlet. Starting raises OSError when
    the address cannot be had; :meth:`stop` raises RuntimeError when the server
    had broken down.
    """

    def __init__(
        self,
        machines: Sequence[MachineSpec] = (MachineSpec(),),
        *,
        power_seconds: float = 0.0,
        seconds_before_free: float = 0.0,
        version: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Iterable[Fault] = (),
        clock: Clock = time.monotonic,
        dialect: str = "python",
        java: JavaOptions = ORDINARY,
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"no dialect {dialect!r}; there is {', '.join(DIALECTS)}")
        if len(machines) > MOST_MACHINES:
            raise ValueError(f"at most {MOST_MACHINES} machines, not {len(machines)}")
        self._machines = tuple(machines)
        self._power_seconds = as_number(power_seconds, "power_seconds")
        self._seconds_before_free = as_number(seconds_before_free, "seconds_before_free")
        self._version = DIALECTS[dialect].version if version is None else version
        self._host = host
        self._port = as_int(port, "port")
        self._shared = _Shared(clock, DIALECTS[dialect], script=FaultScript(faults))
        self._jobs = self._no_jobs(1, java)
        self._thread: _Thread | None = None

    def _no_jobs(self, first_id: int, options: JavaOptions) -> Jobs:
        return self._shared.dialect.jobs(
            self._machines,
            power_seconds=self._power_seconds,
            seconds_before_free=self._seconds_before_free,
            clock=self._shared.clock,
            first_id=first_id,
            options=options,
        )

    def __enter__(self) -> SimulatedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        doing = f"{self.connections} connections" if self._thread else "stopped"
        return f"<SimulatedServer {self.host}:{self.port} {doing}, {len(self._jobs.living)} jobs>"

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._host

    @property
    def version(self) -> str:
        """What the ``version`` command answers."""
        return self._version

    @property
    def machines(self) -> tuple[MachineSpec, ...]:
        """Highest priority first."""
        return self._machines

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start when a free one is to be taken."""
        return self._port

    def start(self) -> None:
        """Listen, and serve from a thread of its own; nothing if it does already."""
        if self._thread is not None:
            return
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        commands = self._shared.dialect.commands(self._jobs, self._version)
        self._thread = _Thread(_Loop(listener, self._jobs, commands, self._shared))

    def stop(self) -> None:
        """Close every connection and stop listening; jobs are kept for a later start."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.loop.stop()
            thread.join()

    def wait(self) -> None:
        """Block until the server is stopped, or breaks down, which is raised by :meth:`stop`."""
        thread = self._thread
        if thread is not None:
            thread.wait()

    def restart(self, cold: bool = False) -> None:
        """Stop, and start again on the same port.

        Connections and watches are lost. Jobs go on, with their whole keepalive
        ahead; after a cold restart there are none, and IDs begin at 1 again. The Java
        server gives no ID twice, and counts the time for which it was away.
        """
        self.stop()
        with self._shared.lock:
            if cold:
                first_id = 1 if self._jobs.numbers_come_again else self._jobs.next_id
                self._jobs = self._no_jobs(first_id, self._jobs.options)
            self._jobs.recover()
        self.start()

    def wake(self) -> None:
        """Have the server look at its clock now."""
        if self._thread is not None:
            self._thread.loop.wake()

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Do these things wrong from now on, instead of those set before."""
        script = FaultScript(faults)
        with self._shared.lock:
            self._shared.script = script

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that can still strike; assigning is :meth:`set_faults`."""
        with self._shared.lock:
            return self._shared.script.left

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self.set_faults(faults)

    @property
    def java(self) -> JavaOptions:
        """What is chance on the Java server; may be set."""
        return self._jobs.options

    @java.setter
    def java(self, options: JavaOptions) -> None:
        with self._shared.lock:
            self._jobs.set_options(options)

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that there are now, as ``list_jobs`` of the Python server tells them."""
        with self._shared.lock:
            return listed_jobs(self._jobs)

    @property
    def commands_seen(self) -> CommandsSeen:
        """The latest 20,000 commands, oldest first; ``commands_seen.count("version")`` counts."""
        with self._shared.lock:
            return self._shared.record.commands

    @property
    def command_counts(self) -> Counter[str]:
        """How often each command has come since this object was made."""
        with self._shared.lock:
            return Counter(self._shared.record.counts)

    @property
    def max_in_flight(self) -> int:
        """The most commands ever seen unanswered at once on one connection; 1 is as it should be.

        Above 1 a client has sent a command before the answer to the one before was sent.
        """
        return self._shared.record.max_in_flight

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return 0 if self._thread is None else self._thread.loop.open_connections

    @property
    def connections_made(self) -> int:
        """How many connections there have been."""
        return self._shared.record.connections_made

    @property
    def most_connections(self) -> int:
        """How many connections were open at once at most."""
        return self._shared.record.most_connections
