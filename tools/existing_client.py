"""The existing client, PyPI's ``spalloc``, in an environment of its own, to compare with.

``python3 tools/existing_client.py spalloc-ps --hostname 127.0.0.1`` runs one of its commands.
It understands only servers that report a version without an epoch, such as 5.0.0.
Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import environments

SCRIPTS = ("spalloc", "spalloc-job", "spalloc-machine", "spalloc-ps", "spalloc-where-is")
UNDERSTOOD_VERSION = "5.0.0"
"""A version to have a server report, so that the existing client agrees to talk to it."""


def python() -> Path:
    """The interpreter in which ``import spalloc_client`` gives the existing client."""
    return environments.python_of("existing-client")


def command(script: str, *arguments: str) -> list[str]:
    """The argument vector that runs one of SCRIPTS; ValueError for any other name."""
    if script not in SCRIPTS:
        raise ValueError(f"the existing client has no {script!r}, only {', '.join(SCRIPTS)}")
    interpreter = python()
    return [str(interpreter), str(interpreter.parent / script), *arguments]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] not in SCRIPTS:
        print(f"usage: existing_client.py {{{'|'.join(SCRIPTS)}}} ...", file=sys.stderr)
        return 2
    try:
        vector = command(*arguments)
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    return os.execv(vector[0], vector)  # this process becomes the client's


if __name__ == "__main__":
    sys.exit(main())
