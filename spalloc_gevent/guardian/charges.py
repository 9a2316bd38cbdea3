"""Which jobs are guarded, and when to step in for a program that has fallen silent; pure."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

from spalloc_gevent.deadline import Clock
from spalloc_gevent.wire.identity import Identity

SILENT_SHARE = 0.25
"""The program's hub is silent after this share of a job's keepalive interval without a word.

Its own keepalives are out after half the interval, so the last one may be that old by then.
"""
AGAIN_SHARE = 0.4
"""While the silence lasts, a keepalive goes out after this share of the interval."""
RETRY_SHARE = 0.03
RETRY_S = 0.5
"""One that could not go out is tried again after this share of the interval, or this time."""


class Key(NamedTuple):
    """Which job on which server."""

    host: str
    port: int
    job_id: int


class Charge(NamedTuple):
    """A job to be kept alive."""

    key: Key
    interval_s: float
    identity: Identity = Identity()


# -- what the program says, a line of JSON each --------------------------------------


def hold_line(charge: Charge) -> bytes:
    """Guard this job; said again when more is known of it."""
    return _line({"hold": charge})


def drop_line(key: Key) -> bytes:
    """The job is not the program's any more."""
    return _line({"drop": list(key)})


ALIVE_LINE = b"{}\n"
"""The hub runs."""


def _line(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode("ascii") + b"\n"


class Charges:
    """The guarded jobs of a program, and how long it has been silent."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._heard_at = clock()
        self._charges: dict[Key, Charge] = {}
        self._due_at: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._charges)

    def hear(self, line: bytes) -> None:
        """Take in a line of the program's."""
        message = json.loads(line)
        self._heard_at = self._clock()
        self._due_at.clear()
        if "hold" in message:
            key, interval_s, identity = message["hold"]
            charge = Charge(Key(*key), interval_s, Identity(*identity))
            self._charges[charge.key] = charge
        if "drop" in message:
            self.drop(Key(*message["drop"]))

    def drop(self, key: Key) -> None:
        self._charges.pop(key, None)
        self._due_at.pop(key, None)

    def kept(self, charge: Charge) -> None:
        """A keepalive for this job went out."""
        self._due_at[charge.key] = self._clock() + charge.interval_s * AGAIN_SHARE

    def tried(self, charge: Charge) -> None:
        """A keepalive for this job could not go out."""
        self._due_at[charge.key] = self._clock() + min(charge.interval_s * RETRY_SHARE, RETRY_S)

    @property
    def is_silent(self) -> bool:
        """True once a job has been due and the program has not been heard since."""
        return bool(self._due_at)

    def due(self) -> list[Charge]:
        """The jobs that need a keepalive now, the most urgent first."""
        now = self._clock()
        waiting = sorted((due_at, charge.key) for due_at, charge in self._times())
        return [self._charges[key] for due_at, key in waiting if due_at <= now]

    def next_in(self) -> float | None:
        """Seconds until one is due, if the program stays silent; None when nothing is guarded."""
        soonest = min((due_at for due_at, _ in self._times()), default=None)
        return None if soonest is None else max(0.0, soonest - self._clock())

    def _times(self) -> Iterator[tuple[float, Charge]]:
        for key, charge in self._charges.items():
            silent_at = self._heard_at + charge.interval_s * SILENT_SHARE
            yield self._due_at.get(key, silent_at), charge
