"""``spalloc-job``: show a job, wait for it, power its boards, list or report them, or end it.

``spalloc-job --help`` lists the options and exit codes. What is shown comes
from the list of all jobs, which keeps none alive. Two things are in no list:
the fate of a job that has ended, and the hostname of a job that has boards.
That last question is asked once, also when the job is watched: the server takes
it for a keepalive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, connected
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.jobs import actions
from spalloc_gevent.scripts.jobs.fates import board_of_machine, show_fates
from spalloc_gevent.scripts.jobs.subject import Subject
from spalloc_gevent.scripts.jobs.view import JobView
from spalloc_gevent.scripts.views import show_once
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.config import Config

PROG = "spalloc-job"

EXIT_CODES = (
    *administration.EXIT_CODES,
    (ExitCode.NOT_ONE_JOB.value, "no job ID given, and the owner has no live job, or several"),
    (ExitCode.POWER_INTERRUPTED.value, "interrupted while waiting for the boards' power"),
    (ExitCode.NO_POWER.value, "the job is in no state to change its power"),
    (ExitCode.NO_ALLOCATION.value, "the job is queued or does not exist"),
    (ExitCode.WAIT_TIMED_OUT.value, "the job was not in the state of --wait in time"),
    (ExitCode.NEVER_TO_BE.value, "the job will never be in the state of --wait"),
    (ExitCode.NOT_DRAWN.value, "the file of --svg cannot be written"),
    ENDED_BY_SIGNAL,
)

_NOTE = """\
looking at a job keeps it alive only where its hostname has to be asked for: once, by
--info and --ethernet-ips, and by --watch when the job is ready; --svg and --wait never do"""

_STATES = [state.name for state in JobState if state is not JobState.unknown]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-job`` with these arguments (None: this process's); the exit code."""
    return administration.run(make_parser, manage, PROG, argv)


# --------------------------------------------------------------- the parser


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-job``, whose help tells these defaults."""
    parser = common.new_parser(PROG, "Show and manage a job.", notes=[_NOTE], exit_codes=EXIT_CODES)
    parser.add_argument(
        "job_id",
        nargs="?",
        type=common.natural_number,
        metavar="ID",
        help="the job; may be left out if the owner has only one",
    )
    parser.add_argument(
        "--owner",
        "-o",
        default=defaults.owner,
        help="whose only job is meant when no ID is given (default: %(default)s)",
    )
    add_actions(parser)
    add_waiting(parser)
    add_ledger(parser)
    output = output_options.add_output_options(parser)
    output_options.add_picture_option(output, "the job's boards within their machine")
    output_options.add_watch_options(output, "the job")
    common.add_server_options(parser, defaults)
    parser.set_defaults(guardian=defaults.guardian)
    return parser


def add_actions(parser: argparse.ArgumentParser) -> None:
    """--info and what else can be done with a job; only one of them may be given."""
    group = parser.add_argument_group("actions").add_mutually_exclusive_group()
    group.add_argument(
        "--info", "-i", action="store_true", help="show what is known of the job (the default)"
    )
    group.add_argument(
        *("--power-on", "--reset", "-p", "-r"),
        action="store_true",
        help="power the job's boards on, or reset those that are on, and wait for that",
    )
    group.add_argument(
        "--power-off", action="store_true", help="power the job's boards off, and wait for that"
    )
    group.add_argument(
        *("--ethernet-ips", "-e"),
        action="store_true",
        help="list the hostnames of all Ethernet-connected chips as CSV",
    )
    group.add_argument(
        *("--destroy", "-D"),
        nargs="?",
        const="",
        metavar="REASON",
        help="end the job, queued or running, for the reason given",
    )
    group.add_argument(
        "--report",
        nargs=3,
        metavar=("CHIP_X", "CHIP_Y", "TEXT"),
        help="tell those who run the server that this chip of the job, or its board, is bad; "
        "only the Java server takes that",
    )
    parser.add_argument_group("report arguments").add_argument(
        "--processor",
        type=common.natural_number,
        metavar="P",
        help="with --report: it is this processor of the chip that is bad",
    )


def add_waiting(parser: argparse.ArgumentParser) -> None:
    """--wait and --wait-timeout."""
    waiting = parser.add_argument_group("waiting arguments")
    waiting.add_argument(
        "--wait",
        choices=_STATES,
        metavar="STATE",
        help=f"before anything else, wait until the job is in this state: {', '.join(_STATES)}; "
        "without an action, show nothing after that",
    )
    waiting.add_argument(
        "--wait-timeout",
        type=common.seconds,
        metavar="SECONDS",
        help="with --wait: give up after that many seconds (default: never)",
    )


def add_ledger(parser: argparse.ArgumentParser) -> None:
    """--fate and --board."""
    ledger = parser.add_argument_group("ledger arguments")
    ledger.add_argument(
        "--fate",
        metavar="FILE",
        help="show what became of every allocation in this ledger (see "
        "docs/reference/ledger.rst); asks the servers named there about those whose end it does "
        "not tell",
    )
    ledger.add_argument(
        "--board",
        type=board_of_machine,
        metavar="MACHINE:X,Y,Z",
        help="with --fate: only those that had this board",
    )


# ------------------------------------------------------- what goes together


def check_together(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where options do not go together."""
    reason = arguments.destroy
    changes = reason is not None or arguments.report is not None
    changes = changes or arguments.power_on or arguments.power_off
    acts = changes or arguments.ethernet_ips
    if arguments.board is not None and arguments.fate is None:
        parser.error("--board goes with --fate")
    if arguments.fate is not None:
        shows = arguments.info or arguments.wait or arguments.watch or arguments.svg is not None
        if acts or shows or arguments.job_id is not None:
            parser.error("--fate is about a ledger, and goes with no job ID and no action")
        return
    if arguments.job_id is None and reason is not None and reason.strip().isdigit():
        # It would end the owner's only job, whatever its ID, with a number for a reason.
        parser.error(f"--destroy {reason}: the job's ID comes first: {PROG} {reason} --destroy")
    if arguments.job_id is None and not arguments.owner:
        parser.error("job ID (or --owner) not specified")
    if arguments.wait_timeout is not None and arguments.wait is None:
        parser.error("--wait-timeout goes with --wait")
    if arguments.watch and acts:
        parser.error("--watch shows the job: it goes with no other action than --info")
    if arguments.json and changes:
        parser.error("--json is for --info, --watch and --ethernet-ips: other actions show nothing")
    output_options.check_picture(parser, arguments)
    if arguments.svg is not None and acts:
        parser.error("--svg draws the job: it goes with no other action than --info")
    if arguments.processor is not None and arguments.report is None:
        parser.error("--processor goes with --report")


