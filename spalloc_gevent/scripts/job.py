"""``spalloc-job``: show a job, power its boards, list their addresses, or end it.

``spalloc-job --help`` lists the options and exit codes. What is shown comes
from the list of all jobs, which keeps none alive. Two things are in no list:
the fate of a job that has ended, and the hostname and size of a job that has
boards. That last question is asked once; the server takes it for a keepalive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.display.boards import BoardGroup, draw_boards
from spalloc_gevent.display.definitions import render_definitions
from spalloc_gevent.display.terminal import Paint, Style, printable
from spalloc_gevent.errors import ProtocolError, ProtocolTimeoutError
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.administration import (
    EXIT_CODES,
    boards_of,
    connected,
    live_job,
    local_time,
    paint_for_output,
    power_word,
    show,
    state_name,
)
from spalloc_gevent.scripts.common import CommandError, ExitCode
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.config import Config
    from spalloc_gevent.protocol_client import ProtocolClient
    from spalloc_gevent.wire.answers import JobDescription, JobStateInfo, MachineInfo

PROG = "spalloc-job"

LOOK_AGAIN_S = 5.0
"""Notifications can be lost; while boards are powered the job is looked at this often."""

_EXIT_CODES = (
    *EXIT_CODES,
    (ExitCode.NOT_ONE_JOB.value, "no job ID given, and the owner has no live job, or several"),
    (ExitCode.POWER_INTERRUPTED.value, "interrupted while waiting for the boards' power"),
    (ExitCode.NO_POWER.value, "the job is in no state to change its power"),
    (ExitCode.NO_ALLOCATION.value, "the job is queued or does not exist"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-job`` with these arguments (None: this process's); the exit code."""
    return common.run(lambda: _manage(_parse(argv)), prog=PROG)


# --------------------------------------------------------------- the parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    defaults = common.read_defaults(PROG)
    parser = common.new_parser(PROG, "Show and manage a job.", exit_codes=_EXIT_CODES)
    _add_choice_of_job(parser, defaults)
    _add_actions(parser)
    common.add_server_options(parser, defaults)
    arguments = parser.parse_args(argv)
    _check(parser, arguments)
    return arguments


def _add_choice_of_job(parser: argparse.ArgumentParser, defaults: Config) -> None:
    parser.add_argument(
        "job_id",
        nargs="?",
        type=common.job_id,
        metavar="ID",
        help="the job; may be left out if the owner has only one",
    )
    parser.add_argument(
        "--owner",
        "-o",
        default=defaults.owner,
        help="whose only job is meant when no ID is given (default: %(default)s)",
    )


def _add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_argument_group("actions").add_mutually_exclusive_group()
    actions.add_argument(
        "--info", "-i", action="store_true", help="show what is known of the job (the default)"
    )
    actions.add_argument(
        "--power-on",
        "--reset",
        "-p",
        "-r",
        action="store_true",
        help="power the job's boards on, or reset those that are on, and wait for that",
    )
    actions.add_argument(
        "--power-off",
        action="store_true",
        help="power the job's boards off, and wait for that",
    )
    actions.add_argument(
        "--ethernet-ips",
        "-e",
        action="store_true",
        help="list the hostnames of all Ethernet-connected chips as CSV",
    )
    actions.add_argument(
        "--destroy",
        "-D",
        nargs="?",
        const="",
        metavar="REASON",
        help="end the job, queued or running, for the reason given",
    )


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    reason = arguments.destroy
    if arguments.job_id is None and reason is not None and reason.strip().isdigit():
        # It would end the owner's only job, whatever its ID, with a number for a reason.
        parser.error(f"--destroy {reason}: the job's ID comes first: {PROG} {reason} --destroy")
    if arguments.job_id is None and not arguments.owner:
        parser.error("job ID (or --owner) not specified")
    common.require_hostname(parser, arguments.hostname)


# --------------------------------------------------------------- the actions


def _manage(arguments: argparse.Namespace) -> int:
    with connected(PROG, arguments) as client:
        job_id = _chosen_job(client, arguments)
        if arguments.power_on or arguments.power_off:
            return _power(client, job_id, arguments.power_on)
        if arguments.ethernet_ips:
            return _list_hostnames(client, job_id)
        if arguments.destroy is not None:
            return _destroy(client, job_id, _reason(arguments))
        return _show_info(client, job_id)


def _chosen_job(client: ProtocolClient, arguments: argparse.Namespace) -> int:
    given: int | None = arguments.job_id
    return _only_job_of(client, arguments.owner) if given is None else given


def _only_job_of(client: ProtocolClient, owner: str) -> int:
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


def _reason(arguments: argparse.Namespace) -> str | None:
    reason: str = arguments.destroy
    if not reason and arguments.owner:
        return f"Destroyed by {arguments.owner}"
    return reason or None


def _destroy(client: ProtocolClient, job_id: int, reason: str | None) -> int:
    was_live = live_job(client, job_id) is not None
    client.destroy_job(job_id, reason)
    if not was_live:
        common.warn(f"{PROG}: warning: there was no live job {job_id}")
    return ExitCode.OK


