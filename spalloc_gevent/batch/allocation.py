"""``allocate``: boards that are on and pass the user's own check, or an error that tells it all."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import InitVar, dataclass, field
from typing import Generic, NamedTuple, TypeVar

from spalloc_gevent.batch.boards import Attempt, BadBoards, Board, bad_boards, boards_of
from spalloc_gevent.batch.phases import Phase, PhaseCounter
from spalloc_gevent.batch.request import GIVEN_BACK, BoardRequest, NotWantedError
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import (
    AllocationError,
    BadValueError,
    JobDestroyedError,
    PowerTimeoutError,
    ProtocolError,
    ProtocolTimeoutError,
    QueueTimeoutError,
    SpallocError,
)
from spalloc_gevent.job import Job
from spalloc_gevent.job.life import GONE
from spalloc_gevent.job.request import ALL_KEYWORDS, as_int, at_least, not_negative
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven, given
from spalloc_gevent.states import JobState

Check = Callable[[Job], bool | Iterable[Board] | None]
"""The user's test of a ready job: False, or the bad boards among its boards, or an exception,
means that it failed; None, True or no boards that it is good."""

J = TypeVar("J", bound=Job)

JOB_KEYWORDS = tuple(name for name in ALL_KEYWORDS if name != "resume_job_id")
"""What ``Job`` takes when it asks for new boards."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
QUEUE_WHILE_HOLDING_S = 60.0
"""How long to queue for others while bad boards are held, when the caller names no limit."""

OUTAGE_S = 120.0
"""How long a server is waited for that has answered before."""

NO_REASON = "no reason was given"


def allocate(
    *what: int,
    attempts: int = 3,
    check: Check | None = None,
    avoid: Iterable[tuple[str, int, int, int]] = (),
    queue_timeout: float | None = None,
    power_timeout: float | None = None,
    settle: float = 0.0,
    hostname: str | NotGiven = NOT_GIVEN,
    port: int | NotGiven = NOT_GIVEN,
    owner: str | NotGiven = NOT_GIVEN,
    keepalive: float | NotGiven | None = NOT_GIVEN,
    machine: str | NotGiven | None = NOT_GIVEN,
    tags: Collection[str] | NotGiven | None = NOT_GIVEN,
    min_ratio: float | NotGiven = NOT_GIVEN,
    max_dead_boards: int | NotGiven | None = NOT_GIVEN,
    max_dead_links: int | NotGiven | None = NOT_GIVEN,
    require_torus: bool | NotGiven = NOT_GIVEN,
    timeout: float | NotGiven | None = NOT_GIVEN,
    reconnect_delay: float | NotGiven = NOT_GIVEN,
    ignore_version: bool | NotGiven = NOT_GIVEN,
    guardian: bool | NotGiven = NOT_GIVEN,
    ledger: str | os.PathLike[str] | NotGiven | None = NOT_GIVEN,
    label: str | NotGiven | None = NOT_GIVEN,
    config_filenames: Iterable[str | os.PathLike[str]] | NotGiven | None = NOT_GIVEN,
) -> Job:
    """A ready :class:`~spalloc_gevent.Job` whose boards are good; the caller has to destroy it.

    A bad allocation is held while another one is asked for, since the server
    would hand out the same boards again; then it is given back. Its boards are
    avoided for the rest of the program. One that has a board to be avoided is
    held as well, and is no attempt.

    What boards are asked for, where and how, is told as to :class:`~spalloc_gevent.Job`:
    by the numbers in front and the keywords from `hostname` on.

    Args:
        attempts: how many allocations may turn out bad before it gives up.
        check: called with the ready job. Returns False, or the bad ``(x, y, z)`` among
            its boards, or raises an exception, when the boards are of no use.
        avoid: ``(machine, x, y, z)`` of boards not to be used, besides those that
            have failed in this program (:data:`~spalloc_gevent.batch.bad_boards`).
        queue_timeout: how long to wait for boards, in seconds; None for ever.
        power_timeout: how long to wait for their power, in seconds; None for ever.
        settle: how long to leave boards alone before the check, in seconds.

    Raises:
        QueueTimeoutError: there were no boards in time.
        PowerTimeoutError: the last attempt's boards were not powered on in time.
        AllocationError: all attempts were bad; as the two above it names each
            attempt with its boards and why it failed.
        JobDestroyedError: no machine can ever meet the request.

    It raises what ``Job`` raises, too. No job is left after an error.
    """
    job_options = given(locals(), JOB_KEYWORDS)
    terms = Terms(
        lambda _: Job(*what, **job_options),
        attempts, check, avoid, queue_timeout, power_timeout, settle,
    )  # fmt: skip
    return Search(terms, BoardRequest(PhaseCounter())).run()


