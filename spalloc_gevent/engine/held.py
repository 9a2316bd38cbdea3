"""One held job, and whether it still is what its number stands for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from spalloc_gevent.wire.answers import JobStateInfo
from spalloc_gevent.wire.identity import Identity


class Held:
    """A job that this program holds, as it is told from another one with its number.

    gone: called on the hub, once, with what there is to tell of the end of the job.
    """

    __slots__ = ("gone", "identity", "is_gone", "job_id", "why_gone")

    def __init__(
        self, job_id: int, identity: Identity, gone: Callable[[JobStateInfo], object]
    ) -> None:
        self.job_id = job_id
        self.identity = identity
        self.gone = gone
        self.is_gone = False
        self.why_gone = ""

    def is_told_by(self, listed: Mapping[str, Any]) -> bool:
        """Whether the list tells of this very job under its number; takes in when it began."""
        is_ours = self.identity.is_told_by(listed)
        if is_ours:
            self.identity = self.identity.completed(listed.get("start_time"))
        return is_ours

    def end(self, info: JobStateInfo) -> None:
        """The number is not this job's any more, or soon may not be."""
        if not self.is_gone:
            self.is_gone = True
            self.why_gone = info["reason"] or "no reason was given"
            self.gone(info)


def are_gone(held: Collection[Held]) -> bool:
    """Whether a command that means these must not be sent: its number may be another job's."""
    return bool(held) and all(one.is_gone for one in held)
