"""Which versions of what the package runs on: what a report of a problem begins with."""

from __future__ import annotations

import platform
from importlib import metadata

from spalloc_gevent._version import __version__

PACKAGES = ("gevent", "greenlet", "platformdirs", "tabulate", "wcwidth")


def version_lines(name: str) -> list[str]:
    """``NAME VERSION``, then a line for each thing below it."""
    python = f"Python: {platform.python_version()} ({platform.python_implementation()})"
    return [
        f"{name} {__version__}",
        f"{python} on {platform.platform()}",
        *(f"{package}: {_version_of(package)}" for package in PACKAGES),
    ]


def _version_of(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
