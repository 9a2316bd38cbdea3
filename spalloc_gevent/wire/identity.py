"""What tells a job from another one that has got its number.

A server that is started without its memory numbers its jobs from 1 again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_SHROUDS = ("", "<Hidden>")
"""What the Java server tells instead of a name to those who are not to know."""


class Identity(NamedTuple):
    """Whose job it is and when it began; None for what nobody has told yet."""

    owner: str | None = None
    start_time: float | None = None
    """Unix time, as the server tells it."""

    def is_told_by(self, listed: Mapping[str, Any]) -> bool:
        """Whether this may be the job that an entry of ``list_jobs`` tells of under its number.

        When both are known, the start times decide: a server may tell another
        name than the one it was given, or none.
        """
        began = as_start_time(listed.get("start_time"))
        if began is not None and self.start_time is not None:
            return began == self.start_time
        owner = listed.get("owner")
        says_nothing = not isinstance(owner, str) or owner.strip() in _SHROUDS
        return says_nothing or self.owner in (None, owner)

    def completed(self, start_time: float | None) -> Identity:
        """With the start time, if it was not known."""
        return self if self.start_time is not None else self._replace(start_time=start_time)


def by_number(jobs: object) -> dict[int, Mapping[str, Any]]:
    """The list of jobs by their IDs; what is no job there is left out."""
    entries = [job for job in jobs if isinstance(job, Mapping)] if isinstance(jobs, list) else []
    return {job["job_id"]: job for job in entries if isinstance(job.get("job_id"), int)}


def as_start_time(told: object) -> float | None:
    """A start time if `told` is one, else None."""
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    return float(told) if is_number else None  # type: ignore[arg-type]
