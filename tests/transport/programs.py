"""Whole programs that use the package, and what they say."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
PROMPT_S = 60.0

PREAMBLE = """
import sys
HOST, PORT = sys.argv[1], int(sys.argv[2])
from spalloc_gevent import Job, JobState, ProtocolClient

def new_job(*size, **options):
    options = {"owner": "me", "config_filenames": [], **options}
    return Job(*size, hostname=HOST, port=PORT, **options)

def new_client():
    return ProtocolClient(HOST, PORT).open()
"""

STRICT = (
    *("-W", "error::ResourceWarning"),
    # From 3.12 on Python warns of forking beside threads, whoever made them.
    *("-W", "ignore:This process:DeprecationWarning"),
)
"""Options of Python for a program that leaves nothing open, and may fork."""

PATCHED = {
    "never": ("", ""),
    "before the import": ("from gevent import monkey; monkey.patch_all()", ""),
    "after the import": ("", "from gevent import monkey; monkey.patch_all()"),
}


class Where(Protocol):
    """Where a server listens."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def run(server: Where, script: str, *, first: str = "") -> str:
    """What the program said; it must end promptly, well, and with nothing on stderr."""
    program = "\n".join((first, PREAMBLE, textwrap.dedent(script)))
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", program, server.host, str(server.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PROMPT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
