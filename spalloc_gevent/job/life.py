"""The life of one job: a greenlet of the background hub, from create_job to destroy_job."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from time import monotonic
from typing import Any

from spalloc_gevent.address import bracketed
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import (
    ClosedError,
    ConnectionLostError,
    JobDestroyedError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.job.ledger_recorder import LedgerRecorder
from spalloc_gevent.job.request import JobRequest
from spalloc_gevent.job.schedule import KeepaliveSchedule
from spalloc_gevent.ledger import JobOutcome
from spalloc_gevent.states import JobState
from spalloc_gevent.transport import native
from spalloc_gevent.transport.guardian import Guardian
from spalloc_gevent.transport.session import SharedSession
from spalloc_gevent.transport.switch_interval import switch_interval
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.transport.waiting import ChangeCounter, Waiter, sleep
from spalloc_gevent.wire.answers import (
    JobStateInfo,
    job_state,
    state_in,
)
from spalloc_gevent.wire.identity import Identity, as_start_time, by_number
from spalloc_gevent.wire.messages import AnyReply, Reply, value_of
from spalloc_gevent.wire.requests import Request

_log = logging.getLogger(__name__)

GONE = (JobState.destroyed, JobState.unknown)
GIVEN_UP = "The client gave up waiting for the job to be created."

SAFETY_REFRESH_S = 30.0
"""While somebody waits for a change the job is looked at this often though no notification says
so: one may be lost."""
SHORTEST_REST_S = 0.1
LONGEST_REST_S = 2.0
"""Refreshes that find nothing new are so far apart: some server may tell its own answers as
changes."""


UNKNOWN_KEEPALIVE_S = 10.0
"""Of a job that is taken over, where the list of jobs does not tell it."""
INTERRUPT_AFTER_S = 0.1
"""How long the end of a job waits for a reply about it that is on its way."""

_FAILURES = (OSError, ProtocolError, ProtocolTimeoutError, SpallocServerException)
"""What a keepalive may fail with; the next one is due soon."""


class _EndingError(Exception):
    """Thrown into the greenlet while it waits for a reply, when the job is to end."""


class JobLife:
    """What keeps one job, and what is known of it.

    Knows nothing of the :class:`~spalloc_gevent.Job` in front of it, so that a forgotten one
    can be collected.
    """

    __slots__ = (
        "_done",
        "_greenlet",
        "_is_asking",
        "_is_told_late",
        "_is_watching",
        "_known_at",
        "_ledger",
        "_lock",
        "_pause",
        "_refresh_at",
        "_rest_s",
        "_schedule",
        "_session",
        "_shared_session",
        "_timeout_s",
        "_uses_guardian",
        "changes",
        "ending",
        "is_alive",
        "known",
        "reason",
        "tracked",
        "was_ready",
    )

    def __init__(
        self,
        shared_session: SharedSession,
        ledger: LedgerRecorder,
        timeout_s: float | None,
        *,
        guardian: bool,
    ) -> None:
        """Prepare a life; :meth:`begin` begins it.

        Args:
            shared_session: with the server; closed at the end.
            ledger: where the job is entered.
            timeout_s: how long each answer is waited for, in seconds; None for ever.
            guardian: True to have the guardian stand in for a program that is held up.
        """
        self.changes = ChangeCounter()
        """Counts the new states, and the end."""
        self.known: JobStateInfo | None = None
        """What the server told last."""
        self.was_ready = False
        """True once its boards have been ready."""
        self.tracked: TrackedJob | None = None
        """The job, once there is one."""
        self._shared_session = shared_session
        self._session = shared_session.get()
        self._ledger = ledger
        self._timeout_s = timeout_s
        self._uses_guardian = guardian
        self._lock = native.new_rlock()
        self._known_at = -math.inf
        self._schedule: KeepaliveSchedule | None = None
        self.ending: JobOutcome | None = None
        """How this program ends it, once it does: GIVEN_BACK or CLOSED."""
        self.reason: str | None = None
        """Why, for others to read."""
        self._done: Waiter | None = None
        self.is_alive = False
        """True from its beginning to its end."""
        self._is_asking = False
        self._is_told_late = False
        self._is_watching = False
        self._greenlet: Any = None
        self._pause: Waiter | None = None
        self._refresh_at = math.inf
        self._rest_s = 0.0

    # -- from outside ---------------------------------------------------------------------

    def begin(self, request: JobRequest | None, resume_id: int | None) -> TrackedJob:
        """Have the job created, or taken over; what keeps it goes on in the background.

        Args:
            request: what to ask for.
            resume_id: the number of the job to take over, if nothing is asked for.

        Raises:
            JobDestroyedError: the job to take over is gone.
            SpallocError: the server refused, or did not answer. Nothing is left behind.
        """
        begun = Waiter()
        self.is_alive = True
        self._session.background.spawn(self._live, begun, request, resume_id)
        begun.wait()
        if begun.value is not None:
            raise begun.value
        assert self.tracked is not None, "it has begun"
        return self.tracked

    @property
    def job_id(self) -> int:
        """The number that the server gave the job."""
        assert self.tracked is not None, "it has begun"
        return self.tracked.job_id

    @property
    def end_told(self) -> JobStateInfo | None:
        """What is known of the job's end; None while it lives."""
        return self.tracked.end if self.tracked is not None else None

    def learn(self, info: JobStateInfo, sent_at: float, *, keeps_alive: bool = True) -> None:
        """Take in what the server told of the job's state.

        Args:
            info: the reply to ``get_job_state``.
            sent_at: when the command was sent.
            keeps_alive: True if it counts as a keepalive.
        """
        assert self.tracked is not None, "it has a number"
        with self._lock:
            if self._schedule is not None and keeps_alive:
                self._schedule.heard(sent_at)
                self._is_told_late = False
            if sent_at < self._known_at:
                return
            self.tracked.learn_state(info)
            told = self.tracked.end or info
            is_new = self.known is None or self.known["state"] != told["state"]
            self.known, self._known_at = told, sent_at
            self.was_ready = self.was_ready or told["state"] == JobState.ready
        if is_new:
            self._rest_s = 0.0
            self.changes.increment()

    def give_up(self, ending: JobOutcome) -> None:
        """Let the life end whose beginning has failed, or was interrupted; waits for nothing.

        Args:
            ending: as for :meth:`end`.
        """
        self.end(ending, GIVEN_UP, wait=False)
        if not self.is_alive:
            self._shared_session.close()

    def ask(self, deadline: Deadline, *, tries_at_once: bool = False) -> JobStateInfo:
        """Ask for the job's state, in the caller's own thread or greenlet.

        Args:
            deadline: when to give up.
            tries_at_once: True to have a server that is away tried at once.

        Raises:
            SpallocError: as for :meth:`ServerSession.call`.
        """
        arguments = (self.job_id,)
        request = Request(
            "get_job_state", arguments, wait_for_server=True, tries_at_once=tries_at_once
        )
        sent_at = monotonic()
        info = state_in(lambda: self._session.call(request, deadline))
        self.learn(info, sent_at)
        return info

    def watch(self) -> None:
        """Have the server tell changes of the job's state from now on."""
        if not self.is_alive:
            return
        if not self._is_watching:
            self._is_watching = True
            self._session.background.call_soon(self._watch)
        if self._session.server.holds_up_questions and self.is_in_transition:
            self._session.background.call_soon(self._look_by_list)

    def end(self, ending: JobOutcome, reason: str | None, *, wait: bool = True) -> None:
        """Let the life end, once; and let go of the session.

        Args:
            ending: GIVEN_BACK destroys the job; CLOSED leaves it to its keepalive.
            reason: for others to read.
            wait: False to return at once; so does a call from the background, or from a
                finaliser that interrupts this very thread.
        """
        waits = wait and not self._must_not_wait
        done = Waiter() if waits else None
        with self._lock:
            if self.ending is not None:
                return
            self.ending, self.reason, self._done = ending, reason, done
        is_finished = self.is_alive and self._interrupt()
        if is_finished and done is not None:
            done.wait()
            is_finished = done.value
        if not is_finished:
            self._finish()
        if waits:
            self._shared_session.close()

    @property
    def _must_not_wait(self) -> bool:
        return self._session.background.hub.is_current or self._session.pool.is_entered_here

    def _interrupt(self) -> bool:
        """Have the greenlet see that the job ends; False if there is no background any more."""
        try:
            self._session.background.call_soon(self._interrupt_here)
        except ClosedError:
            return False
        return True

    # -- in the background ------------------------------------------------------------------

    def _live(self, begun: Waiter, request: JobRequest | None, resume_id: int | None) -> None:
        """The life itself."""
        self._greenlet = self._session.background.hub.current_greenlet()
        error: BaseException | None = None
        is_finished = False
        try:
            try:
                if self.ending is None:
                    self._begin(request, resume_id)
            except BaseException as failure:  # noqa: BLE001 - raised again, in the caller's thread
                error = failure
                self.ending = self.ending or (
                    JobOutcome.GIVEN_BACK if request else JobOutcome.CLOSED
                )
            else:
                begun.wake()
                self._hold()
            self._finish()
            is_finished = True
        finally:
            with self._lock:
                self.is_alive = False
                done = self._done
            if error is not None:
                begun.wake(error)
            if done is not None:
                done.wake(is_finished)
            else:
                self._shared_session.close(0.0)

    def _begin(self, request: JobRequest | None, resume_id: int | None) -> None:
        if request is not None:
            self._create(request)
        else:
            assert resume_id is not None, "one of the two is given"
            self._resume(resume_id)
        assert self.tracked is not None, "there is a job"
        self.tracked.watch(self._tracked_job_changed)
        if self.tracked.keepalive_s is not None:
            switch_interval.acquire()
            self._schedule = KeepaliveSchedule(self.tracked.keepalive_s)
        if self._uses_guardian:
            self._guard()
            self._session.background.hub.singleton(Guardian).wait_until_told(math.inf)
        server = f"{bracketed(self._session.host)}:{self._session.port}"
        self._ledger.asked(self.tracked, server, request)

    def _create(self, request: JobRequest) -> None:
        self._session.check_fits(request.size, request.options, Deadline(self._timeout_s))
        command = Request(
            "create_job", request.size, request.options, late_reply=self._destroy_late
        )
        job_id = self._session.call(command, Deadline(self._timeout_s))
        if type(job_id) is not int:
            raise ProtocolError(f"the server was asked for a job and gave {job_id!r} as its number")
        self._remark_on(job_id, request.keepalive_s)
        keepalive_s = self._session.server.effective_keepalive_s(request.keepalive_s)
        self._track(TrackedJob(job_id, Identity(request.owner), keepalive_s))
        # Without its start, another job of the same owner could not be told from it.
        self._refresh_at = monotonic()

    def _remark_on(self, job_id: int, keepalive_s: float | None) -> None:
        """Tell, once, what the server makes of such a keepalive."""
        server = self._session.server
        remark = server.keepalive_remark(keepalive_s)
        if remark is not None and remark not in server.remarked:
            server.remarked.add(remark)
            _log.warning("job %d: %s", job_id, remark)

    def _resume(self, job_id: int) -> None:
        command = Request("get_job_state", (job_id,))
        # It is not held yet, whatever else is held by its number.
        command.job_id = None
        info = state_in(lambda: self._session.call(command, Deadline(self._timeout_s)))
        if info["state"] in GONE:
            raise JobDestroyedError(why_gone(job_id, info))
        identity = Identity(start_time=as_start_time(info["start_time"]))
        self._track(TrackedJob(job_id, identity, info["keepalive"]))
        self.known, self._known_at = info, monotonic()
        assert self.tracked is not None, "just now"
        if not self._session.server.tells_keepalive_interval:
            # It tells the time of the last keepalive there; its list, the interval.
            self.tracked.keepalive_s = self._listed_keepalive_s(job_id)

    def _listed_keepalive_s(self, job_id: int) -> float:
        try:
            jobs = self._session.call(Request("list_jobs"), Deadline(self._timeout_s))
        except ConnectionLostError as error:
            _log.info("job %d: its keepalive cannot be looked up: %s", job_id, error)
            return UNKNOWN_KEEPALIVE_S
        return float(by_number(jobs).get(job_id, {}).get("keepalive") or UNKNOWN_KEEPALIVE_S)

    def _track(self, tracked: TrackedJob) -> None:
        self.tracked = tracked
        self._session.tracked.add(tracked)

    def _hold(self) -> None:
        """Ask for the job's state, which counts as its keepalive, until the program ends it."""
        while self.ending is None:
            now = monotonic()
            next_at = self._next_at()
            if now < next_at:
                if self._is_watching:
                    # Who waits from now on wakes nobody here, and may be told of nothing.
                    next_at = min(next_at, now + SAFETY_REFRESH_S)
                self._pause = Waiter()
                self._pause.wait(next_at)
                continue
            try:
                self._is_asking = True
                self._ask(now)
            except _EndingError:
                return
            except JobDestroyedError:
                continue
            except _FAILURES as error:
                _log.info("job %d: a keepalive was lost: %s", self.job_id, error)
                self._failed()
            finally:
                self._is_asking = False

    def _next_at(self) -> float:
        """When to ask for the state: when a keepalive is due, or a change is looked for."""
        if self.end_told is not None:
            return math.inf
        refresh_at = self._refresh_at
        if self.changes.has_waiters:
            refresh_at = min(refresh_at, self._known_at + SAFETY_REFRESH_S)
        return min(refresh_at, self._keepalive_at)

    @property
    def _keepalive_at(self) -> float:
        return math.inf if self._schedule is None else self._schedule.due_at

    def _ask(self, now: float) -> None:
        self._refresh_at = math.inf
        if self._schedule is None or now < self._keepalive_at:
            self._rest_s = min(LONGEST_REST_S, max(SHORTEST_REST_S, 2 * self._rest_s))
            self.ask(Deadline(min(SAFETY_REFRESH_S, self._keepalive_at - now)))
            return
        request = Request("get_job_state", (self.job_id,), wait_for_server=True)
        self._warn_if_late()
        reply = self._session.keep_alive(request, self._schedule.patience_s)
        if reply is None:
            self._failed()
            self._warn_if_late()
        else:
            self.learn(state_in(lambda: value_of(request.name, reply)), now)

    def _failed(self) -> None:
        if self._schedule is not None:
            self._schedule.failed()
        if self.changes.has_waiters:
            self._refresh_at = monotonic() + SHORTEST_REST_S

    def _warn_if_late(self) -> None:
        late_s = 0.0 if self._schedule is None else self._schedule.late_by
        if late_s > 0 and not self._is_told_late:
            self._is_told_late = True
            _log.warning("job %d: the keepalive is %.1f s too late", self.job_id, late_s)

    def _interrupt_here(self) -> None:
        self._interrupt_pause()
        if self._is_asking:
            self._session.background.hub.spawn_here(self._interrupt_asking)

    def _interrupt_asking(self) -> None:
        # The reply comes in a moment, mostly: its connection is of use then.
        sleep(INTERRUPT_AFTER_S)
        if self._is_asking:
            # In the hub itself: only from there may one throw into a greenlet.
            self._session.background.call_soon(self._throw_if_asking)

    def _throw_if_asking(self) -> None:
        if self._is_asking:
            self._greenlet.throw(_EndingError)

    def _watch(self) -> None:
        if self.ending is None and self.end_told is None:
            self._session.subscriptions.watch_job(self.job_id, self._refresh)
            self._interrupt_pause()

    @property
    def is_in_transition(self) -> bool:
        """True until its boards are ready, or it has ended."""
        return self.known is None or self.known["state"] in (JobState.queued, JobState.power)

    @property
    def has_final_boards(self) -> bool:
        """True once its boards, if it has any, are those that it will have to its end."""
        return self.was_ready or not self._session.server.moves_jobs

    @property
    def is_waited_for(self) -> bool:
        """True while somebody waits for a change."""
        return self.changes.has_waiters

    def _look_by_list(self) -> None:
        if self.ending is None and self.end_told is None:
            self._session.state_lists.add(self)

    def learn_listed(self, listed: Mapping[str, Any] | None, sent_at: float) -> bool:
        """Take in what ``list_jobs`` tells of the job, which does not keep it alive.

        Args:
            listed: its entry there; None if there is none.
            sent_at: when the list was asked for.

        Returns:
            True if it has another state than was known.
        """
        if self.ending is not None or self.end_told is not None:
            return False
        if listed is None:
            self.look_itself()
            return False
        seen = self.changes.count
        told = {key: listed.get(key) for key in ("state", "power", "start_time", "keepalivehost")}
        self.learn(job_state(told), sent_at, keeps_alive=False)
        return self.changes.count > seen

    def _refresh(self) -> None:
        """The job may have changed: ask, unless a list is to tell."""
        if not self._session.state_lists.look_soon(self):
            self.look_itself()

    def look_itself(self) -> None:
        """Ask for the state, at once unless it was for nothing the last time."""
        self._refresh_at = min(self._refresh_at, max(monotonic(), self._known_at + self._rest_s))
        self._interrupt_pause()

    def _tracked_job_changed(self) -> None:
        """Its start is known now, or its end."""
        if self.end_told is not None and self.ending is None:
            # Before whoever asked is told of it.
            self._ledger.gone(self.end_told)
        try:
            # What we have asked for ourselves is no loss.
            self._session.background.call_soon(self._tell_of_change, self.ending is None)
        except ClosedError:
            return

    def _tell_of_change(self, is_loss: bool) -> None:
        end = self.end_told
        if end is None:
            self._guard()
            return
        if is_loss:
            _log.error("job %d is gone: %s", self.job_id, end["reason"] or "no reason given")
        # Still tracked: its number may become another's while this program uses it.
        self._stop_guarding()
        self.known = end
        self.changes.increment()
        self._interrupt_pause()

    def _interrupt_pause(self) -> None:
        if self._pause is not None and not self._pause.woken:
            self._pause.wake()

    def _guard(self) -> None:
        """Have the guardian keep the job alive when the hub cannot; again when more is known."""
        if self._uses_guardian and self.tracked is not None and self.ending is None:
            guardian = self._session.background.hub.singleton(Guardian)
            session = self._session
            delay_s = session.pool.backoff.delay_s
            guardian.hold(self.tracked, session.host, session.port, delay_s)

    def _stop_guarding(self) -> None:
        if self._uses_guardian and self.tracked is not None:
            self._session.background.hub.singleton(Guardian).drop(self.tracked)

    # -- the end ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Destroy the job, if that is how it ends; it is not ours any more.

        In the caller's thread once the background has ended.
        """
        if self.tracked is None:
            return
        try:
            outcome = JobOutcome.CLOSED
            if self.end_told is not None:
                self._ledger.gone(self.end_told)
            elif self.ending is JobOutcome.GIVEN_BACK:
                outcome = self._destroy(self.tracked)
            self._ledger.ended(outcome, self.reason)
        finally:
            self._let_go(self.tracked)

    def _destroy(self, tracked: TrackedJob) -> JobOutcome:
        may_live_again = self.is_in_transition
        if may_live_again and self._uses_guardian:
            # Before: the program may end meanwhile.
            self._session.have_guardian_check(tracked.job_id, self.reason)
        outcome = self._send_destroy(tracked)
        if may_live_again and outcome is not JobOutcome.LOST:
            self._session.check_destroyed(tracked.job_id, self.reason)
        return outcome

    def _send_destroy(self, tracked: TrackedJob) -> JobOutcome:
        # A server that is started again has a moment to come back: the boards would else be
        # nobody's until the keepalive runs out.
        request = Request(
            "destroy_job",
            (tracked.job_id,),
            {"reason": self.reason},
            wait_for_server=self._timeout_s is not None,
            tries_at_once=True,
        )
        try:
            self._session.call(request, Deadline(self._timeout_s))
        except JobDestroyedError:
            # It ended meanwhile, by ourselves if a broken connection took the answer with it; or
            # the number is another job's now, and that one stays.
            return JobOutcome.GIVEN_BACK if request.was_sent else JobOutcome.LOST
        except (ProtocolError, ProtocolTimeoutError, SpallocServerException) as error:
            told = "job %d: the server could not be told to destroy it: %s"
            _log.warning(told, tracked.job_id, error)
            return JobOutcome.NOT_TOLD
        return JobOutcome.GIVEN_BACK

    def _let_go(self, tracked: TrackedJob) -> None:
        if self._schedule is not None:
            switch_interval.release()
        self._session.tracked.remove(tracked)
        if self._session.background.hub.is_current:
            self._stop_guarding()
            self._session.state_lists.discard(self)
            if self._is_watching:
                self._session.subscriptions.unwatch_job(tracked.job_id, self._refresh)
        self.changes.increment()

    def _destroy_late(self, reply: AnyReply) -> Request | None:
        """The answer to ``create_job`` came when nobody waited any more: nobody wants the job.

        Returns:
            What ends it. It goes over the connection that told the number: at the end of another
            one that may be a stranger's by now.
        """
        if not isinstance(reply, Reply) or type(reply.value) is not int:
            return None
        if self._uses_guardian:
            self._session.have_guardian_check(reply.value, GIVEN_UP)
        self._session.check_destroyed(reply.value, GIVEN_UP)
        return Request("destroy_job", (reply.value,), {"reason": GIVEN_UP})


def why_gone(job_id: int | None, info: JobStateInfo) -> str:
    """What became of a job that is destroyed, or not known to the server."""
    if info["state"] == JobState.unknown:
        why = f": {info['reason']}" if info["reason"] else ""
        return f"job {job_id} is not known to the server (any more){why}"
    return f"job {job_id} has been destroyed: {info['reason'] or 'no reason was given'}"
