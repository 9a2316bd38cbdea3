"""``spalloc-machine``: list the machines, or show one and the jobs on it.

``spalloc-machine --help`` lists the options and exit codes. Looking keeps no job alive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, connected, run
from spalloc_gevent.scripts.board_survey import BoardSurvey, When
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.machine_views import (
    JOB_COLUMNS,
    MACHINE_COLUMNS,
    MachinesView,
    MachineView,
)
from spalloc_gevent.scripts.presenting import present
from spalloc_gevent.scripts.views import View

if TYPE_CHECKING:
    from spalloc_gevent.config import Config

PROG = "spalloc-machine"

EXIT_CODES = (
    *administration.EXIT_CODES,
    (ExitCode.NO_MACHINE.value, "there is no such machine"),
    (ExitCode.NOT_DRAWN.value, "the file of --svg cannot be written"),
    ENDED_BY_SIGNAL,
)

_NOTES = (
    """\
a machine that is wider than the terminal is cut into parts, one below another;
with --watch it is scrolled instead""",
    output_options.listed(MACHINE_COLUMNS, "the table of machines"),
    output_options.listed(JOB_COLUMNS, "the table of --detailed"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-machine`` with these arguments (None: this process's); the exit code."""
    return run(PROG, lambda: _parse(argv), _show)


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-machine``, whose help tells these defaults."""
    parser = common.new_parser(
        PROG,
        "List the machines, or show the jobs on one of them.",
        notes=_NOTES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("machine", nargs="?", metavar="NAME", help="the machine to show")
    parser.add_argument(
        "--detailed",
        "-d",
        action="store_true",
        help="list the jobs on the machine with their boards and owners",
    )
    survey = parser.add_argument_group(
        "boards that were never there", "where the server does not tell, as the Java server"
    ).add_mutually_exclusive_group()
    survey.add_argument(
        "--resurvey",
        action="store_true",
        help="ask the server again which boards there are, which is known for a week otherwise",
    )
    survey.add_argument(
        "--no-survey",
        action="store_true",
        help="do not ask: they are drawn and counted as if they were there, and numbers of boards "
        "are told as 'up to'",
    )
    output = output_options.add_output_options(parser)
    output_options.add_picture_option(output, "the machine's boards and jobs")
    output_options.add_table_options(output)
    output_options.add_watch_options(output, "the machines")
    common.add_server_options(parser, defaults)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(common.read_defaults(PROG))
    arguments = parser.parse_args(argv)
    output_options.check_output(parser, arguments)
    _check_picture(parser, arguments)
    arguments.view = _view(parser, arguments)
    common.require_hostname(parser, arguments.hostname)
    return arguments


def _check_picture(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    output_options.check_picture(parser, arguments)
    if arguments.svg is not None:
        if arguments.machine is None:
            parser.error("--svg draws one machine: name it")
        if arguments.detailed:
            parser.error("--svg draws one picture: it does not go with --detailed")
        output_options.refuse_table_options(parser, arguments, "--svg draws a picture")


def _survey(arguments: argparse.Namespace) -> BoardSurvey:
    if arguments.no_survey:
        return BoardSurvey(When.NEVER)
    return BoardSurvey(When.ANEW if arguments.resurvey else When.UNKNOWN)


def _view(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> View[Any]:
    if arguments.machine is None:
        if arguments.detailed:
            parser.error("--detailed shows one machine: name it")
        columns = output_options.chosen_columns(parser, arguments, MACHINE_COLUMNS)
        return MachinesView(columns, arguments.sort, _survey(arguments))
    if not arguments.detailed:
        output_options.refuse_table_options(parser, arguments, "add --detailed for one")
    of_jobs = output_options.chosen_columns(parser, arguments, JOB_COLUMNS)
    return MachineView(
        arguments.machine,
        detailed=arguments.detailed,
        columns=of_jobs,
        order=arguments.sort,
        survey=_survey(arguments),
    )


def _show(arguments: argparse.Namespace) -> int:
    if arguments.svg is not None:
        return _draw(arguments)
    return present(PROG, arguments.view, arguments)


def _draw(arguments: argparse.Namespace) -> int:
    # Not needed for a quick look, and that is to be quick.
    from spalloc_gevent.scripts.drawing import draw_machine

    with connected(arguments) as client:
        return draw_machine(PROG, client, arguments.view, arguments)


if __name__ == "__main__":
    sys.exit(main())
