"""``python -m spalloc_gevent versions``: the versions with which a report of a problem begins."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from spalloc_gevent._version import __version__
from spalloc_gevent.address import bracketed
from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.display.terminal import printable, write
from spalloc_gevent.scripts import common

if TYPE_CHECKING:
    from spalloc_gevent.config import Config

PROG = "python -m spalloc_gevent versions"

EXIT_CODES = (
    (0, "shown"),
    (2, "the command line is wrong, or a file or variable cannot be understood"),
)

PACKAGES = ("gevent", "greenlet", "platformdirs", "tabulate", "wcwidth")

ASK_S = 2.0
"""The longest that a server is waited for."""

# What the process that asks does; whatever keeps it from an answer ends it.
_ASK = """
import sys
from contextlib import closing
sys.path.insert(0, sys.argv[1])
from spalloc_gevent.client import ProtocolClient
client = ProtocolClient(sys.argv[2], int(sys.argv[3]), call_timeout=float(sys.argv[4]))
with closing(client.open()):
    sys.stdout.buffer.write(client.version().encode("utf-8", "replace"))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Show the versions with these arguments (None: this process's); the exit code."""

    def show() -> int:
        parser = make_parser(common.read_defaults(PROG))
        arguments = parser.parse_args(argv)
        if arguments.hostname:
            common.require_hostname(parser, arguments)
        lines = [*version_lines(), server_line(arguments.hostname, arguments.port)]
        write(sys.stdout, "\n".join(lines) + "\n")
        return 0

    return common.run(show, prog=PROG)


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


def version_lines() -> list[str]:
    """The versions of this package and of what it runs on, one a line."""
    python = f"Python: {platform.python_version()} ({platform.python_implementation()})"
    lines = [f"spalloc_gevent {__version__}", f"{python} on {platform.platform()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package}: {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package}: not installed")
    return lines


def server_line(hostname: str | None, port: int) -> str:
    """``server: ...``: its version and address, or why that is not known; never an error.

    A process of its own asks, since nothing else limits how long a name is looked up.
    """
    if not hostname:
        return "server: not configured"
    where = printable(f"{bracketed(hostname)}:{port}")
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-I", "-S", "-c", _ASK, root, hostname, str(port), str(ASK_S)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_S, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return f"server: not reached ({where})"
    version = printable(done.stdout.decode("utf-8", "replace").strip())
    return f"server: {version} ({where})" if version else f"server: not reached ({where})"


if __name__ == "__main__":
    sys.exit(main())
