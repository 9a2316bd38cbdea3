"""When a keepalive is due, and what it tells about the job."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from spalloc_gevent.deadline import Clock
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.roll import LOST
from spalloc_gevent.errors import (
    JobDestroyedError,
    ProtocolError,
    SpallocServerException,
)
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import UNKNOWN_JOB, JobStateInfo, job_state, means_no_job

_log = logging.getLogger(__name__)

EARLIEST_SHARE = 0.4
LATEST_SHARE = 0.5
"""A keepalive is due after this share of its interval: spread, and with time for another try."""

STEP_SHARE = 0.02
LONGEST_STEP_S = 0.25
"""Keepalives go out at common points in time, so far apart: thousands of jobs that each woke the
hub by itself would take several times the CPU time."""

FROZEN_SHARE = 0.125
"""The share of the interval after which an unanswered keepalive takes another connection."""

LONGEST_ANSWER_S = 5.0

RETRY_SHARE = 0.08
LONGEST_RETRY_S = 0.8
"""A server that is away is tried this often, in shares of the interval and at least: when it
is back, the keepalives that wait go out within a second."""


def answer_within_s(interval_s: float | None) -> float:
    """How long to wait for the state of a job with this keepalive before asking elsewhere."""
    if interval_s is None:
        return LONGEST_ANSWER_S
    return min(LONGEST_ANSWER_S, interval_s * FROZEN_SHARE)


class Schedule:
    """When the next keepalive of one job is due; pure but for its clock."""

    def __init__(
        self,
        interval_s: float,
        clock: Clock = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.interval_s = interval_s
        self._clock = clock
        self._spread = spread
        self._heard_at = clock()
        self._not_before = self._heard_at
        self._share = self._next_share()
        self._step_s = min(LONGEST_STEP_S, interval_s * STEP_SHARE)

    def _next_share(self) -> float:
        return EARLIEST_SHARE + (LATEST_SHARE - EARLIEST_SHARE) * self._spread()

    def heard(self, sent_at: float) -> None:
        """A command that names the job, sent at `sent_at`, was answered: it counts as one."""
        self._heard_at = max(self._heard_at, sent_at)
        self._share = self._next_share()

    def failed(self) -> None:
        """A keepalive was not taken: the next is due soon, but not at once."""
        self._not_before = self._clock() + self.retry_within_s

    def due_in(self) -> float:
        """Seconds to the next keepalive."""
        due = self._heard_at + self.interval_s * self._share
        due -= due % self._step_s
        return max(0.0, max(due, self._not_before) - self._clock())

    @property
    def late_by(self) -> float:
        """Seconds since the server may have destroyed the job for silence; negative before."""
        return self._clock() - self._heard_at - self.interval_s

    @property
    def urgent_at(self) -> float:
        """The time from which the keepalive should go before other calls."""
        return self._heard_at + self.interval_s * LATEST_SHARE

    @property
    def answer_within_s(self) -> float:
        return answer_within_s(self.interval_s)

    @property
    def retry_within_s(self) -> float:
        """The longest time between attempts to reach a server that is away."""
        return min(LONGEST_RETRY_S, self.interval_s * RETRY_SHARE)


class Holding:
    """One job held on a server: its keepalive and what is known of its end.

    Knows nothing of the :class:`Job` in front of it, so that a forgotten one can
    be collected.
    """

    def __init__(
        self, link: ServerLink, held: Held, schedule: Schedule | None, *, guarded: bool
    ) -> None:
        self.job_id = held.job_id
        self.final: JobStateInfo | None = None
        """What the server last said of the job once it was gone; None while it lives."""
        self._link = link
        self._schedule = schedule
        self._told_late = False
        self._last_word: Call | None = None
        self._guarded_s = schedule.interval_s if guarded and schedule is not None else None
        self._held = held
        held.attach(self._gone, self._guard)
        try:
            self._guard(wait=True)
        except BaseException:
            self._unguard()
            raise

    @property
    def is_lost(self) -> bool:
        """True once the job's number may be another's."""
        return self._held.is_gone

    def destroy(self, reason: str | None, timeout_s: float | None) -> None:
        """Have the server destroy the job; that still goes out when we do not wait any more.

        A server that is started again has a moment to come back: the boards would
        else be nobody's until the keepalive runs out.
        """
        args, kwargs = (self.job_id,), {"reason": reason}
        patient = timeout_s is not None
        self._last_word = Call("destroy_job", args, kwargs, patient=patient, outlives_caller=True)
        self._link.run(self._last_word, timeout_s)

    def end(self) -> None:
        """The job is not ours any more."""
        self._unguard()
        self._link.let_go(self._held, self._last_word)

    def _guard(self, *, wait: bool = False) -> None:
        if self._guarded_s is not None:
            self._link.guard(self._held, self._guarded_s, wait=wait)

    def _unguard(self) -> None:
        if self._guarded_s is not None:
            self._guarded_s = None
            self._link.unguard(self._held)

    def due_in(self) -> float | None:
        """Seconds to the next keepalive; None when there will be none."""
        if self._schedule is None or self.final is not None:
            return None
        return self._schedule.due_in()

    def keep_alive(self, over: Callable[[], object]) -> Callable[[], object]:
        """Ask for the job's state, which the server takes as its keepalive; on the hub.

        ``over()`` is called when that has come to an end; what is returned gives it up.
        """
        assert self._schedule is not None, "it is due"
        return _Keepalive(self, self._link, self._schedule, over).give_up

    def is_told_late(self, schedule: Schedule) -> bool:
        """Warn, once, if the server may have destroyed the job for silence; True if it may."""
        if schedule.late_by > 0 and not self._told_late:
            self._told_late = True
            _log.warning("job %d: the keepalive is %.1f s too late", self.job_id, schedule.late_by)
        return self._told_late

    def answered(self, call: Call, schedule: Schedule) -> None:
        """A keepalive has been answered, or failed."""
        try:
            self.heard(_state_in(call), call.sent_at)
        except JobDestroyedError:
            return  # The number is another job's now, which has been noted.
        except (ProtocolError, SpallocServerException) as error:
            _log.info("job %d: a keepalive was lost: %s", self.job_id, error)
            schedule.failed()

    def heard(self, info: JobStateInfo, sent_at: float | None) -> None:
        """The server told the job's state, in answer to a command sent at `sent_at`."""
        if self._schedule is not None and sent_at is not None:
            self._schedule.heard(sent_at)
            self._told_late = False
        if info["state"] in (JobState.destroyed, JobState.unknown):
            self._held.is_over = True
            self._gone(info)
        elif self._held.identity.is_told_by(info):
            self._held.learn(info["start_time"])
        else:
            self._held.end(job_state({"state": JobState.unknown, "reason": LOST}))

    def _gone(self, info: JobStateInfo) -> None:
        if self.final is None:
            self.final = info
            # What we have asked for ourselves is no loss.
            level = logging.ERROR if self._last_word is None else logging.DEBUG
            _log.log(level, "job %d is gone: %s", self.job_id, info["reason"] or "no reason given")
            # Still in the roll: its number may become another's while this program uses it.
            self._unguard()
            self._link.tell_waiters(self.job_id)


