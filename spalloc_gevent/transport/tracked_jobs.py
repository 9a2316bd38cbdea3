"""The jobs that this program holds on one server, told from others that come by their numbers.

A server that is started without its memory numbers its jobs from 1 again: what was our job
may be a stranger's. So a connection that is made while jobs are held is verified before
anybody uses it. It leads to the server that has our jobs if a connection that was verified
has had a reply to a command that was sent after the new one was made: both lead to a server
that lives now. Where there is none, the new one is asked for the list of jobs, which keeps
none of them alive. Where no number is given twice, all are verified.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from time import monotonic

from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.states import JobState
from spalloc_gevent.transport import database
from spalloc_gevent.transport.connection import Connection
from spalloc_gevent.transport.server_kind import ServerKind
from spalloc_gevent.transport.waiting import ChangeCounter
from spalloc_gevent.wire.answers import JobStateInfo, Refusal, job_state, kind_of_refusal
from spalloc_gevent.wire.identity import Identity, as_start_time, by_number
from spalloc_gevent.wire.messages import AnyReply, ErrorReply
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

LOST = "the server has lost its memory: it knows another job by this number now"
FORGOTTEN = (
    "the server has lost its memory, or ended the job long ago: it does not know the job any more"
)

LIST_SHARE = 0.2
"""The share of the shortest keepalive that a list may take before another connection is tried."""
SHORTEST_LIST_S = 0.5
LONGEST_LIST_S = 60.0


class TrackedJob:
    """A job that this program holds, and whether it still is what its number stands for."""

    __slots__ = ("_on_change", "end", "identity", "is_over", "job_id", "keepalive_s", "tracked_by")

    def __init__(self, job_id: int, identity: Identity, keepalive_s: float | None) -> None:
        self.job_id = job_id
        self.identity = identity
        self.keepalive_s = keepalive_s
        self.end: JobStateInfo | None = None
        """What is known of its end, once the number is not this job's any more, or soon may
        not be; None while it lives."""
        self.is_over = False
        """True once the server has told its end: there is nothing left to ask about it."""
        self.tracked_by: TrackedJobs | None = None
        self._on_change: Callable[[], object] = _nothing

    def watch(self, on_change: Callable[[], object]) -> None:
        """Have ``on_change()`` called when more is known: its start, or its end."""
        self._on_change = on_change
        if self.end is not None:
            on_change()

    def learn_start(self, start_time: object) -> None:
        """Take in when it was created, as a Unix time, if that is one."""
        identity = self.identity.completed(as_start_time(start_time))
        if identity != self.identity:
            self.identity = identity
            self._on_change()

    def learn_end(self, info: JobStateInfo) -> None:
        """The number is not this job's any more, or soon may not be."""
        if self.end is None:
            self.end = info
            if self.tracked_by is not None:
                self.tracked_by.has_lost = True
            self._on_change()

    def learn_state(self, info: JobStateInfo) -> None:
        """Take in what the server tells of the number's state."""
        if info["state"] in (JobState.destroyed, JobState.unknown):
            self.is_over = True
            self.learn_end(info)
        elif self.identity.is_told_by(info):
            self.learn_start(info["start_time"])
        else:
            self.learn_end(unknown_job(LOST))


def _nothing() -> None:
    """What is done as long as nobody wants to know."""


def unknown_job(reason: str) -> JobStateInfo:
    """The state of a job that is lost, with the reason."""
    return job_state({"state": JobState.unknown, "reason": reason})


