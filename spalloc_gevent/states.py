"""The states a job may be in, numbered as on the wire."""

from __future__ import annotations

import enum


class JobState(enum.IntEnum):
    """All the possible states that a job may be in."""

    unknown = 0
    """The server does not recognise the job's ID."""

    queued = 1
    """The job waits in a queue for a suitable machine."""

    power = 2
    """The job's boards are being powered on or off."""

    ready = 3
    """The job has boards, and they are not being powered on or off."""

    destroyed = 4
    """The job has been destroyed; its boards are no longer its own."""
