"""Programs that import the existing client run on this one, unchanged, where one asks for it.

``python -m spalloc_gevent.compat PROGRAM``, ``pytest -p spalloc_gevent.compat``, or
:func:`install_as_spalloc` in the program itself.
"""

from __future__ import annotations

import importlib
import os
import sys

_ALIASES = ("spalloc_client", "spalloc")

# All modules that it has in 1!7.0.0 and in 1!7.4.1, but for those that are its own affair (_utils).
_MODULES = {
    "_version": "_version",
    "config": "config",
    "job": "job",
    "protocol_client": "protocol_client",
    "spalloc_config": "compat.spalloc_config",
    "states": "states",
    "term": "compat.term",
    "scripts": "scripts",
    "scripts.alloc": "scripts.alloc",
    "scripts.job": "scripts.job",
    "scripts.machine": "scripts.machine",
    "scripts.ps": "scripts.ps",
    "scripts.support": "compat.support",
    "scripts.where_is": "scripts.where_is",
}
"""What its modules are called, and where this package has the same names."""


def install_as_spalloc() -> None:
    """Make ``import spalloc_client`` and ``import spalloc`` mean this package.

    Opt-in, for this interpreter and its forked children only, and idempotent. Raises RuntimeError
    if the existing client has been imported already: its classes are in use then.
    """
    package = importlib.import_module("spalloc_gevent")
    for alias in _ALIASES:
        if sys.modules.get(alias, package) is not package:
            raise RuntimeError(f"{alias} has been imported already: call this before it is")
    for alias in _ALIASES:
        sys.modules[alias] = package
    for name, home in _MODULES.items():
        module = importlib.import_module(f"spalloc_gevent.{home}")
        above, _, last = name.rpartition(".")
        setattr(sys.modules[f"spalloc.{above}".rstrip(".")], last, module)
        sys.modules.update({f"{alias}.{name}": module for alias in _ALIASES})


def pytest_plugin_registered(plugin: object) -> None:
    """Make the tests' ``import spalloc_client`` mean this package: pytest calls this, once told -p.

    The workers of pytest-xdist read ``conftest.py`` before they look at ``-p``, but not before the
    environment variable.
    """
    if plugin is not sys.modules[__name__]:
        return
    install_as_spalloc()
    plugins = os.environ.get("PYTEST_PLUGINS", "")
    if __name__ not in plugins.split(","):
        os.environ["PYTEST_PLUGINS"] = ",".join(filter(None, [plugins, __name__]))
