"""``--version`` and ``--print-completion``, which every command has.

Both are done while the command line is read, so that they work whatever else is missing from it.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from spalloc_gevent._version import __version__

SHELLS = ("bash", "zsh")

EXIT_UNUSABLE = 2


def add_standard_options(parser: argparse.ArgumentParser) -> None:
    """Add the two."""
    parser.add_argument(
        "--version",
        "-V",
        action=_ShowVersion,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show the version of this command",
    )
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        default=argparse.SUPPRESS,
        action=_PrintCompletion,
        help="print a script that teaches this shell to complete the command line",
    )


class _ShowVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        _end_with(f"{parser.prog} {__version__}")


class _PrintCompletion(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> NoReturn:
        from spalloc_gevent.command_line.completion import NoShtabError, completion_script

        try:
            script = completion_script(parser, values)
        except NoShtabError as error:
            parser.exit(EXIT_UNUSABLE, f"{parser.prog}: error: {error}\n")
        _end_with(script)


def _end_with(text: str) -> NoReturn:
    # Not by way of argparse, which passes over what cannot be written.
    print(text, flush=True)
    sys.exit(0)
