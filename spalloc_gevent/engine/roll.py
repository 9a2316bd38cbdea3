"""The jobs that this program holds on one server, told from others that come by their numbers.

A server that is started without its memory numbers its jobs from 1 again: what
was our job may be a stranger's. So a connection that is made while jobs are
held must show the server's list of jobs, which keeps none of them alive, before
it carries a command that names one of them. A connection that is older than a
job cannot lead to a server that is newer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.held import Held, are_gone
from spalloc_gevent.engine.outcome import Outcome
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import UNKNOWN_JOB, JobStateInfo, job_state, means_nothing
from spalloc_gevent.wire.messages import Refused, Returned

_log = logging.getLogger(__name__)

_NONE: tuple[Held, ...] = ()

LOST = "the server has lost its memory: it knows another job by this number now"
FORGOTTEN = (
    "the server has lost its memory, or ended the job long ago: it does not know the job any more"
)
ANSWER_WITHIN_S = 2.0


class Roll:
    """The held jobs of one server; changed on the hub only, and asked from anywhere."""

    def __init__(self) -> None:
        # Almost always one; but a job may be resumed twice, or have the number of a lost one.
        self._held: dict[int, tuple[Held, ...]] = {}
        self._leaving: list[tuple[Held, Call]] = []

    def __bool__(self) -> bool:
        return bool(self._held)

    def enter(self, held: Held) -> None:
        """The job is held from now on."""
        self._held[held.job_id] = (*self.known_as(held.job_id), held)

    def strike(self, held: Held, last_word: Call | None = None) -> None:
        """It is not held any more once `last_word` has been answered; harmless when that is known.

        The last word may go out much later, when its number may be another job's.
        """
        if last_word is not None and not last_word.outcome.settled:
            self._leaving.append((held, last_word))
            return
        others = tuple(other for other in self.known_as(held.job_id) if other is not held)
        if others:
            self._held[held.job_id] = others
        else:
            self._held.pop(held.job_id, None)

    def known_as(self, job_id: object) -> tuple[Held, ...]:
        """The held jobs that a command means which names this number now."""
        return self._held.get(job_id, _NONE) if isinstance(job_id, int) else _NONE

    def is_gone(self, job_id: object) -> bool:
        """Whether all that was held by this number is gone: it may be another's."""
        return are_gone(self.known_as(job_id))

    def entries(self) -> list[Held]:
        """Those that are held at this moment."""
        leaving, self._leaving = self._leaving, []
        for held, last_word in leaving:
            self.strike(held, last_word)
        return [held for entries in self._held.values() for held in entries]


class Vetting:
    """What a new connection has to answer before it may carry what names a held job.

    First the list of jobs; then, at once, what became of those held that are not in it.
    What comes to be held after the list was asked for is newer than the connection.
    """

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        self._asked_for: list[Held] = []
        self._missing: list[Held] | None = None

    def next_call(self, outcome: Outcome[Any]) -> Call | None:
        """The next question, once the one before is answered; None when there is none left.

        `outcome`: what is settled with the answer, once that has been taken in.
        """
        if self._missing is None:
            self._missing = []
            self._asked_for = self._roll.entries()
            return _Question("list_jobs", (), self._listed, outcome)
        if self._missing:
            held = self._missing.pop()
            take = partial(_told, held)
            return _Question("get_job_state", (held.job_id,), take, outcome)
        return None

    def _listed(self, reply: Returned | Refused) -> None:
        if isinstance(reply, Refused):
            _log.info("the server does not list its jobs: %s", reply.reason)
        elif isinstance(reply.value, list):
            self._missing = list(_compare(self._asked_for, reply.value))


def _compare(entries: Iterable[Held], jobs: Iterable[Mapping[str, Any]]) -> Iterator[Held]:
    """Take in the server's list of jobs: others' are lost to us. Those that are not in it."""
    listed = {job.get("job_id"): job for job in jobs}
    for held in entries:
        if held.job_id not in listed:
            yield held
        elif not held.is_told_by(listed[held.job_id]):
            held.end(job_state({"state": JobState.unknown, "reason": LOST}))


def _told(held: Held, reply: Returned | Refused) -> None:
    """Take in the state of a job that was not in the list a moment ago."""
    if isinstance(reply, Returned):
        held.end(_end_of(job_state(reply.value)))
    elif means_nothing(reply.reason):
        held.end(_end_of(UNKNOWN_JOB))


def _end_of(info: JobStateInfo) -> JobStateInfo:
    """What to say of the end of a job, given what its number means to the server now."""
    if info["state"] == JobState.destroyed:
        return info
    reason = FORGOTTEN if info["state"] == JobState.unknown else LOST
    return job_state({"state": JobState.unknown, "reason": reason})


class _Question(Call):
    """It belongs to its connection: when that breaks, or is left, nobody wants the answer."""

    __slots__ = ("_take",)

    def __init__(
        self,
        name: str,
        args: Sequence[object],
        take: Callable[[Returned | Refused], object],
        outcome: Outcome[Any],
    ) -> None:
        super().__init__(name, args, answer_within_s=ANSWER_WITHIN_S, outcome=outcome)
        self.repeatable = False
        self._take = take

    def answered(self, reply: Returned | Refused) -> None:
        self._take(reply)
        super().answered(reply)
