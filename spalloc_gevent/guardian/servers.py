"""Keepalives for the guarded jobs on one server, over one plain connection."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from spalloc_gevent.deadline import Clock
from spalloc_gevent.engine.plain import PlainConnection
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.guardian.charges import Charge
from spalloc_gevent.wire.conversation import value_of
from spalloc_gevent.wire.messages import encode_command

LONGEST_ANSWER_S = 2.0
ANSWER_SHARE = 0.125
"""The share of a job's interval that an answer may take before the connection is given up."""
REST_AFTER_LOSS_S = 0.25


class Fate(enum.Enum):
    """What became of a keepalive."""

    KEPT = "kept"
    NOT_OURS = "there is no such job, or it is somebody else's"
    OUT_OF_REACH = "the server does not answer"


class GuardedServer:
    """One server. Every connection begins with its list of jobs, which keeps none of them alive.

    A server that has come back without its memory may have given our number to
    a stranger's job, and that is not ours to keep.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._connection = PlainConnection(host, port)
        self._clock = clock
        self._listed: dict[int, dict[str, Any]] | None = None
        self._rests_until = 0.0

    def keep(self, charge: Charge) -> Fate:
        """Send a keepalive; a server that cannot be reached is left alone for a moment."""
        if self._clock() < self._rests_until:
            return Fate.OUT_OF_REACH
        within_s = min(LONGEST_ANSWER_S, charge.interval_s * ANSWER_SHARE)
        try:
            job_id = charge.key.job_id
            listed = self._told(within_s).get(job_id)
            if listed is None or not charge.identity.is_told_by(listed):
                return Fate.NOT_OURS
            self._ask("job_keepalive", [job_id], within_s)
        except SpallocError:
            self.close()
            self._rests_until = self._clock() + REST_AFTER_LOSS_S
            return Fate.OUT_OF_REACH
        return Fate.KEPT

    def _told(self, within_s: float) -> dict[int, dict[str, Any]]:
        if self._listed is None:
            jobs = self._ask("list_jobs", [], within_s)
            self._listed = {job["job_id"]: job for job in jobs}
        return self._listed

    def _ask(self, name: str, args: Sequence[object], within_s: float) -> Any:
        reply = self._connection.ask(name, encode_command(name, args, {}), within_s)
        return value_of(name, reply)

    def close(self) -> None:
        """Hang up, politely; the next keepalive connects, and looks, again."""
        self._listed = None
        self._connection.close()
