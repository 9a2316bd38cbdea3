"""Where the installed commands begin: each imports its own module only."""

from __future__ import annotations

import importlib
from collections.abc import Sequence


def run(module: str, argv: Sequence[str] | None = None) -> int:
    """Run ``main(argv)`` of a module of this package.

    Args:
        module: its name without the package's.
        argv: the arguments; None for this process's own.

    Returns:
        The exit code.
    """
    code: int = importlib.import_module(f"spalloc_gevent.{module}").main(argv)
    return code


def alloc() -> int:
    return run("scripts.alloc")


def batch() -> int:
    return run("scripts.batch")


def ps() -> int:
    return run("scripts.ps")


def job() -> int:
    return run("scripts.job")


def machine() -> int:
    return run("scripts.machine")


def where_is() -> int:
    return run("scripts.where_is")


def simulator() -> int:
    return run("simulator.__main__")