@dataclass
class Terms(Generic[J]):
    """What boards are good, and how long and how often they are asked for, as by ``allocate``."""

    new_job: Callable[[BoardRequest], J]
    attempts: int
    check: Check | None
    avoid: InitVar[Iterable[tuple[str, int, int, int]]]
    queue_timeout_s: float | None
    power_timeout_s: float | None
    settle_s: float
    waits_for_server: bool = False
    """Whether a server is waited for that is away, if it has given a job before."""
    has_had_jobs: bool = False
    """True once the server has given one."""
    unwanted: BadBoards = field(default_factory=BadBoards)
    """Boards that the caller does not want, whoever else may have them."""

    def __post_init__(self, avoid: Iterable[tuple[str, int, int, int]]) -> None:
        self.attempts = at_least(self.attempts, 1, "attempts")
        for name in ("queue_timeout", "power_timeout", "settle"):
            if (limit_s := getattr(self, f"{name}_s")) is not None:
                setattr(self, f"{name}_s", not_negative(limit_s, name))
        for place in avoid:
            try:
                machine, x, y, z = place
            except (TypeError, ValueError):
                message = f"avoid names boards as (machine, x, y, z), not {place!r}"
                raise BadValueError(message) from None
            self.unwanted.add(machine, [(x, y, z)], "to be avoided")


class BoardsFault(NamedTuple):
    """Why an allocation is of no use."""

    why: str
    bad: tuple[Board, ...]
    """The boards to be avoided for it; none when they are avoided already, or not known."""
    error: type[AllocationError] = AllocationError
    is_attempt: bool = True
    """False if it counts as none of the attempts: others are at fault than the boards."""


