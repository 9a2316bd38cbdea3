"""A program with jobs of ours, told what to do by :mod:`benchmarks.orders`: ``HOST PORT``."""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent
import gevent.event

from benchmarks.orders import obey
from benchmarks.turns import seconds_of
from spalloc_gevent import Job
from tools.holding import create

AT_ONCE = 500
PATIENCE_S = 60.0


class Jobs:
    """Those that are held."""

    def __init__(self, host: str, port: int) -> None:
        self._where: dict[str, Any] = {"hostname": host, "port": port, "owner": "bench"}
        self._held: list[Job] = []

    def hold(self, count: int, keepalive_s: float) -> list[int | None]:
        """Make more until so many are held, AT_ONCE of them at once; the ids of all."""
        options = {**self._where, "keepalive": keepalive_s}
        while len(self._held) < count:
            self._held += create(min(AT_ONCE, count - len(self._held)), options)
        gc.collect()
        return [job.id for job in self._held]

    def destroy(self) -> float:
        """The seconds that it takes to destroy them all, each from a greenlet of its own."""
        doomed, self._held = self._held, []
        return seconds_of(lambda: _destroy(doomed))

    def stay_busy(self, greenlets: int) -> bool:
        """Have so many greenlets of another thread ask on and on about a job each.

        Returns:
            True once each has had an answer.
        """
        busy = threading.Event()
        threading.Thread(target=self._be_busy, args=(greenlets, busy), daemon=True).start()
        return busy.wait(PATIENCE_S)

    def _be_busy(self, greenlets: int, busy: threading.Event) -> None:
        answered = [gevent.event.Event() for _ in range(greenlets)]
        asking = [gevent.spawn(self._ask_on, event) for event in answered]
        for event in answered:
            event.wait()
        busy.set()
        gevent.joinall(asking, raise_error=True)

    def _ask_on(self, answered: gevent.event.Event) -> None:
        job = Job(**self._where, keepalive=60.0)
        while True:
            _ = job.state, job.power
            answered.set()


def _destroy(jobs: list[Job]) -> None:
    gevent.joinall([gevent.spawn(job.destroy) for job in jobs], raise_error=True)


def burn(seconds: float) -> None:
    """Keep this thread's Python busy, as a model's computation would."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(number * number for number in range(10_000))


if __name__ == "__main__":
    jobs = Jobs(sys.argv[1], int(sys.argv[2]))
    obey(
        {
            "hold": jobs.hold,
            "destroy": jobs.destroy,
            "sleep": time.sleep,
            "burn": burn,
            "stay busy": jobs.stay_busy,
        }
    )
