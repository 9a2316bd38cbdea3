"""``python -m spalloc_gevent versions``: the versions with which a report of a problem begins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.administration import show
from spalloc_gevent.scripts.server_version import server_line

if TYPE_CHECKING:
    from spalloc_gevent.config import Config

PROG = "python -m spalloc_gevent versions"

EXIT_CODES = (
    (0, "shown"),
    (2, "the command line is wrong, or a file or variable cannot be understood"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Show the versions with these arguments (None: this process's); the exit code."""
    return common.run(lambda: _show(argv), prog=PROG)


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of the command, whose help tells these defaults."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Show the versions of this package, of what it runs on, and of the server.",
        epilog=described("exit codes", EXIT_CODES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.add_address_options(parser.add_argument_group("spalloc server arguments"), defaults)
    return parser


def _show(argv: Sequence[str] | None) -> int:
    # Where commands begin, versions of packages are not known while modules are imported.
    from spalloc_gevent.command_line.versions import version_lines

    arguments = make_parser(common.read_defaults(PROG)).parse_args(argv)
    show("\n".join([*version_lines("spalloc_gevent"), server_line(arguments)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
