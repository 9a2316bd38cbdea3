"""One held job, and whether it still is what its number stands for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from spalloc_gevent.wire.answers import JobStateInfo
from spalloc_gevent.wire.identity import Identity, as_start_time


def _nobody(*_: Any) -> None:
    """Who is told as long as nobody wants to know."""


class Held:
    """A job that this program holds, as it is told from another one with its number."""

    __slots__ = ("_gone", "_learned", "_told", "end_told", "identity", "is_over", "job_id")

    def __init__(self, job_id: int, identity: Identity) -> None:
        self.job_id = job_id
        self.identity = identity
        self.end_told: JobStateInfo | None = None
        """What there is to tell once the number is not this job's any more, or may soon not be."""
        self.is_over = False
        """True once the server has told its end: there is nothing left to ask about it."""
        self._told = False
        self._gone: Callable[[JobStateInfo], object] = _nobody
        self._learned: Callable[[], object] = _nobody

    def attach(self, gone: Callable[[JobStateInfo], object], learned: Callable[[], object]) -> None:
        """Have ``gone(info)`` called at the end, once, and ``learned()`` when more is known of it.

        From any thread; what has happened before is told at once.
        """
        self._learned = learned
        if not self._told:
            self._gone = gone
        if self.end_told is not None:
            self._tell()

    def learn(self, start_time: object) -> None:
        """Take in when it began."""
        identity = self.identity.completed(as_start_time(start_time))
        if identity != self.identity:
            self.identity = identity
            self._learned()

    @property
    def is_gone(self) -> bool:
        return self.end_told is not None

    def end(self, info: JobStateInfo) -> None:
        """The number is not this job's any more, or soon may not be."""
        if self.end_told is None:
            self.end_told = info
            self._tell()

    def _tell(self) -> None:
        # Both who ends it and who comes to hear of that may be here: one of them tells.
        gone, self._gone = self._gone, _nobody
        if self.end_told is not None and gone is not _nobody:
            self._told = True
            gone(self.end_told)


def are_gone(held: Collection[Held]) -> bool:
    """Whether a command that means these must not be sent: its number may be another job's."""
    return bool(held) and all(one.is_gone for one in held)


def why_gone(held: Collection[Held]) -> str:
    """Why they are, for a message."""
    told = [one.end_told["reason"] for one in held if one.end_told is not None]
    return next(filter(None, told), "no reason was given")
