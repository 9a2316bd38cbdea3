"""What tells a job from another one that has got its number.

A server that is started without its memory numbers its jobs from 1 again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

HIDDEN = "<Hidden>"
"""What the Java server tells instead of a name to those who are not to know."""


class Identity(NamedTuple):
    """Whose job it is and when it began; None for what nobody has told yet."""

    owner: str | None = None
    start_time: float | None = None
    """Unix time, as the server tells it."""

    def is_told_by(self, listed: Mapping[str, Any]) -> bool:
        """Whether this is the job that an entry of ``list_jobs`` tells of under its number."""
        owner, start_time = listed.get("owner"), listed.get("start_time")
        is_same_owner = self.owner in (None, owner) or owner == HIDDEN
        return is_same_owner and self.start_time in (None, start_time)

    def completed(self, start_time: float | None) -> Identity:
        """With the start time, if it was not known."""
        return self if self.start_time is not None else self._replace(start_time=start_time)
