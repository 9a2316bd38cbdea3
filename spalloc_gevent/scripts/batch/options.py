"""The command line of ``spalloc-batch``: what is asked for, and every way to get it wrong."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.config import Config
from spalloc_gevent.scripts import alloc_options, common
from spalloc_gevent.scripts.batch.cases import CASE_TOKEN, CASE_VARIABLE
from spalloc_gevent.scripts.output_options import add_output_options
from spalloc_gevent.scripts.substitution import TOKENS, VARIABLES

PROG = "spalloc-batch"
STDIN = "-"

COUNT: dict[str, Any] = {"type": common.count, "metavar": "N"}
SECONDS: dict[str, Any] = {"type": common.positive_seconds, "metavar": "SECONDS"}
FLAG: dict[str, Any] = {"action": "store_true"}

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


def parse(
    argv: Sequence[str] | None,
    environ: Mapping[str, str] | None = None,
    stderr: TextIO | None = None,
) -> argparse.Namespace:
    """The options on a command line (None: this process's).

    Besides those of the parser there are ``file``, ``what`` (the numbers of Job),
    ``job_options`` (its keywords), and ``check`` is a Command or None.

    Raises SystemExit(2) after a message about what is wrong with it, SystemExit(0)
    after --help and --version, and ConfigError.
    """
    parser = make_parser(defaults := common.read_defaults(PROG, environ, stderr))
    # FILE and WHAT may stand anywhere among the options.
    options = parser.parse_intermixed_args(sys.argv[1:] if argv is None else argv)
    common.require_hostname(parser, options)
    set_file_and_what(parser, options)
    if (options.resume or options.resume_failed) and options.joblog is None:
        parser.error("--resume and --resume-failed go with --joblog FILE")
    if options.reset and not options.reuse:
        parser.error("--reset goes with --reuse: else every case has new boards anyway")
    if options.quiet and options.debug:
        parser.error("--quiet and --debug: give only one of the two")
    options.job_options = alloc_options.new_job(parser, options, defaults)
    # What the ledger calls the jobs of this campaign; a job may serve several cases.
    options.job_options["label"] = f"{PROG} {options.file}"
    line = None if options.check is None else [options.check]
    options.check = alloc_options.checked_command(parser, "--check", line)
    return options


def set_file_and_what(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Tell the file of cases from what they are given."""
    numbers = [word for word in options.words if re.fullmatch("-?[0-9]+", word)]
    files = [word for word in options.words if word not in numbers]
    if len(files) > 1:
        parser.error(
            f"{' and '.join(map(repr, files))}: give one file of cases, and what they are given "
            "in numbers; a command is a line of the file"
        )
    options.file = files[0] if files else STDIN
    options.what = alloc_options.checked_what(parser, list(map(int, numbers)))
    if options.boards is not None:
        if options.what:
            parser.error("--boards and WHAT: give only one of the two")
        options.what = (options.boards,)


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
        **FLAG,
        help="lines are commands and nothing else; a case's name is the number of its line",
    )
    add_running_options(parser)
    add_board_options(parser, defaults)
    add_result_options(parser)
    alloc_options.add_server_options(parser, defaults, "--server-timeout")
    return parser


def add_running_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("arguments about how cases are run").add_argument
    add("--jobs", "-j", **COUNT, default=16, help="run so many at once (default: %(default)s)")
    add(
        "--time-limit", "--timeout", **SECONDS, dest="case_timeout",
        help="end a case, or a check, that takes longer (default: no limit)",
    )  # fmt: skip
    add(
        "--retries", type=common.count_or_zero, default=0, metavar="N",
        help="run a case again, so many times at most, when its job is destroyed under it "
        "(default: %(default)s)",
    )  # fmt: skip
    add("--reuse", **FLAG, help="leave a case's boards, as they are, to the next one")
    add("--reset", **FLAG, help="with --reuse: power-cycle the boards between cases")


def add_board_options(parser: argparse.ArgumentParser, defaults: Config) -> None:
    group = parser.add_argument_group("arguments about the boards of a case")
    add = group.add_argument
    add("--boards", **COUNT, help="give each case at least N boards")
    alloc_options.add_choice_of_boards(group, defaults)
    add(
        "--check", metavar="COMMAND",
        help="run this shell line on new boards before anything else; if it fails, they are bad, "
        "and others are asked for",
    )  # fmt: skip
    add(
        "--attempts", **COUNT, default=3,
        help="give a case up when so many allocations were bad (default: %(default)s)",
    )  # fmt: skip
    for what, name in (("boards", "queue"), ("the power of its boards", "power")):
        told = f"let a case wait no longer for {what} (default: no limit)"
        add(f"--{name}-timeout", **SECONDS, help=told)


def add_result_options(parser: argparse.ArgumentParser) -> None:
    add = add_output_options(parser).add_argument
    add("--quiet", "-q", **FLAG, help="show only what has not passed, and output")
    add("--debug", **FLAG, help="show on standard error what the library does")
    add(
        "--output", "-o", metavar="DIR",
        help="put what a case writes into DIR/NAME.out and DIR/NAME.err, instead of passing it "
        "on when the case has ended",
    )  # fmt: skip
    add(
        "--joblog", metavar="FILE",
        help="add a line of JSON to FILE for each case, as "
        "docs/reference/commands/spalloc-batch.rst describes it",
    )  # fmt: skip
    add(
        "--resume", **FLAG,
        help="run only cases that have no result (passed, failed, timed out) in the joblog",
    )  # fmt: skip
    add(
        "--resume-failed", **FLAG,
        help="run only cases that have not passed according to the joblog",
    )  # fmt: skip
    add("--junit-xml", metavar="FILE", help="write all results to FILE as JUnit XML, at the end")
