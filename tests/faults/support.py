"""What fault tests have in common: a client to a proxy, callers who check their answers."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spalloc_gevent import Job, JobState, ProtocolClient
from spalloc_gevent.errors import ConnectionLostError, ProtocolTimeoutError
from tests.contract.support import in_thread, job_of, results
from tests.faults.proxy import ChaosProxy, Where
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo

EXCUSED = (ConnectionLostError, ProtocolTimeoutError)
"""How a call may fail when the network or the server does."""


def client_of(server: Where, timeout: float | None = LONG_S, **rules: Any) -> ProtocolClient:
    return ProtocolClient(server.host, server.port, call_timeout=timeout, **rules).open()


@contextlib.contextmanager
def connected(
    server: Where, timeout: float | None = LONG_S, **rules: Any
) -> Iterator[ProtocolClient]:
    with contextlib.closing(client_of(server, timeout, **rules)) as client:
        yield client


@contextlib.contextmanager
def echoing_behind_proxy() -> Iterator[tuple[ScriptedServer, ChaosProxy]]:
    with ScriptedServer() as server, ChaosProxy(server) as proxy:
        yield server, proxy


def ask(client: ProtocolClient, number: int, **rules: Any) -> Any:
    """A question whose answer, from a server that echoes, is nobody else's."""
    return client.call("get_job_state", number, **rules)


def own(number: int) -> list[Any]:
    """The answer to :func:`ask`."""
    return ["get_job_state", [number]]


def on_command(name: str, strike: Callable[[Peer, Command], None]) -> Callable[..., None]:
    """A script that does `strike` at every command `name`, and else echoes."""

    def script(peer: Peer, command: Command) -> None:
        (strike if command.name == name else echo)(peer, command)

    return script


@contextlib.contextmanager
def held_jobs(server: Where, count: int, keepalive_s: float) -> Iterator[list[Job]]:
    """So many jobs, asked for all at once; no time-out of theirs is what is tested."""

    def ask_for_one() -> Job:
        return job_of(server, keepalive=keepalive_s, timeout=LONG_S, config_filenames=[])

    with contextlib.ExitStack() as held:
        asked = [in_thread(ask_for_one) for _ in range(count)]
        yield [held.enter_context(contextlib.closing(job)) for job in results(asked)]


def join_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(2 * LONG_S)
        assert not thread.is_alive(), "a caller hangs"


class JobScript:
    """A server of jobs that are ready at once and never expire; the test says what goes wrong."""

    def __init__(self, listed: dict[str, Any] | None = None) -> None:
        """`listed`: what ``list_jobs`` tells of a job instead of what is so."""
        self._listed = listed or {}
        self.on_state: Callable[[Peer, Command], bool] = lambda *_: False
        """Called for each ``get_job_state``; True when it has been dealt with."""
        self.version = "1!7.0.0"
        self._ids = itertools.count(1)
        self._made: list[int] = []

    def __call__(self, peer: Peer, command: Command) -> None:
        if command.name == "get_job_state":
            if not self.on_state(peer, command):
                peer.answer(ready_state())
        else:
            peer.answer(self._answer_to(command))

    def _answer_to(self, command: Command) -> Any:
        if command.name == "version":
            return self.version
        if command.name == "list_jobs":
            told = {"owner": "me", "start_time": 1.0, **self._listed}
            return [{"job_id": job_id, **told} for job_id in list(self._made)]
        if command.name == "create_job":
            job_id = next(self._ids)
            self._made.append(job_id)
            return job_id
        return None


class OneThread(JobScript):
    """Jobs that end in silence, on a server of one thread whose commands may take their time."""

    def __init__(self, keepalive_s: float, takes_s: Mapping[str, float]) -> None:
        super().__init__()
        self._keepalive_s = keepalive_s
        self._takes_s = takes_s
        self._mutex = threading.Lock()
        self._heard_at: dict[int, float] = {}
        self.expired: set[int] = set()
        """The jobs that were not heard of for longer than their keepalive."""

    def __call__(self, peer: Peer, command: Command) -> None:
        with self._mutex:
            time.sleep(self._takes_s.get(command.name, 0.0))
            if command.name == "get_job_state":
                self._hear(command.args[0])
            super().__call__(peer, command)

    def _hear(self, job_id: int) -> None:
        now = time.monotonic()
        if now - self._heard_at.get(job_id, now) > self._keepalive_s:
            self.expired.add(job_id)
        self._heard_at[job_id] = now


def ready_state(**changes: Any) -> dict[str, Any]:
    return {
        "state": JobState.ready,
        "power": True,
        "keepalive": 60.0,
        "reason": None,
        "start_time": 1.0,
        "keepalivehost": "127.0.0.1",
        **changes,
    }
