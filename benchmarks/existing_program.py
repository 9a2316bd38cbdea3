"""A program that uses the existing client, told what to do by :mod:`benchmarks.orders`.

``HOST PORT``, with the Python of the existing client's environment, which has nothing of ours:
it gets its jobs and answers from threads, as programs that use it do.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from spalloc_client import Job, ProtocolClient  # type: ignore[import-not-found]

from benchmarks.orders import obey
from benchmarks.threads import Threads
from benchmarks.turns import rate_of, seconds_of


class Program:
    """Its client, its jobs, each of them with a thread of its own, and its callers."""

    def __init__(self, host: str, port: int) -> None:
        self._options: dict[str, Any] = {"hostname": host, "port": port, "owner": "bench"}
        self._client = ProtocolClient(host, port)
        self._client.connect()
        self._jobs: list[tuple[ThreadPoolExecutor, Any]] = []
        self._threads: Threads | None = None

    def hold(self, count: int, keepalive_s: float) -> float:
        """Make more jobs until so many are held, all at once; the seconds that it takes."""
        threads = [ThreadPoolExecutor(1) for _ in range(count - len(self._jobs))]
        return seconds_of(lambda: self._create(threads, keepalive_s))

    def _create(self, threads: list[ThreadPoolExecutor], keepalive_s: float) -> None:
        options = {**self._options, "keepalive": keepalive_s}
        coming = [thread.submit(Job, **options) for thread in threads]
        self._jobs += [(thread, job.result()) for thread, job in zip(threads, coming, strict=True)]

    def destroy(self) -> float:
        """The seconds that it takes to destroy all jobs, all at once."""
        doomed, self._jobs = self._jobs, []
        took_s = seconds_of(lambda: _destroy(doomed))
        for thread, _ in doomed:
            thread.shutdown()
        return took_s

    def rate(self, calls: int, threads: int) -> float:
        """Calls of version() a second, from so many threads."""
        if threads == 1:
            return rate_of(lambda: self._some(calls))
        if self._threads is None:
            self._threads = Threads(threads)
            self._threads.each(self._some, 1)  # Each connects once, which is no call.
        return self._threads.rate(calls, self._some)

    def _some(self, calls: int) -> int:
        return sum(bool(self._client.version()) for _ in range(calls))

    def close(self) -> None:
        if self._threads is not None:
            self._threads.close()
        self._client.close()


def _destroy(jobs: list[tuple[ThreadPoolExecutor, Any]]) -> None:
    # From the thread that made it: for every other the client would open another connection.
    ending = [thread.submit(job.destroy) for thread, job in jobs]
    for end in ending:
        end.result()


if __name__ == "__main__":
    program = Program(sys.argv[1], int(sys.argv[2]))
    obey({"hold": program.hold, "destroy": program.destroy, "rate": program.rate})
    program.close()
