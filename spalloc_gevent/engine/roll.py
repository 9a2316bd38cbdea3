"""The jobs that this program holds on one server, told from others that come by their numbers.

A server that is started without its memory numbers its jobs from 1 again: what
was our job may be a stranger's. So a connection that is made while jobs are
held must be vouched for by another one (:mod:`~spalloc_gevent.engine.vouching`), or
show the server's list of jobs, which keeps none of them alive, before it
carries a command that names one of them. A connection that is older than a
job cannot lead to a server that is newer; so a job is entered the moment the
server's answer tells its number, before anything else happens on the hub.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from spalloc_gevent.engine.call import Call, Taken
from spalloc_gevent.engine.held import Held, are_gone
from spalloc_gevent.engine.outcome import Outcome
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.answers import JobStateInfo, job_state, means_no_job
from spalloc_gevent.wire.identity import by_number
from spalloc_gevent.wire.messages import Refused, Returned

_log = logging.getLogger(__name__)

_NONE: tuple[Held, ...] = ()

LOST = "the server has lost its memory: it knows another job by this number now"
FORGOTTEN = (
    "the server has lost its memory, or ended the job long ago: it does not know the job any more"
)


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
    A job that is made after the list was asked for is newer than the connection.
    """

    def __init__(self, roll: Roll, within_s: float) -> None:
        """`within_s`: seconds after which an answer is not waited for any more."""
        self._roll = roll
        self._within_s = within_s
        self._asked_for: list[Held] = []
        self._missing: list[Held] | None = None

    def next_call(self, outcome: Outcome[Any]) -> Call | None:
        """The next question, once the one before is answered; None when there is none left.

        `outcome`: what is settled with the answer, once that has been taken in.
        """
        if self._missing is None:
            self._missing = []
            entries = self._roll.entries()
            self._asked_for = [held for held in entries if not (held.is_gone or held.is_over)]
            return self._question("list_jobs", (), self._listed, outcome)
        if self._missing:
            held = self._missing.pop()
            return self._question("get_job_state", (held.job_id,), partial(_told, held), outcome)
        return None

    def _question(
        self, name: str, args: tuple[int, ...], taken: Taken, outcome: Outcome[Any]
    ) -> Call:
        call = Call(name, args, answer_within_s=self._within_s, taken=taken, outcome=outcome)
        # It belongs to its connection: when that is lost, nobody wants the answer.
        call.repeatable = False
        return call

    def _listed(self, reply: Returned | Refused) -> None:
        if isinstance(reply, Refused):
            _log.info("the server does not list its jobs: %s", reply.reason)
        else:
            self._missing = list(_compare(self._asked_for, reply.value))


def _compare(entries: Iterable[Held], jobs: object) -> Iterator[Held]:
    """Take in the server's list of jobs: others' are lost to us. Those that are not in it."""
    listed = by_number(jobs)
    for held in entries:
        if held.job_id not in listed:
            yield held
        elif held.identity.is_told_by(listed[held.job_id]):
            held.learn(listed[held.job_id].get("start_time"))
        else:
            held.end(_unknown(LOST))


def _told(held: Held, reply: Returned | Refused) -> None:
    """Take in the state of a job that was not in the list a moment ago."""
    if isinstance(reply, Refused):
        if means_no_job(reply.reason):
            held.end(_unknown(FORGOTTEN))
        return
    info = job_state(reply.value)
    if info["state"] == JobState.destroyed:
        held.end(info)
    elif info["state"] == JobState.unknown:
        held.end(_unknown(FORGOTTEN))
    elif not held.identity.is_told_by(info):
        held.end(_unknown(LOST))


def _unknown(reason: str) -> JobStateInfo:
    return job_state({"state": JobState.unknown, "reason": reason})
