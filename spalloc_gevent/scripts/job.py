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

from spalloc_gevent.display.terminal import Colour
from spalloc_gevent.scripts import administration, common, job_actions, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, connected, connected_to_stay, run
from spalloc_gevent.scripts.common import ExitCode, ended_by
from spalloc_gevent.scripts.job_fates import board_of_machine, show_fates
from spalloc_gevent.scripts.job_sight import Subject
from spalloc_gevent.scripts.job_view import JobView
from spalloc_gevent.scripts.presenting import show_once, watch
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

_WITH_BOARDS = (JobState.power, JobState.ready)

_STATES = {state.name: state for state in JobState if state is not JobState.unknown}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-job`` with these arguments (None: this process's); the exit code."""
    return run(PROG, lambda: _parse(argv), _manage)


# --------------------------------------------------------------- the parser


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-job``, whose help tells these defaults."""
    parser = common.new_parser(PROG, "Show and manage a job.", notes=[_NOTE], exit_codes=EXIT_CODES)
    _add_choice_of_job(parser, defaults)
    _add_actions(parser)
    _add_waiting(parser)
    _add_report(parser)
    _add_ledger(parser)
    output = output_options.add_output_options(parser)
    output_options.add_picture_option(output, "the job's boards within their machine")
    output_options.add_watch_options(output, "the job")
    common.add_server_options(parser, defaults)
    parser.set_defaults(guardian=defaults.guardian)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(common.read_defaults(PROG))
    arguments = parser.parse_args(argv)
    output_options.check_output(parser, arguments)
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
    actions.add_argument(
        "--report",
        nargs=3,
        metavar=("CHIP_X", "CHIP_Y", "TEXT"),
        help="tell those who run the server that this chip of the job, or its board, is bad; "
        "only the Java server takes that",
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("report arguments").add_argument(
        "--processor",
        type=common.whole_number,
        metavar="P",
        help="with --report: it is this processor of the chip that is bad",
    )


def _add_ledger(parser: argparse.ArgumentParser) -> None:
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


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    waiting = parser.add_argument_group("waiting arguments")
    waiting.add_argument(
        "--wait",
        choices=list(_STATES),
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


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    reason = arguments.destroy
    if arguments.board is not None and arguments.fate is None:
        parser.error("--board goes with --fate")
    if arguments.fate is not None:
        _check_fate(parser, arguments)
        return
    if arguments.job_id is None and reason is not None and reason.strip().isdigit():
        # It would end the owner's only job, whatever its ID, with a number for a reason.
        parser.error(f"--destroy {reason}: the job's ID comes first: {PROG} {reason} --destroy")
    if arguments.job_id is None and not arguments.owner:
        parser.error("job ID (or --owner) not specified")
    if arguments.wait_timeout is not None and arguments.wait is None:
        parser.error("--wait-timeout goes with --wait")
    _check_output(parser, arguments)
    _check_report(parser, arguments)
    common.require_hostname(parser, arguments.hostname)


def _check_fate(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    others = ("info", "power_on", "power_off", "ethernet_ips", "wait", "watch")
    told = arguments.destroy is not None or arguments.report is not None
    given = told or arguments.svg is not None or any(getattr(arguments, name) for name in others)
    if given or arguments.job_id is not None:
        parser.error("--fate is about a ledger, and goes with no job ID and no action")


def _check_output(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    power = arguments.power_on or arguments.power_off
    is_silent = power or arguments.destroy is not None or arguments.report is not None
    if arguments.watch and (is_silent or arguments.ethernet_ips):
        parser.error("--watch shows the job: it goes with no other action than --info")
    if arguments.json and is_silent:
        parser.error("--json is for --info, --watch and --ethernet-ips: other actions show nothing")
    output_options.check_picture(parser, arguments)
    if arguments.svg is not None and (is_silent or arguments.ethernet_ips):
        parser.error("--svg draws the job: it goes with no other action than --info")


def _check_report(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Have ``report`` be a chip's x and y and a text, or None."""
    if arguments.report is None:
        if arguments.processor is not None:
            parser.error("--processor goes with --report")
        return
    *chip, text = arguments.report
    if not text.strip():
        parser.error("--report: say what is wrong with the chip")
    arguments.report = (*_natural_numbers(parser, "--report", chip), text)
    if arguments.processor is not None and arguments.processor < 0:
        parser.error(f"--processor: '{arguments.processor}' is less than 0: give 0 or more")


def _natural_numbers(
    parser: argparse.ArgumentParser, option: str, texts: Sequence[str]
) -> tuple[int, ...]:
    for text in texts:
        if not (text.isascii() and text.isdigit()):
            parser.error(f"{option}: {text!r} is no whole number, 0 or more")
    return tuple(map(int, texts))


# --------------------------------------------------------------- the actions


def _manage(arguments: argparse.Namespace) -> int:
    if arguments.fate is not None:
        return show_fates(PROG, arguments)
    if arguments.wait or arguments.watch or arguments.power_on or arguments.power_off:
        with connected_to_stay(arguments) as client:
            return _stay(client, _chosen(client, arguments), arguments)
    with connected(arguments) as plain_client:
        return _act(plain_client, _chosen(plain_client, arguments), arguments)


def _chosen(client: ProtocolClient, arguments: argparse.Namespace) -> Subject:
    if arguments.job_id is None:
        return Subject(job_actions.only_job_of(client, arguments.owner))
    return Subject(arguments.job_id)


def _stay(client: ProtocolClient, subject: Subject, arguments: argparse.Namespace) -> int:
    """What takes its time: the job is waited for, then powered or watched."""
    if arguments.wait is not None:
        code = _wait(client, subject, arguments)
        if code != ExitCode.OK:
            return code
    if arguments.power_on or arguments.power_off:
        power, colour = arguments.power_on, Colour(arguments.color)
        return job_actions.set_power(PROG, client, subject, power, colour)
    if arguments.watch:
        return watch(PROG, client, JobView(subject, hostname_in=(JobState.ready,)), arguments)
    return _act(client, subject, arguments)


def _wait(client: ProtocolClient, subject: Subject, arguments: argparse.Namespace) -> int:
    # Not needed for a quick look, and that is to be quick.
    from spalloc_gevent.scripts.job_waiting import await_state
    from spalloc_gevent.scripts.signals import Interrupted

    try:
        wanted, colour = _STATES[arguments.wait], Colour(arguments.color)
        await_state(PROG, client, subject, wanted, arguments.wait_timeout, colour)
    except Interrupted as signalled:
        return ended_by(signalled.signum)
    return ExitCode.OK


def _act(client: ProtocolClient, subject: Subject, arguments: argparse.Namespace) -> int:
    """What is done at once."""
    if arguments.destroy is not None:
        reason, colour = _reason(arguments), Colour(arguments.color)
        return job_actions.destroy(
            PROG, client, subject.job_id, reason, colour, guardian=arguments.guardian
        )
    if arguments.report is not None:
        return job_actions.report(client, subject.job_id, arguments.report, arguments.processor)
    if arguments.ethernet_ips:
        return show_once(client, job_actions.HostnamesView(subject.job_id), arguments)
    if arguments.svg is not None:
        return _draw(client, subject, arguments)
    if arguments.wait is not None and not (arguments.info or arguments.json):
        return ExitCode.OK
    return show_once(client, JobView(subject, hostname_in=_WITH_BOARDS), arguments)


def _draw(client: ProtocolClient, subject: Subject, arguments: argparse.Namespace) -> int:
    # Not needed for a quick look, and that is to be quick.
    from spalloc_gevent.scripts.drawing import draw_job

    return draw_job(PROG, client, subject, arguments)


def _reason(arguments: argparse.Namespace) -> str | None:
    reason: str = arguments.destroy
    if not reason and arguments.owner:
        return f"Destroyed by {arguments.owner}"
    return reason or None


if __name__ == "__main__":
    sys.exit(main())
