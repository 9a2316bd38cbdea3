"""Keepalives for the guarded jobs on one server, over one plain connection."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from spalloc_gevent.deadline import Clock
from spalloc_gevent.engine.plain import PlainConnection
from spalloc_gevent.errors import ProtocolError, SpallocError, SpallocServerException
from spalloc_gevent.guardian.charges import Charge
from spalloc_gevent.wire.conversation import value_of
from spalloc_gevent.wire.identity import by_number
from spalloc_gevent.wire.messages import encode_command

LIST_SHARE = 0.2
"""The share of a job's interval that the list may take at first: about what is left of it."""
MOST_PATIENCE = 64.0
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
        self._listed: dict[int, Mapping[str, Any]] | None = None
        self._tells = True
        """False if the server does not list its jobs: there is nothing to tell them apart by."""
        self._rests_until = 0.0
        self._more_patience = 1.0

    def keep(self, charge: Charge) -> Fate:
        """Send a keepalive; a server that cannot be reached is left alone for a moment."""
        if self._clock() < self._rests_until:
            return Fate.OUT_OF_REACH
        try:
            if not self._is_ours(charge):
                return Fate.NOT_OURS
            within_s = min(LONGEST_ANSWER_S, charge.interval_s * ANSWER_SHARE)
            self._ask("job_keepalive", [charge.key.job_id], within_s)
        except SpallocError:
            self.close()
            self._rests_until = self._clock() + REST_AFTER_LOSS_S
            return Fate.OUT_OF_REACH
        return Fate.KEPT

    def _is_ours(self, charge: Charge) -> bool:
        if self._listed is None:
            self._look(charge.interval_s * LIST_SHARE * self._more_patience)
        listed = (self._listed or {}).get(charge.key.job_id)
        return not self._tells if listed is None else charge.identity.is_told_by(listed)

    def _look(self, within_s: float) -> None:
        # A list that took too long is waited for longer the next time.
        self._more_patience = min(2 * self._more_patience, MOST_PATIENCE)
        try:
            jobs = self._ask("list_jobs", [], within_s)
        except SpallocServerException:
            jobs, self._tells = [], False
        self._listed = by_number(jobs)
        if not isinstance(jobs, list) or len(self._listed) < len(jobs):
            raise ProtocolError("what the server tells is no list of jobs")
        self._more_patience = 1.0

    def _ask(self, name: str, args: Sequence[object], within_s: float) -> Any:
        reply = self._connection.ask(name, encode_command(name, args, {}), within_s)
        return value_of(name, reply)

    def close(self) -> None:
        """Hang up, politely; the next keepalive connects, and looks, again."""
        self._listed = None
        self._tells = True
        self._connection.close()
