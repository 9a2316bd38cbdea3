"""Which boards a test ran on, in its report and in the JUnit properties."""

from __future__ import annotations

import pytest

from spalloc_gevent.errors import SpallocError
from spalloc_gevent.job import Job
from spalloc_gevent.job.life import GONE

_JOBS = pytest.StashKey[list[Job]]()


def note(item: pytest.Item, job: Job) -> None:
    """Have the report of a test say which job it used, and on which boards."""
    jobs = item.stash.setdefault(_JOBS, [])
    if job in jobs:
        return
    jobs.append(job)
    boards = " ".join("({},{},{})".format(*board) for board in job.boards or ())
    item.user_properties += [
        ("spalloc_job_id", str(job.id)),
        ("spalloc_machine", job.machine_name or ""),
        ("spalloc_boards", boards),
        ("spalloc_hostname", job.hostname or ""),
    ]
    told = f"job {job.id}, host name {job.hostname}, machine {job.machine_name}, boards {boards}"
    item.add_report_section("setup", "spalloc", told)


def tell_of_losses(item: pytest.Item, report: pytest.TestReport) -> None:
    """Have the report of a failed test say which of its jobs had been taken away from it."""
    for job in item.stash.get(_JOBS, []):
        told = _loss_of(job)
        if told is not None:
            report.sections.append(("spalloc", told))


def _loss_of(job: Job) -> str | None:
    try:
        state = job.state
        if state not in GONE:
            return None
        return f"job {job.id} is {state.name}: {job.reason or 'no reason was given'}"
    except SpallocError as error:
        return f"the state of job {job.id} is not known: {error}"
