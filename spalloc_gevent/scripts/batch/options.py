"""The command line of ``spalloc-batch``: what is asked for, and every way to get it wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.config import Config
from spalloc_gevent.display.terminal import Colour
from spalloc_gevent.scripts import alloc_options, common
from spalloc_gevent.scripts.batch_campaign import Terms
from spalloc_gevent.scripts.batch_cases import CASE_TOKEN, CASE_VARIABLE
from spalloc_gevent.scripts.output_options import add_output_options
from spalloc_gevent.scripts.substitution import TOKENS, VARIABLES

PROG = "spalloc-batch"
STDIN = "-"

MOST_JOBS = 16

EXIT_CODES = (
    (0, "every case has passed"),
    (1, "a case has not passed"),
    (2, "the command line or the cases are wrong, or --joblog names a file of something else"),
    (5, "a file of results, what cases write, or the progress could not be written"),
    (6, "the server cannot be reached, or reports an error, before any case is begun with"),
    ("128 + n", "signal n has kept cases from being run, or ended some (Ctrl+C: 130)"),
)
"""What --help says of :class:`~spalloc_gevent.scripts.common.ExitCode`."""

CASE_TOKENS = (CASE_TOKEN, *TOKENS)
CASE_VARIABLES = (CASE_VARIABLE, *VARIABLES)

_CASES_NOTE = """\
cases: one a line, NAME COMMAND. The name is the line's first field, quoted as in
a shell if it has blanks, and no other case's. The command is a line for the shell,
where tokens stand for what its boards are; values are quoted as needed. Empty
lines, and those that begin with #, are passed over."""

_EXAMPLE = """\
example: with the lines "one ./trial {} 1" and "two ./trial {} 2" in cases.txt,
spalloc-batch cases.txt -j 50 --boards 3 --retries 1 --output results"""


@dataclass(frozen=True)
class Order:
    """What the user wants."""

    file: str
    is_named: bool
    terms: Terms
    output: str | None
    joblog: str | None
    resume: bool
    run_failed_again: bool
    junit_xml: str | None
    quiet: bool
    debug: bool
    json: bool
    colour: Colour


def parse(
    argv: Sequence[str] | None,
    environ: Mapping[str, str] | None = None,
    stderr: TextIO | None = None,
) -> Order:
    """The order on a command line (None: this process's).

    Raises SystemExit(2) after a message about what is wrong with it, SystemExit(0)
    after --help and --version, and ConfigError.
    """
    parser = make_parser(defaults := common.read_defaults(PROG, environ, stderr))
    # FILE and WHAT may stand anywhere among the options.
    arguments = parser.parse_intermixed_args(sys.argv[1:] if argv is None else argv)
    return _order(parser, arguments, defaults)


