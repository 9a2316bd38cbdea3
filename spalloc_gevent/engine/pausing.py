"""Doing nothing for a while: a plain thread sleeps, a greenlet lets its hub run."""

from __future__ import annotations

from contextlib import suppress

from spalloc_gevent.engine.outcome import NotSettledError, Outcome


def pause(seconds: float) -> None:
    """Wait; can be interrupted as every wait of this package can."""
    nothing: Outcome[None] = Outcome()
    with suppress(NotSettledError):
        nothing.wait(seconds)
