"""What ``spalloc-job`` does with a job besides showing it: power, addresses, its end."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spalloc_gevent.display.pages import Text
from spalloc_gevent.display.terminal import Paint, printable
from spalloc_gevent.scripts.common import CommandError, ExitCode, ended_by, warn
from spalloc_gevent.scripts.jobs.subject import Subject
from spalloc_gevent.scripts.listed_jobs import state_name
from spalloc_gevent.scripts.views import View
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient

Chip = tuple[int, int, str]
"""An Ethernet-connected chip's x and y in the job, and its hostname."""


def only_job_of(client: ProtocolClient, owner: str) -> int:
    """The ID of the owner's only live job; CommandError when there are none or several."""
    job_ids = [job["job_id"] for job in client.list_jobs() if job["owner"] == owner]
    if len(job_ids) == 1:
        return job_ids[0]
    if not job_ids:
        raise CommandError(f"Owner {printable(owner)} has no live jobs", ExitCode.NOT_ONE_JOB)
    listed = ", ".join(map(str, job_ids))
    raise CommandError(
        f"Ambiguous: {printable(owner)} has {len(job_ids)} live jobs: {listed}",
        ExitCode.NOT_ONE_JOB,
    )


def destroy(client: ProtocolClient, job_id: int, options: argparse.Namespace) -> int:
    """End the job; that there is none is only warned of.

    Where there may be a guardian, it sees afterwards that the server does not bring the job back.
    """
    # Not by the list, which the Java server may hang up on.
    state = client.get_job_state(job_id)["state"]
    why = reason(options)
    client.destroy_job(job_id, why)
    if options.guardian and state in (JobState.queued, JobState.power):
        client.session.have_guardian_check(job_id, why)
    if state in (JobState.destroyed, JobState.unknown):
        warn(f"{options.prog}: warning: there was no live job {job_id}", colour=options.colour)
    return ExitCode.OK


def reason(options: argparse.Namespace) -> str | None:
    """Why the job is destroyed: what the user says, or who the user is."""
    if options.destroy or not options.owner:
        return options.destroy or None
    return f"Destroyed by {options.owner}"


def report(client: ProtocolClient, job_id: int, options: argparse.Namespace) -> int:
    """Tell the server what is wrong with a chip of the job; CommandError if it has none."""
    chip_x, chip_y, text = options.report
    try:
        client.report_chip(job_id, chip_x, chip_y, options.processor, text)
    except ValueError as error:
        raise CommandError(f"Error: {error}", ExitCode.NO_ALLOCATION) from None
    return ExitCode.OK


class HostnamesView(View[list[Chip]]):
    """The hostnames of a job's Ethernet-connected chips as CSV; only the server knows them."""

    def __init__(self, job_id: int) -> None:
        self._job_id = job_id

    def collect(self, client: ProtocolClient) -> list[Chip]:
        seen = Subject(self._job_id, is_named_anyway=True).look(client)
        connections = None
        if seen.state in (JobState.power, JobState.ready):
            connections = client.get_job_machine_info(self._job_id)["connections"]
        if connections is None:
            raise CommandError(
                f"Job {self._job_id} is queued or does not exist", ExitCode.NO_ALLOCATION
            )
        return sorted((x, y, hostname) for (x, y), hostname in connections)

    def page(self, data: list[Chip], _paint: Paint, _columns: int | None, /) -> Text:
        rows = [f"{x},{y},{printable(hostname)}" for x, y, hostname in data]
        return Text("\n".join(["x,y,hostname", *rows]))

    def document(self, data: list[Chip]) -> dict[str, object]:
        chips = [{"x": x, "y": y, "hostname": hostname} for x, y, hostname in data]
        return {"job_id": self._job_id, "connections": chips}


def set_power(client: ProtocolClient, subject: Subject, options: argparse.Namespace) -> int:
    """Power the job's boards on (resets those that are on) or off, and wait for that."""
    # Slow to import, and needed for nothing else.
    from spalloc_gevent.scripts.jobs.waiting import await_sight
    from spalloc_gevent.scripts.signals import Interrupted

    act = client.power_on_job_boards if options.power_on else client.power_off_job_boards
    try:
        seen = subject.look(client)
        if seen.state in (JobState.power, JobState.ready):
            act(subject.job_id)
            done = await_sight(client, subject, lambda now: now.state != JobState.power, options)
            assert done is not None, "a wait without a time limit has no other end"
            seen = done
    except Interrupted as signalled:
        is_ctrl_c = signalled.exit_code == ExitCode.INTERRUPTED
        return ExitCode.POWER_INTERRUPTED if is_ctrl_c else ended_by(signalled.signum)
    except KeyboardInterrupt:
        return ExitCode.POWER_INTERRUPTED
    if seen.state not in (JobState.power, JobState.ready):
        word = "on" if options.power_on else "off"
        raise CommandError(
            f"Error: Cannot power {word} job {seen.job_id} in state {state_name(seen.state)}",
            ExitCode.NO_POWER,
        )
    return ExitCode.OK
