"""Keepalives for the guarded jobs on one server, over one connection."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from time import monotonic
from typing import Any

from spalloc_gevent.deadline import Clock
from spalloc_gevent.errors import ProtocolError, SpallocError, SpallocServerException
from spalloc_gevent.guardian.guarded_jobs import GuardedJob
from spalloc_gevent.transport import database
from spalloc_gevent.transport.connection import Connection, connect
from spalloc_gevent.transport.server_kind import ServerKind
from spalloc_gevent.wire.identity import by_number
from spalloc_gevent.wire.messages import value_of
from spalloc_gevent.wire.requests import Request

LIST_SHARE = 0.2
"""The share of a job's interval that the list may take at first: about what is left of it."""
MOST_PATIENCE = 64.0
LONGEST_LIST_S = 60.0
LONGEST_REPLY_S = 2.0
REPLY_SHARE = 0.125
"""The share of a job's interval that a reply may take before the connection is given up."""
EARLY_SHARE = 0.125
"""A job would be lost by long delays between attempts to connect: they are this share of its
interval at most."""
SHORTEST_DELAY_S = 0.5
"""But there are never more than two attempts a second."""


class Result(enum.Enum):
    """What became of a keepalive."""

    SENT = "sent"
    FAILED = "the server does not answer"
    NOT_OURS = "there is no such job, or it is somebody else's"


class GuardedServer:
    """One server. Every connection begins with its list of jobs, which keeps none of them alive,
    unless the server hangs up on that and gives no number twice.

    A server that has come back without its memory may have given our number to
    a stranger's job, and that is not ours to keep.
    """

    def __init__(self, host: str, port: int, clock: Clock = monotonic) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._connection: Connection | None = None
        self._listed: dict[int, Mapping[str, Any]] | None = None
        """None if the server does not list its jobs: there is nothing to tell them apart by."""
        self._hung_up_on_list = False
        """True once the list was hung up on, which lasts as long as some job lives."""
        self._tried_at = -math.inf
        """When the last attempt began that failed."""
        self._patience = 1.0

    def keep_alive(self, job: GuardedJob) -> Result:
        """Send a keepalive; a server that cannot be reached is left alone for a while."""
        began = self._clock()
        if began < self.next_attempt_at(job):
            return Result.FAILED
        try:
            if self._connection is None:
                self._connect(job.keepalive_s * LIST_SHARE)
            if not self._is_ours(job):
                return Result.NOT_OURS
            within_s = min(job.keepalive_s * REPLY_SHARE, LONGEST_REPLY_S)
            self._ask(Request("job_keepalive", [job.job_id]), monotonic() + within_s)
        except (OSError, SpallocError):
            self.close()
            self._tried_at = began
            return Result.FAILED
        self._tried_at = -math.inf
        return Result.SENT

    def next_attempt_at(self, job: GuardedJob) -> float:
        """When the server may be tried for a job."""
        delay_s = min(job.reconnect_delay_s, job.keepalive_s * EARLY_SHARE)
        return self._tried_at + max(SHORTEST_DELAY_S, delay_s)

    def _is_ours(self, job: GuardedJob) -> bool:
        if self._listed is None:
            return True
        listed = self._listed.get(job.job_id)
        return listed is not None and job.identity.is_told_by(listed)

    def _connect(self, within_s: float) -> None:
        # A list that took too long is waited for longer the next time.
        deadline = monotonic() + min(within_s * self._patience, LONGEST_LIST_S)
        self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._connection = connect(self._host, self._port, deadline)
        self._listed = None
        if not self._hung_up_on_list or not self._never_reuses_numbers(deadline):
            self._ask_for_list(deadline)
        self._patience = 1.0

    def _never_reuses_numbers(self, deadline: float) -> bool:
        assert self._connection is not None, "connected"
        # Whatever it answers shows what it is.
        self._ask(Request("version"), deadline)
        server = ServerKind()
        server.learn(self._connection)
        return server.never_reuses_numbers

    def _ask_for_list(self, deadline: float) -> None:
        try:
            jobs = self._ask(Request("list_jobs"), deadline)
        except SpallocServerException:
            return
        except TimeoutError:
            raise
        except OSError:
            self._hung_up_on_list = True
            raise
        self._listed = by_number(jobs)
        if not isinstance(jobs, list) or len(self._listed) < len(jobs):
            raise ProtocolError("what the server tells is no list of jobs")

    def _ask(self, request: Request, deadline: float) -> Any:
        assert self._connection is not None, "connected"
        reply = database.exchange(self._connection, request, deadline)
        if reply is None:
            raise TimeoutError
        return value_of(request.name, reply)

    def close(self) -> None:
        """Disconnect politely; the next keepalive connects, and asks for the list, again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
