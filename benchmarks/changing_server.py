"""A server whose jobs change when it is told to, and that knows when it said so.

As much of spalloc as waiting for a job needs. Says its port; then ``["singly", N, PAUSE_S]`` on
standard input changes N jobs one after another, and ``["at once"]`` all of them in one
notification. The answer is a list of [job, time]: time.monotonic(), one clock for all processes
on Linux, just before the notification was written. Ends with its standard input.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

READY, POWER = 3, 2
STARTED_AT = 1_000_000.0


class Jobs:
    """Their states."""

    def __init__(self) -> None:
        self.states: dict[int, int] = {}
        self._asked: dict[int, dict[str, Any]] = {}

    def change(self, job_id: int) -> None:
        self.states[job_id] = POWER if self.states[job_id] == READY else READY

    def carry_out(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name == "version":
            return "5.0.0"
        if name == "create_job":
            return self._create(kwargs)
        if name == "get_job_state":
            return self._state(args[0])
        if name == "list_jobs":
            return [self._listed(job_id) for job_id in self.states]
        return None  # Keepalives and watches: everybody who is there is told everything.

    def _create(self, kwargs: dict[str, Any]) -> int:
        job_id = len(self.states) + 1
        self.states[job_id] = READY
        self._asked[job_id] = kwargs
        return job_id

    def _state(self, job_id: int) -> dict[str, Any]:
        return {
            "state": self.states[job_id],
            "power": True,
            "keepalive": self._asked[job_id]["keepalive"],
            "reason": None,
            "start_time": STARTED_AT,
            "keepalivehost": "127.0.0.1",
        }

    def _listed(self, job_id: int) -> dict[str, Any]:
        asked = self._asked[job_id]
        return {
            **self._state(job_id),
            "job_id": job_id,
            "owner": asked["owner"],
            "args": [],
            "kwargs": {},
            "allocated_machine_name": "m",
            "boards": [[0, 0, 0]],
        }


class Server:
    """Its sockets, and the changes that are still to come."""

    def __init__(self, listener: socket.socket) -> None:
        self._jobs = Jobs()
        self._watchers: set[socket.socket] = set()
        self._unread: dict[socket.socket, bytearray] = {}
        self._told: list[tuple[int, float]] = []
        self._to_change: Iterator[int] | None = None
        self._pause_s = 0.0
        self._next_at = 0.0
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._left_s()):
                if key.fd == sys.stdin.fileno():
                    order = sys.stdin.readline()
                    if not order:
                        return
                    self._obey(*json.loads(order))
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(key.fileobj)
            if self._to_change is not None and time.monotonic() >= self._next_at:
                self._change_next(self._to_change)

    def _left_s(self) -> float | None:
        if self._to_change is None:
            return None
        return max(0.0, self._next_at - time.monotonic())

    # -- changes ----------------------------------------------------------------

    def _obey(self, order: str, count: int = 0, pause_s: float = 0.0) -> None:
        if order == "at once":
            self._tell(list(self._jobs.states))
            self._say_what_was_told()
        else:
            self._pause_s = pause_s
            self._to_change = iter(_in_any_order(list(self._jobs.states), count))
            self._next_at = time.monotonic() + pause_s

    def _change_next(self, to_change: Iterator[int]) -> None:
        job_id = next(to_change, None)
        if job_id is None:
            self._to_change = None
            self._say_what_was_told()
        else:
            self._tell([job_id])
            self._next_at = time.monotonic() + self._pause_s

    def _tell(self, jobs: list[int]) -> None:
        for job_id in jobs:
            self._jobs.change(job_id)
        line = json.dumps({"jobs_changed": jobs}).encode("ascii") + b"\n"
        now = time.monotonic()
        for watcher in self._watchers:
            watcher.sendall(line)
        self._told += [(job_id, now) for job_id in jobs]

    def _say_what_was_told(self) -> None:
        print(json.dumps(self._told), flush=True)
        self._told = []

    # -- clients ----------------------------------------------------------------

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ)

    def _read(self, client: socket.socket) -> None:
        data = client.recv(65_536)
        if not data:
            self._selector.unregister(client)
            self._watchers.discard(client)
            del self._unread[client]
            client.close()
            return
        *lines, rest = (self._unread[client] + data).split(b"\n")
        self._unread[client] = bytearray(rest)
        for line in lines:
            self._answer(client, json.loads(line))

    def _answer(self, client: socket.socket, command: dict[str, Any]) -> None:
        if command["command"] == "notify_job":
            self._watchers.add(client)
        value = self._jobs.carry_out(command["command"], command["args"], command["kwargs"])
        client.sendall(json.dumps({"return": value}).encode("ascii") + b"\n")


def _in_any_order(jobs: list[int], count: int) -> list[int]:
    """So many of them; none again before all the others have had their turn."""
    order: list[int] = []
    chosen = random.Random(count)
    while len(order) < count:
        order += chosen.sample(jobs, len(jobs))
    return order[:count]


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=128) as opened:
        print(opened.getsockname()[1], flush=True)
        Server(opened).serve()