class _Keepalive:
    """One keepalive on its way, for as long as it takes: that it is late is told meanwhile."""

    __slots__ = ("_call", "_holding", "_late", "_link", "_over", "_schedule")

    def __init__(
        self,
        holding: Holding,
        link: ServerLink,
        schedule: Schedule,
        over: Callable[[], object],
    ) -> None:
        self._holding = holding
        self._link = link
        self._schedule = schedule
        self._over: Callable[[], object] | None = over
        told = holding.is_told_late(schedule)
        self._late = None if told else link.timer(-schedule.late_by, self._tell_late)
        self._call = Call(
            "get_job_state",
            (holding.job_id,),
            patient=True,
            urgent_at=schedule.urgent_at,
            answer_within_s=schedule.answer_within_s,
            outcome=link.followed(self._go_on),
        )
        link.begin_on_hub(self._call)

    def _tell_late(self) -> None:
        self._late = None
        self._holding.is_told_late(self._schedule)

    def _go_on(self) -> None:
        # None: it was given up, and is over already.
        over, self._over = self._over, None
        if over is not None:
            self._forget_time()
            self._holding.answered(self._call, self._schedule)
            over()

    def give_up(self) -> None:
        self._over = None
        self._forget_time()
        self._link.give_up(self._call)

    def _forget_time(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            late.cancel()


def _state_in(call: Call) -> JobStateInfo:
    """What a call for a job's state was answered with; raises what it failed with."""
    try:
        return job_state(call.outcome.wait())
    except SpallocServerException as error:
        if not means_no_job(error.reason):
            raise
        return UNKNOWN_JOB.copy()
