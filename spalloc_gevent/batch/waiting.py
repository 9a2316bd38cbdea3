"""Waiting for boards and for their power, each with a limit of its own."""

from __future__ import annotations

from spalloc_gevent.errors import JobDestroyedError
from spalloc_gevent.job import Job
from spalloc_gevent.states import JobState

_GONE = (JobState.destroyed, JobState.unknown)


def is_given_boards(job: Job, timeout_s: float | None) -> bool:
    """Wait until the job is no longer queued.

    Args:
        job: one that has been asked for.
        timeout_s: how long to wait, in seconds; None for ever.

    Returns:
        False if it is still queued then.

    Raises:
        JobDestroyedError: there will never be any boards; with the server's reason.
    """
    state = job.wait_for_state_change(JobState.queued, timeout_s)
    if state in _GONE:
        raise JobDestroyedError(f"job {job.id} was given no boards: {_reason_of(job)}")
    return state is not JobState.queued


def trouble_with_power(job: Job, timeout_s: float | None) -> str | None:
    """Wait until the boards are on; what went wrong, or None when all is well."""
    state = job.wait_for_state_change(JobState.power, timeout_s)
    if state is JobState.power:
        return f"its boards were not powered on within {timeout_s:g} s"
    return None if state is JobState.ready else f"it was destroyed: {_reason_of(job)}"


def trouble_while_settling(job: Job, settle_s: float) -> str | None:
    """Leave the boards alone for a while; what went wrong meanwhile, or None."""
    if settle_s <= 0:
        return None
    state = job.wait_for_state_change(JobState.ready, settle_s)
    return None if state is JobState.ready else f"it was {state.name} soon after it was ready"


def _reason_of(job: Job) -> str:
    return job.reason or "no reason was given"
