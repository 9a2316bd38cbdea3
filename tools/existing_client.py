"""The existing client, PyPI's ``spalloc``, in an environment of its own, to compare with.

It understands only servers that report a version without an epoch, such as 5.0.0.
Standard library only.
"""

from __future__ import annotations

from pathlib import Path

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
