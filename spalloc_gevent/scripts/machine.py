"""``spalloc-machine``: list the machines, or show one and the jobs on it.

``spalloc-machine --help`` lists the options and exit codes. Looking keeps no job alive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, connected, present
from spalloc_gevent.scripts.board_survey import BoardSurvey, When
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.machine_views import (
    JOB_COLUMNS,
    MACHINE_COLUMNS,
    MachinesView,
    MachineView,
)

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
    return administration.run(make_parser, show_machines, PROG, argv)


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


def show_machines(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Show or draw what is asked for; the exit code."""
    name, detailed = arguments.machine, arguments.detailed
    output_options.check_picture(parser, arguments)
    if arguments.svg is not None:
        if name is None:
            parser.error("--svg draws one machine: name it")
        if detailed:
            parser.error("--svg draws one picture: it does not go with --detailed")
        output_options.refuse_table_options(parser, arguments, "--svg draws a picture")
    if name is None and detailed:
        parser.error("--detailed shows one machine: name it")
    if name is not None and not detailed:
        output_options.refuse_table_options(parser, arguments, "add --detailed for one")
    known = When.ANEW if arguments.resurvey else When.UNKNOWN
    survey = BoardSurvey(When.NEVER if arguments.no_survey else known)
    if name is None:
        chosen = output_options.chosen_columns(parser, arguments, MACHINE_COLUMNS)
        common.require_hostname(parser, arguments)
        return present(MachinesView(chosen, arguments.sort, survey), arguments)
    columns = output_options.chosen_columns(parser, arguments, JOB_COLUMNS)
    common.require_hostname(parser, arguments)
    view = MachineView(
        name, detailed=detailed, columns=columns, order=arguments.sort, survey=survey
    )
    if arguments.svg is None:
        return present(view, arguments)
    # Not needed for a quick look, and that is to be quick.
    from spalloc_gevent.scripts.drawing import draw_machine

    with connected(arguments) as client:
        return draw_machine(client, view, arguments)


if __name__ == "__main__":
    sys.exit(main())
