"""The simulated server: started, stopped and asked about from any thread."""

from __future__ import annotations

import errno
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from gevent.monkey import get_original

from spalloc_gevent.deadline import Clock
from spalloc_gevent.simulator.commands import listed_jobs
from spalloc_gevent.simulator.dialects import DIALECTS
from spalloc_gevent.simulator.faults import Fault, FaultScript
from spalloc_gevent.simulator.java_options import ORDINARY, JavaOptions
from spalloc_gevent.simulator.jobs import Jobs
from spalloc_gevent.simulator.loop import NativeSocket, ServerLoop, ServerState, new_lock
from spalloc_gevent.simulator.machine import MOST_MACHINES, MachineSpec
from spalloc_gevent.simulator.record import CommandsSeen
from spalloc_gevent.wire.checks import as_int, as_number

DEFAULT_PORT = 22244

start_thread: Callable[..., int] = get_original("_thread", "start_new_thread")
getaddrinfo: Callable[..., list[Any]] = get_original("socket", "getaddrinfo")

BACKLOG = 128
LONGEST_WAIT_S = 0.1
PORT_TRIES = 100
# Below the ports that the system gives to outgoing connections: one that is free between a
# stop and a restart must not become the near end of somebody's attempt to connect to it.
FREE_PORTS = range(10_000, 32_000)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; for port 0 on a port that is free now and likely to be so later."""
    if port:
        return bound(host, port)
    for candidate in random.sample(FREE_PORTS, PORT_TRIES):
        try:
            return bound(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return bound(host, 0)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; IPv6 if that is one."""
    flags = socket.AI_PASSIVE
    found = getaddrinfo(host or None, port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, flags)
    family, kind, protocol, _, address = found[0]
    sock = NativeSocket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class LoopThread:
    """A loop in a native thread; what goes wrong in it is raised by :meth:`join`."""

    def __init__(self, loop: ServerLoop) -> None:
        self.loop = loop
        self._error: BaseException | None = None
        self._ended = new_lock()
        self._ended.acquire()
        start_thread(self._run, ())

    def _run(self) -> None:
        with self:
            self.loop.run()

    def __enter__(self) -> None: ...

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        """Keep the exception that ended the loop."""
        self._error = error
        self._ended.release()
        return True

    def wait(self) -> None:
        """Block until the loop has ended."""
        # A signal that comes just before the wait does not interrupt it, so that its handler
        # would have to wait as well: hence not one long wait.
        while not self._ended.acquire(True, LONGEST_WAIT_S):
            pass
        self._ended.release()

    def join(self) -> None:
        """Block until the loop has ended; RuntimeError if it broke down."""
        self.wait()
        if self._error is not None:
            told = f"the simulated server broke down: {self._error!r}"
            raise RuntimeError(told) from self._error


class SimulatedServer:
    """A spalloc server without hardware, in this process; started by ``with`` or :meth:`start`.

    It runs in a native thread, whatever gevent has patched. All attributes and
    methods may be used from any thread or greenlet. Starting raises OSError when
    the address cannot be had; :meth:`stop` raises RuntimeError when the server
    had broken down.

    Args:
        machines: highest priority first, sizes in triads.
        power_seconds: how long each power-on takes.
        seconds_before_free: how long the boards of a destroyed job stay unavailable.
        version: what the ``version`` command answers; None for the dialect's own.
        host, port: where it listens; an IPv6 address makes it speak IPv6, port 0 takes a free one.
        faults: what it does wrong (:class:`~spalloc_gevent.simulator.Fault`).
        clock: seconds, for keepalive, powering and freeing; after changing one by
            hand call :meth:`wake`.
        dialect: "python", or "java" for the Java server.
        java: what is chance on the Java server; the Python server does not look at it.

    Raises:
        ValueError: there is no such dialect, or there are too many machines, or two of a name.
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
        self._state = ServerState(clock, DIALECTS[dialect], FaultScript(faults))
        self._jobs = self._no_jobs(1, java)
        self._thread: LoopThread | None = None

    def _no_jobs(self, first_id: int, options: JavaOptions) -> Jobs:
        return self._state.dialect.jobs(
            self._machines,
            power_seconds=self._power_seconds,
            seconds_before_free=self._seconds_before_free,
            clock=self._state.clock,
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
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        commands = self._state.dialect.commands(self._jobs, self._version)
        self._thread = LoopThread(ServerLoop(listener, commands, self._state))

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
        with self._state.lock:
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
        with self._state.lock:
            self._state.script = script

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that can still strike; assigning is :meth:`set_faults`."""
        with self._state.lock:
            return self._state.script.left

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self.set_faults(faults)

    @property
    def java(self) -> JavaOptions:
        """What is chance on the Java server; may be set."""
        return self._jobs.options

    @java.setter
    def java(self, options: JavaOptions) -> None:
        with self._state.lock:
            self._jobs.set_options(options)

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that there are now, as ``list_jobs`` of the Python server tells them."""
        with self._state.lock:
            return listed_jobs(self._jobs)

    @property
    def commands_seen(self) -> CommandsSeen:
        """The latest 20,000 commands, oldest first; ``commands_seen.count("version")`` counts."""
        with self._state.lock:
            return CommandsSeen(self._state.record.commands)

    @property
    def command_counts(self) -> Counter[str]:
        """How often each command has come since this object was made."""
        with self._state.lock:
            return Counter(self._state.record.counts)

    @property
    def max_in_flight(self) -> int:
        """The most commands ever seen unanswered at once on one connection; 1 is as it should be.

        Above 1 a client has sent a command before the answer to the one before was sent.
        """
        return self._state.record.max_in_flight

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return 0 if self._thread is None else self._thread.loop.open_connections

    @property
    def connections_made(self) -> int:
        """How many connections there have been."""
        return self._state.record.connections_made

    @property
    def most_connections(self) -> int:
        """How many connections were open at once at most."""
        return self._state.record.most_connections