# --------------------------------------------------------------- the parser


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-batch``, whose help tells these defaults."""
    parser = common.new_parser(
        PROG,
        "Run many commands, each on SpiNNaker boards of its own.",
        notes=[
            _CASES_NOTE,
            described("tokens in a command", CASE_TOKENS),
            described("environment of a command", CASE_VARIABLES),
            _EXAMPLE,
        ],
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="FILE|WHAT",
        help="the file of cases (default: -, standard input), and in numbers what each of them "
        f"is given: {alloc_options.WHAT}",
    )
    parser.add_argument(
        "--unnamed",
        action="store_true",
        help="lines are commands and nothing else; a case's name is the number of its line",
    )
    _add_running_options(parser)
    _add_board_options(parser, defaults)
    _add_result_options(parser)
    alloc_options.add_server_options(parser, defaults, "--server-timeout")
    return parser


def _add_running_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("arguments about how cases are run")
    group.add_argument(
        "--jobs",
        "-j",
        type=common.count,
        default=MOST_JOBS,
        metavar="N",
        help="run so many at once (default: %(default)s)",
    )
    group.add_argument(
        "--timeout",
        dest="case_timeout",
        type=common.positive_seconds,
        metavar="SECONDS",
        help="end a case, or a check, that takes longer (default: no limit)",
    )
    group.add_argument(
        "--retries",
        type=common.count_or_zero,
        default=0,
        metavar="N",
        help="run a case again, so many times at most, when its job is destroyed under it "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--reuse",
        action="store_true",
        help="leave a case's boards, as they are, to the next one",
    )
    group.add_argument(
        "--reset",
        action="store_true",
        help="with --reuse: power-cycle the boards between cases",
    )


def _add_board_options(parser: argparse.ArgumentParser, defaults: Config) -> None:
    group = parser.add_argument_group("arguments about the boards of a case")
    group.add_argument(
        "--boards", type=common.count, metavar="N", help="give each case at least N boards"
    )
    alloc_options.add_choice_of_boards(group, defaults)
    group.add_argument(
        "--check",
        metavar="COMMAND",
        help="run this shell line on new boards before anything else; if it fails, they are bad, "
        "and others are asked for",
    )
    group.add_argument(
        "--attempts",
        type=common.count,
        default=3,
        metavar="N",
        help="give a case up when so many allocations were bad (default: %(default)s)",
    )
    for what, name in (("boards", "queue"), ("the power of its boards", "power")):
        group.add_argument(
            f"--{name}-timeout",
            type=common.positive_seconds,
            metavar="SECONDS",
            help=f"let a case wait no longer for {what} (default: no limit)",
        )


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    group = add_output_options(parser)
    group.add_argument(
        "--quiet", "-q", action="store_true", help="show only what has not passed, and output"
    )
    group.add_argument(
        "--debug", action="store_true", help="show on standard error what the library does"
    )
    group.add_argument(
        "--output",
        "-o",
        metavar="DIR",
        help="put what a case writes into DIR/NAME.out and DIR/NAME.err, instead of passing it "
        "on when the case has ended",
    )
    group.add_argument(
        "--joblog",
        metavar="FILE",
        help="add a line of JSON to FILE for each case, as "
        "docs/reference/commands/spalloc-batch.rst describes it",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="run only cases that have no result (passed, failed, timed out) in the joblog",
    )
    group.add_argument(
        "--resume-failed",
        action="store_true",
        help="run only cases that have not passed according to the joblog",
    )
    group.add_argument(
        "--junit-xml", metavar="FILE", help="write all results to FILE as JUnit XML, at the end"
    )


# ---------------------------------------------------------------- the order


def _order(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, defaults: Config
) -> Order:
    common.require_hostname(parser, arguments.hostname)
    arguments.file, arguments.what = _file_and_what(parser, arguments)
    if (arguments.resume or arguments.resume_failed) and arguments.joblog is None:
        parser.error("--resume and --resume-failed go with --joblog FILE")
    if arguments.reset and not arguments.reuse:
        parser.error("--reset goes with --reuse: else every case has new boards anyway")
    if arguments.quiet and arguments.debug:
        parser.error("--quiet and --debug: give only one of the two")
    return Order(
        file=arguments.file,
        is_named=not arguments.unnamed,
        terms=_terms(parser, arguments, defaults),
        output=arguments.output,
        joblog=arguments.joblog,
        resume=arguments.resume or arguments.resume_failed,
        run_failed_again=arguments.resume_failed,
        junit_xml=arguments.junit_xml,
        quiet=arguments.quiet,
        debug=arguments.debug,
        json=arguments.json,
        colour=Colour(arguments.color),
    )


def _file_and_what(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> tuple[str, tuple[int, ...]]:
    numbers = [word for word in arguments.words if _is_number(word)]
    files = [word for word in arguments.words if not _is_number(word)]
    if len(files) > 1:
        parser.error(
            f"{' and '.join(map(repr, files))}: give one file of cases, and what they are given "
            "in numbers; a command is a line of the file"
        )
    what = alloc_options.checked_what(parser, list(map(int, numbers)))
    if arguments.boards is not None:
        if what:
            parser.error("--boards and WHAT: give only one of the two")
        what = (arguments.boards,)
    return (files or [STDIN])[0], what


def _is_number(word: str) -> bool:
    return word.isascii() and word.removeprefix("-").isdecimal()


def _terms(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, defaults: Config
) -> Terms:
    line = arguments.check
    names = ("reuse", "reset", "attempts", "queue_timeout", "power_timeout")
    job_options: dict[str, Any] = alloc_options.new_job(parser, arguments, defaults)
    # What the ledger calls the jobs of this campaign; a job may serve several cases.
    job_options["label"] = f"{PROG} {arguments.file}"
    return Terms(
        what=arguments.what,
        most_jobs=arguments.jobs,
        retries=arguments.retries,
        executor_options={name: getattr(arguments, name) for name in names},
        job_options=job_options,
        check=alloc_options.checked_command(parser, "--check", None if line is None else [line]),
        timeout_s=arguments.case_timeout,
        patience_s=arguments.queue_timeout,
    )
