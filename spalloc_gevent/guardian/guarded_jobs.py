"""Which jobs are guarded, when the guardian steps in, and the lines that tell it; no sockets.

Also which jobs were destroyed that the Java server may bring back: after the program's end the
guardian looks at them.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spalloc_gevent.deadline import Clock
from spalloc_gevent.transport.backoff import RECONNECT_DELAY_S
from spalloc_gevent.transport.destroy_checks import LAST_LOOK_AFTER_S
from spalloc_gevent.wire.identity import Identity

SILENT_SHARE = 0.25
"""The program's hub is silent after this share of a job's keepalive interval without a line.

Its own keepalives are out after half the interval, so the last one may be that old by then.
"""
AGAIN_SHARE = 0.4
"""While the silence lasts, a keepalive goes out after this share of the interval."""


class GuardedJob(NamedTuple):
    """A job to be kept alive."""

    number: int
    """The program's own for it: two in one program may hold the same job."""
    host: str
    port: int
    job_id: int
    keepalive_s: float
    identity: Identity = Identity()
    reconnect_delay_s: float = RECONNECT_DELAY_S
    """The pause between attempts to reach the server that was asked for."""


class DestroyedJob(NamedTuple):
    """A job to be looked at when the program has ended: it may live again."""

    host: str
    port: int
    job_id: int
    reason: str | None
    """For others to read, should it be destroyed again."""
    destroyed_at: float
    """When it was, on the monotonic clock."""


# -- what the program tells, a line of JSON each -----------------------------------------
#
# With the time on the monotonic clock, which all processes share: a guardian that starts late,
# or reads late, knows how long ago the hub ran.


def hold_line(job: GuardedJob, at: float) -> bytes:
    """Guard this job; sent again when more is known of it."""
    return _line(at, hold=job)


def drop_line(number: int, at: float) -> bytes:
    """The job is not the program's any more."""
    return _line(at, drop=number)


def destroyed_line(job: DestroyedJob, at: float) -> bytes:
    """Look at this job when the program has ended."""
    return _line(at, destroyed=job)


def alive_line(at: float) -> bytes:
    """The hub runs."""
    return _line(at)


def _line(at: float, **message: object) -> bytes:
    return json.dumps({"at": at, **message}).encode("ascii") + b"\n"


class GuardedJobs:
    """The guarded jobs of a program, and how long it has been silent."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._heard_at = clock()
        self._jobs: dict[int, GuardedJob] = {}
        # Thousands of jobs have few intervals: the shortest is found without looking at all.
        self._intervals: Counter[float] = Counter()
        self._next_at: dict[int, float] = {}
        """When the next keepalive goes out, of jobs that had one in this silence."""
        self._destroyed: deque[DestroyedJob] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[GuardedJob]:
        return iter(self._jobs.values())

    def hold(self, job: GuardedJob) -> None:
        """Guard this job, in place of what was known by its number."""
        self.drop(job.number)
        self._jobs[job.number] = job
        self._intervals[job.keepalive_s] += 1

    def drop(self, number: int) -> None:
        """Guard this job no more; harmless when it is not guarded."""
        job = self._jobs.pop(number, None)
        self._next_at.pop(number, None)
        if job is not None:
            self._intervals[job.keepalive_s] -= 1
            if not self._intervals[job.keepalive_s]:
                del self._intervals[job.keepalive_s]

    @property
    def destroyed(self) -> Sequence[DestroyedJob]:
        """Those that were destroyed lately."""
        return self._destroyed

    def note_destroyed(self, job: DestroyedJob) -> None:
        """A job is destroyed; it is forgotten when it cannot come back any more."""
        while self._destroyed and _is_over(self._destroyed[0], self._clock()):
            self._destroyed.popleft()
        self._destroyed.append(job)

    @property
    def shortest_s(self) -> float:
        """The shortest keepalive interval, in seconds; infinite if nothing is guarded."""
        return min(self._intervals, default=math.inf)

    # -- stepping in --------------------------------------------------------------------

    def handle_line(self, line: bytes) -> None:
        """Take in a line of the program's, which was not silent then."""
        message = json.loads(line)
        self._heard_at = min(message["at"], self._clock())
        self._next_at.clear()
        if "hold" in message:
            *facts, identity, delay_s = message["hold"]
            self.hold(GuardedJob._make([*facts, Identity(*identity), delay_s]))
        if "drop" in message:
            self.drop(message["drop"])
        if "destroyed" in message:
            self.note_destroyed(DestroyedJob._make(message["destroyed"]))

    def mark_sent(self, job: GuardedJob) -> None:
        """A keepalive for this job went out."""
        self._next_at[job.number] = self._clock() + job.keepalive_s * AGAIN_SHARE

    def mark_failed(self, job: GuardedJob, again_at: float) -> None:
        """A keepalive for this job could not go out; it is due again at this moment."""
        self._next_at[job.number] = again_at

    @property
    def is_silent(self) -> bool:
        """True once a job has been due and the program has not been heard since."""
        return bool(self._next_at)

    def due(self) -> list[GuardedJob]:
        """The jobs that need a keepalive now, the most urgent first."""
        now = self._clock()
        if now < self.next_at():
            return []
        times = sorted((self._due_at(job), number) for number, job in self._jobs.items())
        return [self._jobs[number] for due_at, number in times if due_at <= now]

    def next_at(self) -> float:
        """When one is due, if the program stays silent; infinite if nothing is guarded."""
        if not self.is_silent:
            return self._heard_at + self.shortest_s * SILENT_SHARE
        return min(map(self._due_at, self), default=math.inf)

    def _due_at(self, job: GuardedJob) -> float:
        silent_at = self._heard_at + job.keepalive_s * SILENT_SHARE
        return self._next_at.get(job.number, silent_at)


def _is_over(job: DestroyedJob, now: float) -> bool:
    return now > job.destroyed_at + LAST_LOOK_AFTER_S
