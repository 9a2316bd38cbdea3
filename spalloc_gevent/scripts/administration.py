"""What the four administrative commands share: the server, the jobs on it, how they are told."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from spalloc_gevent.display.terminal import Colour, Style, printable, write
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.common import INTERRUPTED, ExitCode
from spalloc_gevent.states import JobState
from spalloc_gevent.wire.version import check_version

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription

HEADING_OF_OWNER = "Owner (Host)"

EXIT_CODES = (
    (ExitCode.OK.value, "done"),
    (ExitCode.SERVER_TROUBLE.value, "the server cannot be reached, or reports an error"),
    (ExitCode.USAGE.value, "wrong usage, or a server of a version that will not do"),
)
"""What every administrative command may end with, for its --help."""

ENDED_BY_SIGNAL = ("128 + n", "signal n ended it (Ctrl+C: 130), or its reader has gone (141)")
"""The last line of that list."""

_HUES = (Style.GREEN, Style.BLUE, Style.MAGENTA, Style.YELLOW, Style.CYAN)
_COLOURS: tuple[tuple[Style, ...], ...] = (
    *((hue,) for hue in _HUES),
    *((Style.DIM, hue) for hue in _HUES),
    *((Style.BRIGHT, hue) for hue in _HUES),
)


def run(
    prog: str, parse: Callable[[], argparse.Namespace], act: Callable[[argparse.Namespace], int]
) -> int:
    """Parse and act; the exit code, after one line about an error if there was one."""

    def command() -> int:
        arguments = parse()
        colour = Colour(arguments.color)
        code = common.run(lambda: act(arguments), prog=prog, colour=colour)
        # However early it comes: whoever watches leaves by Ctrl+C.
        is_left = code == INTERRUPTED and getattr(arguments, "watch", False)
        return ExitCode.OK if is_left else code

    return common.run(command, prog=prog)


@contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[ProtocolClient]:
    """A client for a few questions to the server that the arguments name.

    Raises IncompatibleServerError for a version that will not do, and whatever a call
    may raise.
    """
    with closing(_client_of(arguments)) as client:
        _check_version(client, arguments)
        yield client


@contextmanager
def connected_to_stay(arguments: argparse.Namespace) -> Iterator[ProtocolClient]:
    """As :func:`connected`, a client that hears of changes and outlives lost connections."""
    # Slow to import, which is no matter to who stays.
    from spalloc_gevent.scripts import logs

    client = _client_of(arguments)
    with logs.nothing_shown(), closing(client):
        _check_version(client, arguments)
        yield client


def _client_of(arguments: argparse.Namespace) -> ProtocolClient:
    # Not needed for --help.
    from spalloc_gevent.client import ProtocolClient

    limit_s = arguments.timeout
    return ProtocolClient(arguments.hostname, arguments.port, call_timeout=limit_s).open()


def _check_version(client: ProtocolClient, arguments: argparse.Namespace) -> None:
    if not arguments.ignore_version:
        where = f"the server at {arguments.hostname}:{arguments.port}"
        check_version(client.version(), where)


def show(text: str) -> None:
    """A result, on standard output."""
    write(sys.stdout, f"{text}\n")


# ----------------------------------------------------------- how jobs are told


def live_job(client: ProtocolClient, job_id: int) -> JobDescription | None:
    """The job as the list tells it, which keeps nothing alive; None when it is not in there."""
    return next((job for job in client.list_jobs() if job["job_id"] == job_id), None)


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


def local_time(timestamp_s: float | None) -> str:
    """Unix time as day/month/year and the time of day here; empty for None."""
    if timestamp_s is None:
        return ""
    return time.strftime("%d/%m/%Y %H:%M:%S", time.localtime(timestamp_s))


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
