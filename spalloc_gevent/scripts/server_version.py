"""The version of a server for a report of a problem: in a short time, and without any error.

A process of its own asks, since nothing else puts a limit to how long a name is looked up.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from spalloc_gevent.display.terminal import printable

ASK_S = 2.0
"""The longest that all of it is waited for."""

_ROOT = Path(__file__).resolve().parents[2]

_ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from spalloc_gevent.scripts.server_version import print_version
print_version(sys.argv[2], int(sys.argv[3]))
"""


def server_line(arguments: argparse.Namespace) -> str:
    """``server: ...``: its version and address, or why that is not known."""
    hostname: str | None = arguments.hostname
    if not hostname:
        return "server: not configured"
    where = printable(f"{hostname}:{arguments.port}")
    version = _version_of(hostname, arguments.port)
    return f"server: not reached ({where})" if version is None else f"server: {version} ({where})"


def _version_of(hostname: str, port: int) -> str | None:
    command = [sys.executable, "-I", "-S", "-c", _ASK, str(_ROOT), hostname, str(port)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ASK_S,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return printable(done.stdout.decode("utf-8", "replace").strip()) or None


def print_version(hostname: str, port: int) -> None:
    """What the process that asks does; raises whatever keeps it from being answered."""
    from spalloc_gevent.client import ProtocolClient

    with closing(ProtocolClient(hostname, port, call_timeout=ASK_S).open()) as client:
        sys.stdout.buffer.write(client.version().encode("utf-8", "replace"))
