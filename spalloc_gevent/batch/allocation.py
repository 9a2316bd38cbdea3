"""``allocate``: boards that are on and pass the user's own test, or an error that tells it all."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from spalloc_gevent.batch import waiting
from spalloc_gevent.batch.attempts import Attempt, Board, told
from spalloc_gevent.batch.bad_boards import BadBoards, bad_boards
from spalloc_gevent.batch.phases import Phase
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import (
    AllocationError,
    BadValueError,
    PowerTimeoutError,
    ProtocolError,
    ProtocolTimeoutError,
    QueueTimeoutError,
    SpallocError,
)
from spalloc_gevent.job import Job
from spalloc_gevent.job.request import ALL_KEYWORDS, as_int, at_least, not_negative
from spalloc_gevent.not_given import NOT_GIVEN, NotGiven, given
from spalloc_gevent.transport.waiting import sleep

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

GIVEN_BACK = "These boards were of no use to their owner."


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
    limits = Limits(attempts, queue_timeout, power_timeout, settle)
    with Search(lambda: Job(*what, **job_options), limits, check, unwanted(avoid)) as search:
        return search.run()


def unwanted(avoid: Iterable[tuple[str, int, int, int]]) -> BadBoards:
    """The boards that a caller does not want, whoever else may have them."""
    found = BadBoards()
    for place in avoid:
        machine, board = _place(place)
        found.add(machine, [board], "to be avoided")
    return found


def _place(place: tuple[str, int, int, int]) -> tuple[str, Board]:
    try:
        machine, x, y, z = place
    except (TypeError, ValueError):
        raise BadValueError(f"avoid names boards as (machine, x, y, z), not {place!r}") from None
    return machine, (x, y, z)


def _board(place: Iterable[int]) -> Board:
    x, y, z = place
    return as_int(x, "x"), as_int(y, "y"), as_int(z, "z")


class _Failure(NamedTuple):
    """Why an allocation is of no use."""

    why: str
    machine: str
    boards: tuple[Board, ...]
    bad: tuple[Board, ...]
    """The boards to be avoided for it; none when they are avoided already."""
    error: type[AllocationError] = AllocationError

    @property
    def is_attempt(self) -> bool:
        return bool(self.bad)


@dataclass(frozen=True)
class Limits:
    """How often, and how long in seconds (None: for ever), a search goes on."""

    attempts: int = 3
    queue_timeout_s: float | None = None
    power_timeout_s: float | None = None
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "attempts", at_least(self.attempts, 1, "attempts"))
        for name in ("queue_timeout", "power_timeout", "settle"):
            given_s = getattr(self, f"{name}_s")
            if given_s is not None:
                object.__setattr__(self, f"{name}_s", not_negative(given_s, name))


class Observer:
    """Who is told how a search goes on, and may end it by raising."""

    def reached(self, phase: Phase, job: Job) -> None:
        """The job that is looked at now has come so far."""

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt."""
        sleep(seconds)

    @property
    def waits_for_server(self) -> bool:
        """Whether to wait for a server that cannot be reached when it is asked for boards."""
        return False


