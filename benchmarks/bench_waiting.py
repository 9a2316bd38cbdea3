"""From a server's notification to the waiter that runs, with hundreds of jobs waiting.

Each of many greenlets waits for a job of its own. The server tells of one change after another,
noting the time just before it writes the notification; each waiter notes when it runs again. In
between, the client has heard the notification, asked for the job's state and got the answer. The
floor does just that over two raw sockets.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import gevent

from benchmarks.figures import Figure, Spread, at_most, compared
from benchmarks.orders import Worker, WorkerError
from benchmarks.raw_sockets import Notified, RawSockets
from benchmarks.turns import in_turns
from spalloc_gevent import Job
from tools.holding import create

HOST = "127.0.0.1"
KEEPALIVE_S = 60.0
PATIENCE_S = 60.0

Moment = tuple[int, float]
"""A job, and when something was about it."""


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    jobs: int = 500
    changes: int = 300
    pause_s: float = 0.01
    repeats: int = 5


FULL = Scale()
QUICK = Scale(jobs=100, changes=50, pause_s=0.01, repeats=1)


class OurWaiters:
    """A greenlet for each job, which waits for its next change on and on."""

    def __init__(self, server: Worker, jobs: int) -> None:
        self._server = server
        port = server.hear()
        options = {"hostname": HOST, "port": port, "owner": "bench", "keepalive": KEEPALIVE_S}
        self._jobs = create(jobs, options)
        self._noted: list[Moment] = []
        self._greenlets = [gevent.spawn(self._wait, job) for job in self._jobs]
        gevent.sleep(1.0)  # Until each has asked for the state that it waits to change.

    def _wait(self, job: Job) -> None:
        state = job.state
        while True:
            state = job.wait_for_state_change(state)
            self._noted.append((job.id or 0, time.monotonic()))

    def latencies_s(self, *order: object) -> list[float]:
        """How long each change that the server is told to make took to reach its waiter."""
        self._noted.clear()
        # Meanwhile the waiters' own hub, which is this thread's, has to run.
        told = gevent.get_hub().threadpool.apply(self._server.ask, order)
        with suppress(gevent.Timeout), gevent.Timeout(PATIENCE_S):
            while len(self._noted) < len(told):
                gevent.sleep(0.01)
        return between(told, self._noted)

    def close(self) -> None:
        gevent.killall(self._greenlets)
        gevent.joinall([gevent.spawn(job.destroy) for job in self._jobs], raise_error=True)


class RawWaiter:
    """The least that a waiter has to do: hear the notification, ask for the state, be answered."""

    def __init__(self, server: Worker, jobs: int) -> None:
        self._server = server
        port = server.hear()
        self._asking = RawSockets(HOST, port, 1)
        self._notified = Notified(HOST, port)
        options: dict[str, object] = {"owner": "bench", "keepalive": KEEPALIVE_S}
        self._asking.run_blocking([("create_job", (), options)] * jobs)

    def latencies_s(self, order: str, count: int, pause_s: float) -> list[float]:
        """As :meth:`OurWaiters.latencies_s`."""
        with ThreadPoolExecutor(1) as thread:
            told = thread.submit(self._server.ask, order, count, pause_s)
            noted = self._wait(count)
            return between(told.result(), noted)

    def _wait(self, count: int) -> list[Moment]:
        noted: list[Moment] = []
        while len(noted) < count:
            for job_id in self._notified.next()["jobs_changed"]:
                self._asking.run_blocking([("get_job_state", (job_id,), {})])
                noted.append((job_id, time.monotonic()))
        return noted

    def close(self) -> None:
        self._asking.close()
        self._notified.close()


def between(told: Sequence[Sequence[Any]], noted: Sequence[Moment]) -> list[float]:
    """From each change that was told to the note that somebody made of it, job by job.

    WorkerError when there are not as many of the one as of the other.
    """
    told_at, noted_at = _by_job(told), _by_job(noted)
    counts = {job: len(times) for job, times in told_at.items()}
    if counts != {job: len(times) for job, times in noted_at.items()}:
        raise WorkerError(f"{len(told)} changes were told of, and {len(noted)} were noticed")
    return [
        after - before
        for job, times in told_at.items()
        for before, after in zip(times, noted_at[job], strict=True)
    ]


def _by_job(moments: Sequence[Sequence[Any]]) -> dict[int, list[float]]:
    times: dict[int, list[float]] = defaultdict(list)
    for job, moment in moments:
        times[job].append(moment)
    return times


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure(scale: Scale) -> Iterator[Figure]:
    with ExitStack() as opened:
        floor = RawWaiter(_server(opened), scale.jobs)
        opened.callback(floor.close)
        ours = OurWaiters(_server(opened), scale.jobs)
        opened.callback(ours.close)
        order = ("singly", scale.changes, scale.pause_s)
        found = in_turns(
            {
                "floor": lambda: floor.latencies_s(*order),
                "ours": lambda: ours.latencies_s(*order),
            },
            scale.repeats,
        )
        burst = in_turns({"ours": lambda: ours.latencies_s("at once")}, scale.repeats)["ours"]
    yield from _figures(found, burst, scale)


def _server(opened: ExitStack) -> Worker:
    return opened.enter_context(Worker(sys.executable, "changing_server"))


def _figures(
    found: dict[str, list[list[float]]], burst: list[list[float]], scale: Scale
) -> Iterator[Figure]:
    name = f"notification to waiter, {scale.jobs} jobs waiting"
    note = (
        f"{scale.repeats} times {scale.changes} changes, {1000 * scale.pause_s:g} ms between them; "
        "from before it is written until wait_for_state_change() has returned, the question for "
        "the state included"
    )
    medians, p99s = (
        {who: [percentile(turn, percent) for turn in turns] for who, turns in found.items()}
        for percent in (50, 99)
    )
    for what, times, limit_s in (("median", medians, 0.001), ("99th percentile", p99s, 0.005)):
        yield compared(f"{name}: {what}", "s", "ours", times, at_most(limit_s), note)
    yield Figure(f"  one notification of all {scale.jobs}: the first waiter runs after", "s",
                 Spread.of(min(turn) for turn in burst))  # fmt: skip
    yield Figure("  the last waiter runs after", "s", Spread.of(max(turn) for turn in burst))
