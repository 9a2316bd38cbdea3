"""What the four administrative commands share: running one, its server, and showing a view."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from spalloc_gevent.address import bracketed
from spalloc_gevent.display.terminal import Colour
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.common import INTERRUPTED, ExitCode
from spalloc_gevent.scripts.output_options import check_output
from spalloc_gevent.scripts.views import View, show_once
from spalloc_gevent.wire.version import check_version

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.config import Config

Data = TypeVar("Data")

EXIT_CODES = (
    (ExitCode.OK.value, "done"),
    (ExitCode.SERVER_TROUBLE.value, "the server cannot be reached, or reports an error"),
    (ExitCode.USAGE.value, "wrong usage, or a server of a version that will not do"),
)
"""What every administrative command may end with, for its --help."""

ENDED_BY_SIGNAL = (
    "128 + n",
    "ended by signal n (Ctrl+C: 130; 141 if the reader of its output has gone)",
)
"""The last line of that list."""


def run(
    make_parser: Callable[[Config], argparse.ArgumentParser],
    act: Callable[[argparse.ArgumentParser, argparse.Namespace], int],
    prog: str,
    argv: Sequence[str] | None,
) -> int:
    """Run a command: read the configuration and the command line, and act on them.

    Args:
        make_parser: makes the command's parser, whose help tells the defaults.
        act: does what the arguments say; returns the exit code. They have ``prog`` and
            ``colour`` (a :class:`Colour`) besides what the parser sets.
        prog: the command's name.
        argv: the arguments; None for this process's own.

    Returns:
        The exit code, after one line about an error if there was one.
    """

    def command() -> int:
        parser = make_parser(common.read_defaults(prog))
        arguments = parser.parse_args(argv)
        check_output(parser, arguments)
        arguments.prog, arguments.colour = prog, Colour(arguments.color)
        code = common.run(lambda: act(parser, arguments), prog=prog, colour=arguments.colour)
        # However early it comes: whoever watches leaves by Ctrl+C.
        is_left = code == INTERRUPTED and getattr(arguments, "watch", False)
        return ExitCode.OK if is_left else code

    return common.run(command, prog=prog)


@contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[ProtocolClient]:
    """A client of the server that the arguments name; what it logs is not shown.

    Raises IncompatibleServerError for a version that will not do, and whatever a call may raise.
    """
    # Not needed for --help.
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.scripts import logs

    hostname, port = arguments.hostname, arguments.port
    client = ProtocolClient(hostname, port, call_timeout=arguments.timeout).open()
    with logs.nothing_shown(), closing(client):
        if not arguments.ignore_version:
            check_version(client.version(), f"the server at {bracketed(hostname)}:{port}")
        yield client


def present(view: View[Data], options: argparse.Namespace) -> int:
    """Show what the server has, once or for as long as somebody watches; the exit code."""
    with connected(options) as client:
        if not getattr(options, "watch", False):
            return show_once(client, view, options)
        # Not needed for a quick look, and that is to be quick.
        from spalloc_gevent.scripts.watching import watch

        return watch(client, view, options)