class Search(Generic[J]):
    """One search for good boards; as a context manager it gives the bad ones back."""

    def __init__(
        self,
        ask: Callable[[], J],
        limits: Limits,
        check: Check | None = None,
        unwanted: BadBoards | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._ask = ask
        self._limits = limits
        self._check = check
        self._unwanted = unwanted or BadBoards()
        self._observer = observer or Observer()
        self._pauses = _pauses()
        self._attempts: list[Attempt] = []
        self._held: list[Job] = []
        self._outage: tuple[Deadline, Iterator[float]] | None = None
        """How long, and how often, a server is still tried that is away; None while it is there."""

    def __enter__(self) -> Search[J]:
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            self._held.pop().destroy(GIVEN_BACK)

    def run(self) -> J:
        """The good job."""
        while True:
            job = self._asked()
            try:
                failure = self._failure_of(job)
                # Who ends the search destroys the job that is looked at: no board is bad for that.
                self._observer.reached(Phase.READY if failure is None else Phase.BAD, job)
            except (ProtocolError, ProtocolTimeoutError) as error:
                job.destroy(GIVEN_BACK)
                self._sit_out(error)
                continue
            except BaseException:
                job.destroy(GIVEN_BACK)
                raise
            self._outage = None
            if failure is None:
                return job
            self._held.append(job)
            if failure.is_attempt:
                self._count(job, failure)

    def _asked(self) -> J:
        while True:
            try:
                return self._ask()
            except (ProtocolError, ProtocolTimeoutError) as error:
                self._sit_out(error)

    def _sit_out(self, error: SpallocError) -> None:
        """Wait a moment for a server that is away; raises `error` when that is no use."""
        if self._outage is None:
            self._outage = Deadline(OUTAGE_S), _pauses()
        deadline, pauses = self._outage
        if deadline.passed or not self._observer.waits_for_server:
            raise error
        self._observer.pause(next(pauses))

    def _count(self, job: Job, failure: _Failure) -> None:
        bad_boards.add(failure.machine, failure.bad, failure.why)
        self._attempts.append(Attempt(job.id, failure.machine, failure.boards, failure.why))
        if len(self._attempts) >= self._limits.attempts:
            plural = "s" if self._limits.attempts > 1 else ""
            message = f"no good boards in {self._limits.attempts} attempt{plural}: {self._told}"
            raise failure.error(message, self._attempts)
        self._observer.pause(next(self._pauses))

    @property
    def _told(self) -> str:
        return told(self._attempts)

    # -- what is wrong with a job ---------------------------------------------

    def _failure_of(self, job: Job) -> _Failure | None:
        limit_s = self._queue_limit_s
        self._observer.reached(Phase.QUEUED, job)
        if not waiting.is_given_boards(job, limit_s):
            raise self._late(job, limit_s)
        machine, boards = job.machine_name or "", _boards_of(job)
        if self._unwanted.among(machine, boards) or bad_boards.among(machine, boards):
            return _Failure("it has boards to be avoided", machine, boards, ())
        self._observer.reached(Phase.POWER, job)
        why = waiting.trouble_with_power(job, self._limits.power_timeout_s)
        if why is not None:
            return _Failure(why, machine, boards, boards, PowerTimeoutError)
        why = waiting.trouble_while_settling(job, self._limits.settle_s)
        why, bad = (why, boards) if why is not None else self._checked(job, boards)
        return None if why is None else _Failure(why, machine, boards, bad)

    @property
    def _queue_limit_s(self) -> float | None:
        limit_s = self._limits.queue_timeout_s
        return QUEUE_WHILE_HOLDING_S if limit_s is None and self._held else limit_s

    def _late(self, job: Job, limit_s: float | None) -> QueueTimeoutError:
        message = f"job {job.id} was still queued after {limit_s:g} s"
        if self._held:
            message += f", while {len(self._held)} bad allocations were held"
        if self._attempts:
            message += f"; before that, {self._told}"
        return QueueTimeoutError(message, self._attempts)

    def _checked(self, job: Job, boards: tuple[Board, ...]) -> tuple[str | None, tuple[Board, ...]]:
        """What the user's own test says: what is wrong, and with which boards."""
        if self._check is None:
            return None, ()
        try:
            verdict = self._check(job)
        except Exception as error:  # noqa: BLE001 - the user's own, and told as it is
            return f"its check failed: {type(error).__name__}: {error}", boards
        if verdict is None or isinstance(verdict, bool):
            return ("its check failed", boards) if verdict is False else (None, ())
        bad = tuple(_board(board) for board in verdict)
        return ("its check found bad boards" if bad else None), bad


def _boards_of(job: Job) -> tuple[Board, ...]:
    return tuple(_board(board) for board in job.boards or ())


def _pauses() -> Iterator[float]:
    """Seconds between attempts: twice as long each time, and not the same for all."""
    longest_s = FIRST_PAUSE_S
    while True:
        yield longest_s * random.uniform(0.5, 1.0)
        longest_s = min(2 * longest_s, LONGEST_PAUSE_S)