def check_report(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Have ``report`` be a chip's x and y and a text."""
    chip_x, chip_y, text = arguments.report
    if not text.strip():
        parser.error("--report: say what is wrong with the chip")
    try:
        x, y = common.natural_number(chip_x), common.natural_number(chip_y)
    except argparse.ArgumentTypeError as error:
        option = "--report"
        parser.error(f"argument {option}: {error}")
    arguments.report = (x, y, text)


# --------------------------------------------------------------- the actions


def manage(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Do what is asked for with the job, or with the ledger; the exit code."""
    check_together(parser, arguments)
    if arguments.fate is not None:
        return show_fates(arguments)
    if arguments.report is not None:
        check_report(parser, arguments)
    common.require_hostname(parser, arguments)
    with connected(arguments) as client:
        job_id = arguments.job_id
        subject = Subject(
            actions.only_job_of(client, arguments.owner) if job_id is None else job_id,
            is_named_anyway=arguments.power_on or arguments.power_off,
        )
        if arguments.wait is not None:
            # Not needed for a quick look, and that is to be quick.
            from spalloc_gevent.scripts.jobs.waiting import await_state

            await_state(client, subject, JobState[arguments.wait], arguments)
        return act(client, subject, arguments)


def act(client: ProtocolClient, subject: Subject, arguments: argparse.Namespace) -> int:
    """Do the one thing that is asked for, or show the job; the exit code."""
    if arguments.power_on or arguments.power_off:
        return actions.set_power(client, subject, arguments)
    if arguments.destroy is not None:
        return actions.destroy(client, subject.job_id, arguments)
    if arguments.report is not None:
        return actions.report(client, subject.job_id, arguments)
    if arguments.ethernet_ips:
        return show_once(client, actions.HostnamesView(subject.job_id), arguments)
    # What follows is not needed for a quick look, and that is to be quick.
    if arguments.watch:
        from spalloc_gevent.scripts.watching import watch

        return watch(client, JobView(subject, hostname_in=[JobState.ready]), arguments)
    if arguments.svg is not None:
        from spalloc_gevent.scripts.drawing import draw_job

        return draw_job(client, subject, arguments)
    if arguments.wait is not None and not (arguments.info or arguments.json):
        return ExitCode.OK
    view = JobView(subject, hostname_in=[JobState.power, JobState.ready])
    return show_once(client, view, arguments)


if __name__ == "__main__":
    sys.exit(main())