class Search(Generic[J]):
    """One search for good boards."""

    def __init__(self, terms: Terms[J], request: BoardRequest) -> None:
        self._terms = terms
        self._request = request
        self._pauses = pauses()
        self._attempts: list[Attempt] = []
        self._held: list[Job] = []
        """Bad allocations: given back, they would be handed out again."""
        self._outage: tuple[Deadline, Iterator[float]] | None = None
        """How long, and how often, a server is still tried that is away; None while it is there."""

    def run(self) -> J:
        """The good job; whatever ends the search, all others are given back.

        Raises:
            NotWantedError: the request is cancelled.
            SpallocError: as :func:`allocate`.
        """
        try:
            while (job := self._try_once()) is None:
                pass
            return job
        except Exception as error:
            if self._request.cancelled:
                raise NotWantedError from error
            raise
        finally:
            while self._held:
                self._held.pop().destroy(GIVEN_BACK)

    def _try_once(self) -> J | None:
        """Ask for boards, and return the job if they are good."""
        job: J | None = None
        try:
            self._request.check_wanted()
            job = self._terms.new_job(self._request)
            self._terms.has_had_jobs = True
            fault = self._fault_of(job)
            # Who ends the search destroys the job that is looked at: no board is bad for that.
            self._request.reach(Phase.READY if fault is None else Phase.BAD, job)
        except BaseException as error:
            if job is not None:
                job.destroy(GIVEN_BACK)
            if not isinstance(error, (ProtocolError, ProtocolTimeoutError)):
                raise
            self._wait_for_server(error)
            return None
        self._outage = None
        if fault is None:
            return job
        self._held.append(job)
        if fault.is_attempt:
            self._count(job, fault)
        return None

    def _wait_for_server(self, error: SpallocError) -> None:
        """Pause while the server is away; raises `error` when that is no use (any more)."""
        if self._outage is None:
            self._outage = Deadline(OUTAGE_S), pauses()
        deadline, pauses_s = self._outage
        may_return = self._terms.waits_for_server and self._terms.has_had_jobs
        if deadline.passed or not may_return:
            raise error
        self._request.pause(next(pauses_s))

    def _fault_of(self, job: Job) -> BoardsFault | None:
        """Wait for a job's boards, power and check; what is wrong with them, if anything is."""
        terms, request = self._terms, self._request
        self._wait_for_boards(job)
        machine, boards = job.machine_name or "", boards_of(job)
        if terms.unwanted.among(machine, boards) or bad_boards.among(machine, boards):
            return BoardsFault("it has boards to be avoided", (), is_attempt=False)
        request.reach(Phase.POWER, job)
        state = job.wait_for_state_change(JobState.power, terms.power_timeout_s)
        if state is JobState.power:
            why = f"its boards were not powered on within {terms.power_timeout_s:g} s"
            return BoardsFault(why, boards, PowerTimeoutError)
        if state is not JobState.ready:
            why = f"it was destroyed: {job.reason or NO_REASON}"
            return BoardsFault(why, boards, PowerTimeoutError)
        if terms.settle_s > 0:
            state = job.wait_for_state_change(JobState.ready, terms.settle_s)
        if state is not JobState.ready:
            return BoardsFault(f"it was {state.name} soon after it was ready", boards)
        return None if terms.check is None else fault_by_check(terms.check, job, boards)

    def _wait_for_boards(self, job: Job) -> None:
        self._request.reach(Phase.QUEUED, job)
        limit_s = self._terms.queue_timeout_s
        if limit_s is None and self._held:
            limit_s = QUEUE_WHILE_HOLDING_S
        state = job.wait_for_state_change(JobState.queued, limit_s)
        if state in GONE:
            raise JobDestroyedError(f"job {job.id} was given no boards: {job.reason or NO_REASON}")
        if state is JobState.queued:
            message = f"job {job.id} was still queued after {limit_s:g} s"
            if self._held:
                message += f", while {len(self._held)} bad allocations were held"
            if self._attempts:
                message += f"; before that, {self._story}"
            raise QueueTimeoutError(message, self._attempts)

    def _count(self, job: Job, fault: BoardsFault) -> None:
        """An attempt has failed; raises an error if it was the last one."""
        machine, limit = job.machine_name or "", self._terms.attempts
        bad_boards.add(machine, fault.bad, fault.why)
        self._attempts.append(Attempt(job.id, machine, boards_of(job), fault.why))
        if len(self._attempts) >= limit:
            message = f"no good boards in {limit} attempt{'s' if limit > 1 else ''}: {self._story}"
            raise fault.error(message, self._attempts)
        self._request.pause(next(self._pauses))

    @property
    def _story(self) -> str:
        told = enumerate(self._attempts, 1)
        return "; ".join(f"attempt {number}: {attempt}" for number, attempt in told)


def fault_by_check(check: Check, job: Job, boards: tuple[Board, ...]) -> BoardsFault | None:
    """What the user's own check says of a job and its boards."""
    try:
        verdict = check(job)
    except Exception as error:  # noqa: BLE001 - the user's own, and told as it is
        return BoardsFault(f"its check failed: {type(error).__name__}: {error}", boards)
    if verdict is None or isinstance(verdict, bool):
        return BoardsFault("its check failed", boards) if verdict is False else None
    bad = tuple((as_int(x, "x"), as_int(y, "y"), as_int(z, "z")) for x, y, z in verdict)
    return BoardsFault("its check found bad boards", bad) if bad else None


def pauses() -> Iterator[float]:
    """Seconds between attempts: twice as long each time, and not the same for all."""
    longest_s = FIRST_PAUSE_S
    while True:
        yield longest_s * random.uniform(0.5, 1.0)
        longest_s = min(2 * longest_s, LONGEST_PAUSE_S)
