"""``--version`` and ``--print-completion``, which every command has.

Both are done while the command line is read, so that they work whatever else is missing from it.
What they need is imported when they are used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

SHELLS = ("bash", "zsh")

EXIT_UNUSABLE = 2

ServerLine = Callable[[argparse.Namespace], str]
"""What is told of the server that a command line, as far as it has been read, names."""


def add_standard_options(
    parser: argparse.ArgumentParser, server_line: ServerLine | None = None
) -> None:
    """Add the two; server_line: the last line of --version, None for a command without a server."""
    parser.add_argument(
        "--version",
        "-V",
        action=_ShowVersions,
        server_line=server_line,
        default=argparse.SUPPRESS,
        help="show the versions of this command and of what it runs on"
        + (", and of the server named before it" if server_line else ""),
    )
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        default=argparse.SUPPRESS,
        action=_PrintCompletion,
        help="print a script that teaches this shell to complete the command line",
    )


class _ShowVersions(argparse.Action):
    def __init__(
        self, option_strings: Sequence[str], dest: str, server_line: ServerLine | None, **rest: Any
    ) -> None:
        super().__init__(option_strings, dest, nargs=0, **rest)
        self._server_line = server_line

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any
    ) -> NoReturn:
        from spalloc_gevent.command_line.versions import version_lines

        lines = version_lines(parser.prog)
        if self._server_line is not None:
            lines.append(self._server_line(namespace))
        _end_with("\n".join(lines))


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