def _list_hostnames(client: ProtocolClient, job_id: int) -> int:
    job = live_job(client, job_id)
    is_queued = job is None or job["state"] == JobState.queued
    connections = None if is_queued else client.get_job_machine_info(job_id)["connections"]
    if connections is None:
        raise CommandError(f"Job {job_id} is queued or does not exist", ExitCode.NO_ALLOCATION)
    chips = sorted((x, y, printable(hostname)) for (x, y), hostname in connections)
    show("\n".join(["x,y,hostname", *(f"{x},{y},{hostname}" for x, y, hostname in chips)]))
    return ExitCode.OK


# ----------------------------------------------------------------- power


def _power(client: ProtocolClient, job_id: int, power: bool) -> int:
    try:
        # Watched first, lest the end of a quick change be missed.
        client.notify_job(job_id)
        _check_has_boards(client, job_id, power)
        (client.power_on_job_boards if power else client.power_off_job_boards)(job_id)
        while _check_has_boards(client, job_id, power) == JobState.power:
            _await_news(client)
    except KeyboardInterrupt:
        return ExitCode.POWER_INTERRUPTED
    return ExitCode.OK


def _check_has_boards(client: ProtocolClient, job_id: int, power: bool) -> JobState:
    """The job's state, if it is one in which boards have power; else CommandError."""
    job = live_job(client, job_id)
    state = client.get_job_state(job_id)["state"] if job is None else job["state"]
    if state in (JobState.power, JobState.ready):
        return JobState(state)
    raise CommandError(
        f"Error: Cannot power {'on' if power else 'off'} job {job_id} in state {state_name(state)}",
        ExitCode.NO_POWER,
    )


def _await_news(client: ProtocolClient) -> None:
    """Wait until something may have changed."""
    try:
        client.wait_for_notification(LOOK_AGAIN_S)
    except ProtocolTimeoutError:
        return
    except ProtocolError:
        # Notifications may have been missed: whether the server is there shows the next look.
        return


# ------------------------------------------------------------ information


def _show_info(client: ProtocolClient, job_id: int) -> int:
    job = live_job(client, job_id)
    if job is None:
        show(render_ended_job(job_id, client.get_job_state(job_id)))
        return ExitCode.OK
    info = client.get_job_machine_info(job_id) if boards_of(job) else None
    show(render_job(job, info, paint_for_output()))
    return ExitCode.OK


def render_ended_job(job_id: int, info: JobStateInfo) -> str:
    """What is left to tell of a job that is no more, or never was."""
    facts: list[tuple[str, object]] = [("Job ID", job_id), ("State", state_name(info["state"]))]
    if info["reason"]:
        facts.append(("Reason", printable(info["reason"])))
    return render_definitions(facts)


def render_job(job: JobDescription, info: MachineInfo | None, paint: Paint) -> str:
    """A live job; info: None, or its hardware."""
    facts = [*_origin(job), *_request(job), *_hardware(job, info, paint)]
    return render_definitions(facts)


Facts = list[tuple[str, object]]


def _origin(job: JobDescription) -> Facts:
    facts: Facts = [
        ("Job ID", job["job_id"]),
        ("Owner", printable(job["owner"])),
        ("State", state_name(job["state"])),
        ("Start time", local_time(job["start_time"])),
        ("Keepalive", job["keepalive"]),
    ]
    host = job.get("keepalivehost")
    return [*facts, ("Owner host", printable(host))] if host else facts


def _request(job: JobDescription) -> Facts:
    """The request as it would be made with :class:`~spalloc_gevent.Job`."""
    args, kwargs = job["args"] or [], job["kwargs"] or {}
    lines = [", ".join(map(str, args))] if args else []
    lines += [printable(f"{name}={value!r}") for name, value in sorted(kwargs.items())]
    return [("Request", "Job(" + ",\n    ".join(lines) + ")")]


def _hardware(job: JobDescription, info: MachineInfo | None, paint: Paint) -> Facts:
    boards = boards_of(job)
    facts: Facts = []
    if boards:
        facts.append(("Allocation", _picture(boards, paint)))
    if info is not None and info["connections"]:
        chip_0_0 = min((x, y, hostname) for (x, y), hostname in info["connections"])
        facts.append(("Hostname", printable(chip_0_0[2])))
        facts += [("Width", info["width"]), ("Height", info["height"])]
    if boards:
        facts.append(("Num boards", len(boards)))
    if power_word(job):
        facts.append(("Board power", power_word(job)))
    if job["allocated_machine_name"]:
        facts.append(("Running on", printable(job["allocated_machine_name"])))
    return facts


def _picture(boards: Sequence[tuple[int, int, int]], paint: Paint) -> str:
    dim, bright = (Style.DIM,), (Style.BRIGHT,)
    group = BoardGroup(boards, label_styles=dim, inner_styles=dim, outer_styles=bright)
    return draw_boards([group], paint=paint)


if __name__ == "__main__":
    sys.exit(main())
