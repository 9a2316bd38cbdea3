"""How far a request for boards has come."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where a request is; the values are the names under which they are counted."""

    WAITING = "waiting"
    """Not asked for yet: as many as may be are open."""
    QUEUED = "queued"
    """Asked for, and without boards."""
    POWER = "power"
    """Its boards are powered on, and looked at."""
    BAD = "bad"
    """Its boards were of no use; others are asked for."""
    READY = "ready"
    """Nobody has taken it yet."""
    IN_USE = "in use"
    """Handed out, or a task runs on it."""
    DONE = "done"
    """Given back."""
    FAILED = "failed"
    """There were no good boards, or what ran on them raised an exception."""
    CANCELLED = "cancelled"
    """Given up before it had boards."""
