"""A client that is always busy, to be killed: 100 greenlets with a job each, asking on and on.

``python tests/faults/busy_client.py HOST PORT``; says "busy" once every greenlet has an answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import gevent
import gevent.event

from spalloc_gevent import Job

GREENLETS = 100


def stay_busy(host: str, port: int) -> None:
    """Never returns; a greenlet that fails ends the program."""
    answered = [gevent.event.Event() for _ in range(GREENLETS)]
    greenlets = [gevent.spawn(_ask_on, host, port, event) for event in answered]
    gevent.spawn(_say_when_all, answered)
    gevent.joinall(greenlets, raise_error=True)


def _ask_on(host: str, port: int, answered: gevent.event.Event) -> None:
    job = Job(hostname=host, port=port, owner="busy", keepalive=60.0)
    while True:
        _ = job.state, job.power
        answered.set()


def _say_when_all(answered: Sequence[gevent.event.Event]) -> None:
    for event in answered:
        event.wait()
    print("busy", flush=True)


if __name__ == "__main__":
    stay_busy(sys.argv[1], int(sys.argv[2]))
