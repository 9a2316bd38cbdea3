"""A server whose jobs change when it is told to, and that knows when it said so.

As much of spalloc as waiting for a job needs. Says its port; then ``["singly", N, PAUSE_S]`` on
standard input changes N jobs one after another, and ``["at once"]`` all of them in one
notification. The answer is a list of [job, time]: time.monotonic(), one clock for all processes
on Linux, just before the notification was written. Ends with its standard input.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent
from gevent import socket
from gevent.fileobject import FileObject
from gevent.server import StreamServer

READY, POWER = 3, 2


class Server:
    """Its jobs, and who is told of their changes: everybody who has asked for any."""

    def __init__(self) -> None:
        self._jobs: dict[int, dict[str, Any]] = {}
        self._watchers: set[socket.socket] = set()

    def serve(self, client: socket.socket, _address: object) -> None:
        """Answer one client until it hangs up."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line)
                if command["command"] == "notify_job":
                    self._watchers.add(client)
                value = self._answer(**command)
                client.sendall(json.dumps({"return": value}).encode("ascii") + b"\n")
        self._watchers.discard(client)

    def _answer(self, command: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        match command:
            case "version":
                return "5.0.0"
            case "create_job":
                return self._create(**kwargs)
            case "get_job_state":
                return self._jobs[args[0]]
            case "list_jobs":
                return list(self._jobs.values())
            case _:
                return None

    def _create(self, owner: str, keepalive: float, **_: object) -> int:
        job_id = len(self._jobs) + 1
        self._jobs[job_id] = {
            "job_id": job_id,
            "owner": owner,
            "state": READY,
            "power": True,
            "keepalive": keepalive,
            "keepalivehost": "127.0.0.1",
            "reason": None,
            "start_time": 1_000_000.0,
            "args": [],
            "kwargs": {},
            "allocated_machine_name": "m",
            "boards": [[0, 0, 0]],
        }
        return job_id

    def change_singly(self, count: int, pause_s: float) -> list[tuple[int, float]]:
        """In any order; none again before all the others have had their turn."""
        told: list[tuple[int, float]] = []
        chosen = random.Random(count)
        while len(told) < count:
            for job_id in chosen.sample(list(self._jobs), len(self._jobs))[: count - len(told)]:
                gevent.sleep(pause_s)
                told += self.change([job_id])
        return told

    def change_at_once(self) -> list[tuple[int, float]]:
        return self.change(list(self._jobs))

    def change(self, job_ids: list[int]) -> list[tuple[int, float]]:
        """Change these jobs and tell everybody, in one notification."""
        for job_id in job_ids:
            job = self._jobs[job_id]
            job["state"] = POWER if job["state"] == READY else READY
        line = json.dumps({"jobs_changed": job_ids}).encode("ascii") + b"\n"
        now = time.monotonic()
        for watcher in self._watchers:
            watcher.sendall(line)
        return [(job_id, now) for job_id in job_ids]


def main() -> None:
    server = Server()
    orders: dict[str, Callable[..., object]] = {
        "singly": server.change_singly,
        "at once": server.change_at_once,
    }
    listener = StreamServer(("127.0.0.1", 0), server.serve, backlog=128)
    listener.start()
    print(listener.server_port, flush=True)
    for line in FileObject(sys.stdin.fileno(), "rb"):
        order, *arguments = json.loads(line)
        print(json.dumps(orders[order](*arguments)), flush=True)


if __name__ == "__main__":
    main()
