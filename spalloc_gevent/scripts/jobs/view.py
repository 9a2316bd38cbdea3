"""What a job looks like: all that is known of it as text, with its boards drawn, or as JSON."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spalloc_gevent.display.boards import BoardGroup, render_boards
from spalloc_gevent.display.pages import Text
from spalloc_gevent.display.tables import render_definitions
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.geometry import Board, Link, job_dimensions, neighbour
from spalloc_gevent.scripts.jobs.subject import Seen, Subject
from spalloc_gevent.scripts.listed_jobs import (
    boards_of,
    document_of_job,
    local_time,
    power_word,
    state_name,
)
from spalloc_gevent.scripts.views import View

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription, MachineDescription

Facts = list[tuple[str, object]]

_INDENT = len("Board power: ")
"""What stands before a value, at most."""


@dataclass(frozen=True)
class JobLook:
    """A job and what belongs to it.

    machine: that of the job's boards; None without boards. hostname: that of the job's chip
    (0, 0); None while it has not been asked for.
    """

    seen: Seen
    machine: MachineDescription | None = None
    hostname: str | None = None


class JobView(View[JobLook]):
    """All that is known of one job, without touching it but for its hostname.

    hostname_in: the states in which that is asked for, once, with a command that names the job.
    """

    def __init__(self, subject: Subject, *, hostname_in: Collection[int] = ()) -> None:
        self._subject = subject
        self._hostname_in = hostname_in
        self._hostname: str | None = None
        self._machine: MachineDescription | None = None

    def collect(self, client: ProtocolClient) -> JobLook:
        seen = self._subject.look(client)
        if seen.job is None or not boards_of(seen.job):
            return JobLook(seen)
        if self._hostname is None and seen.state in self._hostname_in:
            connections = client.get_job_machine_info(seen.job_id)["connections"]
            if connections:
                self._hostname = min((x, y, hostname) for (x, y), hostname in connections)[2]
        name = seen.job["allocated_machine_name"]
        if self._machine is None or self._machine["name"] != name:
            listed = (machine for machine in client.list_machines() if machine["name"] == name)
            self._machine = next(listed, None)
        return JobLook(seen, self._machine, self._hostname)

    def page(self, data: JobLook, paint: Paint, columns: int | None, /) -> Text:
        seen, job = data.seen, data.seen.job
        if job is not None:
            return Text(render_definitions([*of_request(job), *of_boards(data, paint, columns)]))
        # What is left to tell of a job that is no more, or never was.
        facts: Facts = [("Job ID", seen.job_id), ("State", state_name(seen.state))]
        if seen.reason:
            facts.append(("Reason", printable(seen.reason)))
        return Text(render_definitions(facts))

    def document(self, data: JobLook) -> dict[str, object]:
        seen = data.seen
        told = dict.fromkeys(_LISTED) if seen.job is None else document_of_job(seen.job)
        boards = [] if seen.job is None else boards_of(seen.job)
        size = (None, None) if data.machine is None else dimensions(boards, data.machine)
        return {
            "job_id": seen.job_id,
            "state": state_name(seen.state),
            "reason": seen.reason,
            **told,
            "width": size[0],
            "height": size[1],
            "hostname": data.hostname,
        }

    def is_final(self, data: JobLook, /) -> bool:
        return data.seen.is_over


_LISTED = (
    "owner",
    "keepalive_host",
    "power",
    "start_time",
    "keepalive",
    "machine",
    "boards",
    "request",
)
"""What is not known of a job that is not in the list of jobs."""


# ------------------------------------------------------------------- as text


def of_request(job: JobDescription) -> Facts:
    """Whose job it is, and the request as it would be made with :class:`~spalloc_gevent.Job`."""
    facts: Facts = [
        ("Job ID", job["job_id"]),
        ("Owner", printable(job["owner"])),
        ("State", state_name(job["state"])),
        ("Start time", local_time(job["start_time"])),
        ("Keepalive", job["keepalive"]),
    ]
    if job.get("keepalivehost"):
        facts.append(("Owner host", printable(job["keepalivehost"])))
    args, kwargs = job["args"], job["kwargs"]
    if args is not None or kwargs is not None:  # The Java server does not always tell.
        lines = [", ".join(map(str, args))] if args else []
        lines += [printable(f"{name}={value!r}") for name, value in sorted((kwargs or {}).items())]
        facts.append(("Request", "Job(" + ",\n    ".join(lines) + ")"))
    return facts


def of_boards(data: JobLook, paint: Paint, columns: int | None) -> Facts:
    """The job's boards, drawn and counted; nothing for a job that is queued."""
    job, machine = data.seen.job, data.machine
    if job is None:
        return []
    boards = boards_of(job)
    facts: Facts = []
    if boards:
        room = None if columns is None else columns - _INDENT
        facts.append(("Allocation", picture_of(boards, machine, room, paint)))
    if data.hostname:
        facts.append(("Hostname", printable(data.hostname)))
    if machine is not None:
        facts += zip(("Width", "Height"), dimensions(boards, machine), strict=True)
    if boards:
        facts.append(("Num boards", len(boards)))
    if power_word(job):
        facts.append(("Board power", power_word(job)))
    if job["allocated_machine_name"]:
        facts.append(("Running on", printable(job["allocated_machine_name"])))
    return facts


def picture_of(
    boards: Collection[Board],
    machine: MachineDescription | None,
    columns: int | None,
    paint: Paint,
) -> str:
    """The boards as hexagons, with dead links between them and around the machine if known."""
    dim, bright = (Style.DIM,), (Style.BRIGHT,)
    group = BoardGroup(boards, label_styles=dim, inner_styles=dim, outer_styles=bright)
    if machine is None:
        return render_boards([group], columns=columns, paint=paint)
    torus = (machine["width"], machine["height"])
    dead_links = dead_links_between(boards, machine)
    return render_boards([group], dead_links, torus=torus, columns=columns, paint=paint)


# ----------------------------------------------------- what the boards tell


def dimensions(boards: Collection[Board], machine: MachineDescription) -> tuple[int, int]:
    """The width and height, in chips, of a job with these boards; the server says the same."""
    own = frozenset(boards)
    around = [
        wrap
        for board in own
        for link in Link
        for there, wrap in [neighbour(board, link, machine["width"], machine["height"])]
        if there in own
    ]
    wraps_in_x, wraps_in_y = any(x for x, _ in around), any(y for _, y in around)
    return job_dimensions(boards, (wraps_in_x, wraps_in_y))


def dead_links_between(
    boards: Collection[Board], machine: MachineDescription
) -> list[tuple[int, int, int, int]]:
    """The dead links of the machine that would join two of these boards."""
    own = frozenset(boards)
    width, height = machine["width"], machine["height"]
    return [
        (x, y, z, link)
        for x, y, z, link in machine["dead_links"]
        if (x, y, z) in own and neighbour((x, y, z), Link(link), width, height)[0] in own
    ]