class TrackedJobs:
    """The tracked jobs of one server; changed in the background only, and asked from anywhere."""

    def __init__(self, server: ServerKind) -> None:
        self.server = server
        # Almost always one; but a job may be resumed twice, or have the number of a lost one.
        self._jobs: dict[int, tuple[TrackedJob, ...]] = {}
        self.count = 0
        """How many jobs are held."""
        self.has_lost = False
        """True once one of them has ended, or was lost: its number may be another's."""
        self._shortest_s: float | None = None
        self.verified_at = -math.inf
        """When the last command was sent that was answered over a verified connection."""
        self.slow_reply_s = 0.0
        """How long replies took of late, at most: what takes no longer is not frozen."""
        self._verifying = False
        self._verified = ChangeCounter()
        self._patience = 1.0

    def add(self, job: TrackedJob) -> None:
        """The job is ours from now on."""
        self._jobs[job.job_id] = (*self._jobs.get(job.job_id, ()), job)
        self._shortest_s = None
        self.count += 1
        job.tracked_by = self
        self.has_lost = self.has_lost or job.end is not None

    def remove(self, job: TrackedJob) -> None:
        """It is not ours any more; harmless when that is known."""
        jobs = self._jobs.get(job.job_id, ())
        if job not in jobs:
            return
        if len(jobs) > 1:
            self._jobs[job.job_id] = tuple(other for other in jobs if other is not job)
        else:
            del self._jobs[job.job_id]
        self._shortest_s = None
        self.count -= 1

    @property
    def shortest_keepalive_s(self) -> float:
        """Of the jobs that are held now; infinite if none has one."""
        if self._shortest_s is None:
            jobs = [job for jobs in list(self._jobs.values()) for job in jobs]
            intervals = [job.keepalive_s for job in jobs if job.keepalive_s is not None]
            self._shortest_s = min(intervals, default=math.inf)
        return self._shortest_s

    def why_lost(self, job_id: object) -> str | None:
        """Why no command may name this number: all that we held by it is gone; else None."""
        jobs = self._jobs.get(job_id) if isinstance(job_id, int) else None
        if not jobs or any(job.end is None for job in jobs):
            return None
        reasons = [job.end["reason"] for job in jobs if job.end is not None]
        return next(filter(None, reasons), "no reason was given")

    # -- verifying connections ----------------------------------------------------------

    def answered(self, connection: Connection) -> None:
        """A verified connection has had the reply to its last command."""
        self.server.learn(connection)
        if connection.sent_at > self.verified_at:
            self.verified_at = connection.sent_at

    def note_reply_time(self, seconds: float) -> None:
        """A reply has taken so long."""
        self.slow_reply_s = max(seconds, self.slow_reply_s * 0.9)

    def is_verified(self, connection: Connection) -> bool:
        """True if a new connection leads to the server that has our jobs."""
        return (
            not self._jobs
            or self.server.never_reuses_numbers
            or connection.made_at < self.verified_at
        )

    def verify(self, connection: Connection, ask_another: Callable[[], object]) -> None:
        """Verify a new connection; one at a time, and one answer serves all made before.

        Args:
            connection: held by the caller, a greenlet of the background hub.
            ask_another: has a verified connection answer, if one does so soon.

        Raises:
            OSError, ProtocolError: it broke, or did not answer in time.
        """
        while self._verifying and not self.is_verified(connection):
            self._verified.wait_beyond(self._verified.count)
        if self.is_verified(connection):
            return
        self._verifying = True
        try:
            ask_another()
            if not self.is_verified(connection):
                self._ask_for_list(connection)
        finally:
            self._verifying = False
            self._verified.increment()

    def _ask_for_list(self, connection: Connection) -> None:
        asked_for = [job for jobs in self._jobs.values() for job in jobs if job.end is None]

        def listed(reply: AnyReply) -> list[TrackedJob]:
            self._patience = 1.0
            self.note_reply_time(monotonic() - connection.sent_at)
            missing = _take_list(asked_for, reply)
            if not missing:
                self.answered(connection)
            return missing

        share_s = self.shortest_keepalive_s * LIST_SHARE * self._patience
        within_s = max(SHORTEST_LIST_S, share_s, 2 * self.slow_reply_s)
        deadline = monotonic() + min(within_s, LONGEST_LIST_S)

        def listed_late(reply: AnyReply) -> None:
            listed(reply)

        request = Request("list_jobs", late_reply=listed_late)
        reply = database.exchange(connection, request, deadline)
        if reply is None:
            # It still counts when it comes; the next one is waited for longer.
            self._patience *= 2
            raise ConnectionLostError("the server did not tell its list of jobs in time")
        for job in listed(reply):
            _ask_for_state(connection, job, deadline)
        self.answered(connection)


def _take_list(asked_for: Iterable[TrackedJob], reply: AnyReply) -> list[TrackedJob]:
    """Take in the server's list of jobs: numbers that are others' now are lost to us.

    Returns:
        Those that are not in the list.
    """
    if isinstance(reply, ErrorReply):
        _log.info("the server does not list its jobs: %s", reply.reason)
        return []
    jobs = by_number(reply.value)
    missing = []
    for job in asked_for:
        told = jobs.get(job.job_id)
        if told is None:
            missing.append(job)
        elif job.identity.is_told_by(told):
            job.learn_start(told.get("start_time"))
        else:
            job.learn_end(unknown_job(LOST))
    return missing


def _ask_for_state(connection: Connection, job: TrackedJob, deadline: float) -> None:
    """Ask what became of a job that is not in the list: its number may be nobody's."""
    reply = database.exchange(connection, Request("get_job_state", (job.job_id,)), deadline)
    if reply is None:
        raise ConnectionLostError("the server did not tell the state of a job in time")
    if isinstance(reply, ErrorReply):
        if kind_of_refusal(reply.reason) is Refusal.NO_JOB:
            job.learn_end(unknown_job(FORGOTTEN))
        return
    info = job_state(reply.value)
    job.learn_state(unknown_job(FORGOTTEN) if info["state"] == JobState.unknown else info)
