"""How the commands show what the server's list tells of a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from spalloc_gevent.display.tables import Cell, Column
from spalloc_gevent.display.terminal import Style, printable
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription

HEADING_OF_OWNER = "Owner (Host)"

Row = TypeVar("Row")

_HUES = (Style.GREEN, Style.BLUE, Style.MAGENTA, Style.YELLOW, Style.CYAN)
_COLOURS: tuple[tuple[Style, ...], ...] = (
    *((hue,) for hue in _HUES),
    *((Style.DIM, hue) for hue in _HUES),
    *((Style.BRIGHT, hue) for hue in _HUES),
)


def value_column(
    name: str, heading: str, value: Callable[[Row], Any], *, is_number: bool = False
) -> Column[Row]:
    """A column that shows what it sorts by; empty for None."""

    def cell(row: Row) -> Cell:
        shown = value(row)
        return Cell("" if shown is None else printable(shown))

    return Column(name, heading, cell, value, is_number)


def live_job(client: ProtocolClient, job_id: int) -> JobDescription | None:
    """The job as the list tells it, which keeps nothing alive; None when it is not in there."""
    return next((job for job in client.list_jobs() if job["job_id"] == job_id), None)


def live_job_if_listed(client: ProtocolClient, job_id: int) -> JobDescription | None:
    """As :func:`live_job`; also None where the server hangs up on the list, as the Java one may.

    For commands that name the job anyway, which keeps it alive.
    """
    try:
        return live_job(client, job_id)
    except ConnectionLostError as error:
        if not error.may_have_happened:
            raise
        return None


def boards_of(job: JobDescription) -> list[tuple[int, int, int]]:
    """The logical positions of a job's boards; empty while it has none."""
    return [(x, y, z) for x, y, z in job["boards"] or ()]


def number_of_boards(jobs: Iterable[JobDescription]) -> int:
    return sum(len(boards_of(job)) for job in jobs)


def owner_and_host(job: JobDescription) -> str:
    """The owner, and behind it the host that keeps the job alive, where that is known."""
    host = job.get("keepalivehost")
    return printable(f"{job['owner']} ({host})" if host else job["owner"])


def power_word(job: JobDescription) -> str:
    """``on`` or ``off``; empty while the job has no boards."""
    if job["power"] is None or job["state"] not in (JobState.power, JobState.ready):
        return ""
    return "on" if job["power"] else "off"


def state_name(state: int) -> str:
    """The state's name; one that this client does not know is called by its number."""
    try:
        return JobState(state).name
    except ValueError:
        return str(state)


def local_time(timestamp_s: float | None, *, is_short: bool = False) -> str:
    """Unix time as day/month/year and the time of day here; empty for None.

    Args:
        timestamp_s: in seconds.
        is_short: True to leave out the year when it is this one.
    """
    if timestamp_s is None:
        return ""
    told = time.localtime(timestamp_s)
    is_this_year = told.tm_year == time.localtime().tm_year
    day = "%d/%m" if is_short and is_this_year else "%d/%m/%Y"
    return time.strftime(f"{day} %H:%M:%S", told)


def document_of_job(job: JobDescription) -> dict[str, object]:
    """What the list of jobs tells of one, as every JSON document has it."""
    args, kwargs = job["args"], job["kwargs"]
    is_told = args is not None or kwargs is not None  # The Java server does not always.
    return {
        "job_id": job["job_id"],
        "owner": job["owner"],
        "keepalive_host": job.get("keepalivehost") or None,
        "state": state_name(job["state"]),
        "power": power_word(job) or None,
        "start_time": job["start_time"],
        "keepalive": job["keepalive"],
        "machine": job["allocated_machine_name"],
        "boards": sorted(boards_of(job)),
        "request": {"args": args or [], "kwargs": kwargs or {}} if is_told else None,
    }


def job_colour(job_id: int) -> tuple[Style, ...]:
    """The job's own colour, the same wherever it is drawn."""
    return _COLOURS[job_id % len(_COLOURS)]
