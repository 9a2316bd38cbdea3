"""Holds many jobs in one process and tells what that costs, as one line of JSON.

A program of its own, so that what it counts is the client's and nobody else's:
``python tools/holding.py HOST PORT --jobs 300``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent

from spalloc_gevent import Job
from tools.costs import Cost, own_cost


@dataclass(frozen=True)
class Held:
    """What holding `jobs` at once took.

    pss_kib_each: what each added to the process that held one already.
    """

    jobs: int
    create_s: float
    pss_kib_each: float
    threads: int
    processes: int
    connections: int


def hold(host: str, port: int, jobs: int, keepalive_s: float) -> Held:
    """Create `jobs` from as many greenlets, and destroy them."""
    options: dict[str, Any] = {
        "hostname": host,
        "port": port,
        "owner": "holding",
        "keepalive": keepalive_s,
    }
    held = [Job(**options)]
    try:
        one = own_cost(port)
        began = time.perf_counter()
        held += create(jobs - 1, options)
        create_s = time.perf_counter() - began
        return _summary(held, create_s, one, own_cost(port))
    finally:
        gevent.joinall([gevent.spawn(job.destroy) for job in held], raise_error=True)


def create(count: int, options: dict[str, Any]) -> list[Job]:
    """`count` jobs of one board, each created by a greenlet of its own."""
    greenlets = [gevent.spawn(Job, **options) for _ in range(count)]
    gevent.joinall(greenlets, raise_error=True)
    return [greenlet.get() for greenlet in greenlets]


def _summary(held: Sequence[Job], create_s: float, one: Cost, now: Cost) -> Held:
    return Held(
        jobs=len(held),
        create_s=create_s,
        pss_kib_each=(now.pss_kib - one.pss_kib) / max(1, len(held) - 1),
        threads=now.threads,
        processes=now.processes,
        connections=now.connections,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Hold many jobs and tell what that costs.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--keepalive-s", type=float, default=60.0)
    given = parser.parse_args(argv)
    held = hold(given.host, given.port, given.jobs, given.keepalive_s)
    print(json.dumps(dataclasses.asdict(held)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
