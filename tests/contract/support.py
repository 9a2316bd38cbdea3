"""What contract tests do with a server, whichever it is: ask it, listen in, see what is left."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from spalloc_gevent import Job, ProtocolClient
from spalloc_gevent.simulator import MachineSpec

T = TypeVar("T")

PATIENCE_S = 30.0
"""For waits that end at once when all is well."""

ONE_TRIAD = (MachineSpec(width=1, height=1),)
"""Three boards: full with one job."""

SLOW_POWER_S = 60.0
"""Powering that does not end during a test."""


OWNER_PREFIX = ""
"""What the owners of all jobs of this run begin with: nobody else's on a live server."""


def owner(name: str = "me") -> str:
    """An owner of jobs of this run."""
    return OWNER_PREFIX + name


def ours(jobs: Iterable[Any]) -> list[Any]:
    """Those of this run among what ``list_jobs`` tells; on a server of a test's own all are."""
    return [job for job in jobs if job["owner"].startswith(OWNER_PREFIX)]


class Server(Protocol):
    """A server and where it listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class StoppableServer(Server, Protocol):
    """A server that a test may stop and start."""

    def stop(self) -> None: ...
    def restart(self, *, cold: bool = False) -> None: ...


def job_of(server: Server, *what: int, **keywords: Any) -> Job:
    """A job asked of `server`; nothing is waited for, and the caller ends it.

    The server has its time to answer, whoever else uses the machine, unless a test says otherwise.
    """
    given = {"owner": owner(), "timeout": PATIENCE_S, **keywords}
    return Job(*what, hostname=server.host, port=server.port, **given)


@contextlib.contextmanager
def destroying(job: Job) -> Iterator[Job]:
    """The job, destroyed at the end; other than ``with job:`` it waits for nothing."""
    try:
        yield job
    finally:
        job.destroy()


def asked(server: Server, *what: int, **keywords: Any) -> contextlib.AbstractContextManager[Job]:
    """As :func:`job_of`, destroyed at the end."""
    return destroying(job_of(server, *what, **keywords))


@contextlib.contextmanager
def ready(server: Server, *what: int, **keywords: Any) -> Iterator[Job]:
    """As :func:`asked`, with boards that are on."""
    with asked(server, *what, **keywords) as job:
        job.wait_until_ready(PATIENCE_S)
        yield job


def client_of(server: Server, timeout: float | None = PATIENCE_S) -> ProtocolClient:
    return ProtocolClient(server.host, server.port, call_timeout=timeout).open()


def listed(server: Server) -> list[Any]:
    """What ``list_jobs`` tells of the jobs of this run; it keeps none alive."""
    with client_of(server) as client:
        return ours(client.list_jobs())


def boards_of(client: ProtocolClient) -> list[tuple[str, int, int, int]]:
    """Machine, x, y and z of up to 24 boards of a machine that jobs get when they name none."""
    machine = next(one for one in client.list_machines() if "default" in one["tags"])
    columns, rows = range(min(machine["width"], 4)), range(min(machine["height"], 2))
    boards = [(machine["name"], x, y, z) for x in columns for y in rows for z in range(3)]
    # The Java server does not tell which were never there.
    return [board for board in boards if client.get_board_position(*board) is not None]


def told_of(server: Server, job_id: int | None) -> Any:
    """What ``get_job_state`` tells."""
    assert job_id is not None
    with client_of(server) as client:
        return client.get_job_state(job_id)


def destroy_from_elsewhere(server: Server, job_id: int | None, reason: str) -> None:
    assert job_id is not None
    with client_of(server) as client:
        client.destroy_job(job_id, reason)


def await_end_of(server: Server, job_id: int | None) -> Any:
    """The job's last state, once the server has destroyed it; asks nothing that keeps it alive."""
    with client_of(server) as client:
        client.notify_job()
        while any(job["job_id"] == job_id for job in client.list_jobs()):
            client.wait_for_notification(PATIENCE_S)
    return told_of(server, job_id)


class FirstBoard:
    """A check that the board which is seen first does not pass, whichever it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.boards: list[list[int]] = []
        self.machine = ""

    def is_another(self, job: Job) -> bool:
        with self._lock:
            if not self.boards:
                self.boards, self.machine = job.boards or [], job.machine_name or ""
        return job.boards != self.boards


def in_thread(fn: Callable[[], T]) -> Future[T]:
    """`fn` in a native thread of its own; its result, or what it raised."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(fn())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def results(outcomes: list[Future[T]]) -> list[T]:
    return [outcome.result(PATIENCE_S) for outcome in outcomes]


