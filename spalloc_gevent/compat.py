"""Makes scripts that import the existing client run on this one, where they ask for it."""

from __future__ import annotations

import importlib
import sys

_ALIASES = ("spalloc_client", "spalloc")
_MODULES = (
    "job",
    "states",
    "protocol_client",
    "config",
    "scripts",
    "scripts.alloc",
    "scripts.ps",
    "scripts.job",
    "scripts.machine",
    "scripts.where_is",
)


def install_as_spalloc() -> None:
    """Make ``import spalloc_client`` and ``import spalloc`` mean this package.

    Opt-in, for this interpreter only, and idempotent. Raises RuntimeError if
    the existing client has been imported already: its classes are in use then.
    """
    package = importlib.import_module("spalloc_gevent")
    for alias in _ALIASES:
        if sys.modules.get(alias, package) is not package:
            raise RuntimeError(f"{alias} has been imported already: call this before it is")
    modules = {name: importlib.import_module(f"spalloc_gevent.{name}") for name in _MODULES}
    for alias in _ALIASES:
        sys.modules[alias] = package
        sys.modules.update({f"{alias}.{name}": module for name, module in modules.items()})