def await_true(holds: Callable[[], bool]) -> None:
    """Return once it holds; for what nobody is told of."""
    gives_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < gives_up_at, f"still not so after {PATIENCE_S:g} s"
        time.sleep(0.005)


def native_threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def open_sockets() -> set[str]:
    """This process's sockets by their inode."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {name for name in found if name.startswith("socket:")}


@contextlib.contextmanager
def nothing_left_behind(server: Server | None = None) -> Iterator[None]:
    """What runs inside leaves no thread, no socket and, on `server`, no job.

    A thread's entry, and a simulated server's end of a connection, go a moment later.
    """
    threads, sockets = native_threads(), open_sockets()
    yield
    await_true(lambda: open_sockets() <= sockets)
    await_true(lambda: native_threads() <= threads)
    assert server is None or listed(server) == []


@dataclass(eq=False)
class _Tapped:
    """One tapped connection: what the client has sent and is still owed."""

    client: socket.socket
    server: socket.socket
    number: int
    unanswered: int = 0
    partial: dict[bool, bytes] = field(default_factory=lambda: {True: b"", False: b""})

    def other(self, sock: socket.socket) -> socket.socket:
        return self.server if sock is self.client else self.client

    def lines(self, sock: socket.socket, data: bytes) -> list[bytes]:
        *whole, self.partial[sock is self.client] = (
            self.partial[sock is self.client] + data
        ).split(b"\n")
        return whole


class Tap:
    """Stands between clients and a server, passes everything on and counts what it saw."""

    host = "127.0.0.1"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((self.host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._stop_read, self._stop_write = socket.socketpair()
        self._open: set[_Tapped] = set()
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._hold_after: str | None = None
        self.connections_made = 0
        self.most_connections = 0
        self.most_in_flight = 0

    def __enter__(self) -> Tap:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stop_read, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_write.send(b"x")
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile nothing is passed on in either direction, as by a server that is stuck."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    @contextlib.contextmanager
    def held_after(self, command: str) -> Iterator[None]:
        """As :meth:`held`, from when this command has been passed on."""
        self._hold_after = command
        try:
            yield
        finally:
            self._hold_after = None
            self._flowing.set()

    def count(self, command: str) -> int:
        """How many times this command has been sent."""
        with self._changed:
            return self._count(command)

    def _count(self, command: str) -> int:
        return sum(f'"{command}"'.encode() in line for line in self._lines)

    @property
    def commands(self) -> list[bytes]:
        with self._changed:
            return list(self._lines)

    def await_command(self, command: str, times: int = 1) -> None:
        """Return once the command has been sent so many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._count(command) >= times, PATIENCE_S)

    def _run(self) -> None:
        with self._selector, self._listener, self._stop_read, self._stop_write:
            while True:
                for key, _ in self._selector.select():
                    self._flowing.wait(PATIENCE_S)
                    if key.fileobj is self._stop_read:
                        return self._end()
                    self._serve(key.fileobj, key.data)  # type: ignore[arg-type]

    def _serve(self, sock: socket.socket, tapped: _Tapped | None) -> None:
        if tapped is None:
            self._accept()
        elif tapped in self._open:
            self._pass_on(sock, tapped)

    def _end(self) -> None:
        for tapped in list(self._open):
            self._close(tapped)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection((self._server.host, self._server.port))
        except OSError:
            client.close()
            return
        self.connections_made += 1
        tapped = _Tapped(client, server, self.connections_made)
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(sock, selectors.EVENT_READ, tapped)
        self._open.add(tapped)
        self.most_connections = max(self.most_connections, len(self._open))

    def _pass_on(self, sock: socket.socket, tapped: _Tapped) -> None:
        try:
            data = sock.recv(65_536)
            self._note(tapped, sock is tapped.client, tapped.lines(sock, data))
            if data:
                tapped.other(sock).sendall(data)
            elif sock is tapped.client:
                self._selector.unregister(sock)
                tapped.server.shutdown(socket.SHUT_WR)
            else:
                self._close(tapped)
        except OSError:
            self._close(tapped)

    def _note(self, tapped: _Tapped, from_client: bool, lines: list[bytes]) -> None:
        if not from_client:
            tapped.unanswered -= sum(line.startswith((b'{"return', b'{"exc')) for line in lines)
            return
        tapped.unanswered += len(lines)
        with self._changed:
            self.most_in_flight = max(self.most_in_flight, tapped.unanswered)
            self._lines += lines
            if self._hold_after is not None and self._count(self._hold_after):
                self._flowing.clear()
            self._changed.notify_all()

    def _close(self, tapped: _Tapped) -> None:
        self._open.discard(tapped)
        for sock in (tapped.client, tapped.server):
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
            sock.close()
