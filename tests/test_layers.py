"""The layers of the package: imports go downwards only, threads and sockets stay in theirs.

The rules are the table LAYERS. Imports count wherever they stand: at the top, in a function,
for type checkers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import spalloc_gevent

PACKAGE = "spalloc_gevent"
ROOT = Path(spalloc_gevent.__file__).parent

MACHINERY = frozenset(
    {
        "_socket",
        "_thread",
        "asyncio",
        "concurrent",
        "gevent",
        "greenlet",
        "multiprocessing",
        "queue",
        "select",
        "selectors",
        "socket",
        "socketserver",
        "ssl",
        "threading",
    }
)
"""Threads, greenlets and sockets."""

RESERVED = MACHINERY | {
    "argparse",
    "importlib",
    "platformdirs",
    "pytest",
    "shtab",
    "tabulate",
    "wcwidth",
}
"""What only the layers may import that say so; with importlib, no import would be seen here."""


@dataclass(frozen=True)
class Layer:
    """Some modules of the package, the layers they may import, and what else they may."""

    name: str
    modules: tuple[str, ...]
    """Patterns of names without the package's; the first layer that fits is a module's own."""
    knows: str
    """Names of the layers that it may import, its own among them if it may."""
    uses: frozenset[str] = frozenset()
    """Those of RESERVED that it may import."""


LAYERS = (
    Layer(
        "base",
        (
            "errors",
            "states",
            "geometry",
            "deadline",
            "not_given",
            "address",
            "config",
            "ledger",
            "_version",
        ),
        "base",
        frozenset({"argparse", "platformdirs"}),
    ),
    Layer("answers", ("wire.answers", "wire.checks", "wire.version"), "wire base"),
    Layer("wire", ("wire", "wire.*"), "wire base"),
    Layer(
        "threads",
        ("transport.native", "transport.waiting", "transport.threads"),
        "threads base",
        MACHINERY,
    ),
    Layer(
        "transport",
        ("transport", "transport.*", "guardian", "guardian.*"),
        "transport threads answers wire base",
        MACHINERY,
    ),
    Layer("client", ("client", "protocol_client"), "client transport threads answers wire base"),
    Layer("job", ("job", "job.*"), "job client transport threads answers wire base"),
    Layer("display", ("display", "display.*"), "display base", frozenset({"tabulate", "wcwidth"})),
    Layer(
        "command_line",
        ("command_line", "command_line.*"),
        "command_line base",
        frozenset({"argparse", "importlib", "shtab"}),
    ),
    Layer(
        "simulator",
        ("simulator", "simulator.*"),
        "simulator command_line answers wire base",
        MACHINERY | {"argparse"},
    ),
    Layer(
        "harnesses",
        ("batch", "batch.*", "pytest_plugin", "pytest_plugin.*"),
        "harnesses job threads simulator base",
        frozenset({"concurrent", "pytest"}),
    ),
    Layer(
        "commands",
        ("scripts", "scripts.*"),
        "commands harnesses job client display command_line answers base",
        frozenset({"argparse", "importlib", "select"}),
    ),
    Layer(
        "package",
        ("", "compat", "compat.*", "__main__"),
        "package commands harnesses simulator job client display command_line answers base",
        frozenset({"argparse", "importlib"}),
    ),
)


def name_of(path: Path) -> str:
    """The module's name without the package's; "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer_of(module: str) -> Layer | None:
    fits = (la for la in LAYERS if any(fnmatchcase(module, pattern) for pattern in la.modules))
    return next(fits, None)


def imports_of(source: str, module: str, is_package: bool = False) -> set[str]:
    """The full names of all modules that `source` imports, those of the package to the last."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module, is_package)
            found.update(_module_of(base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Name) and node.id == "__import__":
            found.add("importlib")
    return found


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = [PACKAGE, *filter(None, module.split("."))]
    above = parts[: len(parts) - node.level + is_package]
    return ".".join([*above, *filter(None, [node.module])])


def _module_of(base: str, name: str) -> str:
    inside = f"{base}.{name}".removeprefix(PACKAGE + ".")
    return f"{base}.{name}" if inside in MODULES and base.split(".")[0] == PACKAGE else base


def inside_of(imported: str) -> str | None:
    """The name within the package, or None for what lies outside."""
    if imported == PACKAGE:
        return ""
    prefix = PACKAGE + "."
    return imported.removeprefix(prefix) if imported.startswith(prefix) else None


def forbidden_imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """What a module imports that its layer may not, and why."""
    layer = layer_of(module)
    assert layer is not None, f"{module!r} belongs to no layer: give it one in LAYERS"
    for imported in sorted(imports_of(source, module, is_package)):
        inside = inside_of(imported)
        if inside is None:
            yield from _forbidden_outside(layer, imported)
        else:
            yield from _forbidden_inside(layer, imported, inside)


def _forbidden_outside(layer: Layer, imported: str) -> Iterator[str]:
    top = imported.split(".")[0]
    known = top in sys.stdlib_module_names or top in RESERVED
    if not known or top in RESERVED - layer.uses:
        yield f"{imported}: not for {layer.name}"


def _forbidden_inside(layer: Layer, imported: str, inside: str) -> Iterator[str]:
    other = layer_of(inside)
    name = "no layer" if other is None else other.name
    if name not in layer.knows.split():
        yield f"{imported}: {layer.name} must not import {name}"


def imports_in(module: str) -> set[str]:
    path = MODULES[module]
    return imports_of(path.read_text("utf-8"), module, path.name == "__init__.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or PACKAGE)
def test_a_module_imports_only_what_its_layer_may(module: str) -> None:
    path = MODULES[module]
    found = forbidden_imports(path.read_text("utf-8"), module, path.name == "__init__.py")
    assert list(found) == []


def test_native_threads_and_locks_come_from_one_module() -> None:
    users = [name for name in MODULES if imports_in(name) & {"threading", "_thread"}]
    assert users == ["transport.native"]


def test_no_two_modules_import_each_other_however_far_around() -> None:
    graph = {
        name: {inside_of(one) for one in imports_in(name)} & set(MODULES) - {name}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' -> '.join(error.args[1])}")


def test_the_table_itself_goes_downwards_only() -> None:
    graph = {layer.name: set(layer.knows.split()) - {layer.name} for layer in LAYERS}
    assert set().union(*graph.values()) <= set(graph)
    TopologicalSorter(graph).prepare()


# -- that the walk sees what there is to see -----------------------------------


@pytest.mark.parametrize("module", ["attic", "protocol_client2", "wires.lines", "errors.more"])
def test_a_module_that_belongs_to_no_layer_is_refused(module: str) -> None:
    with pytest.raises(AssertionError, match="belongs to no layer"):
        list(forbidden_imports("", module))


@pytest.mark.parametrize(
    ("module", "source", "forbidden"),
    [
        ("errors", "import spalloc_gevent.wire.lines", "spalloc_gevent.wire.lines"),
        ("errors", "from spalloc_gevent import wire", "spalloc_gevent.wire"),
        ("errors", "from . import wire", "spalloc_gevent.wire"),
        ("errors", "import spalloc_gevent", "spalloc_gevent"),
        ("wire.lines", "from ..transport import pool", "spalloc_gevent.transport.pool"),
        ("wire.lines", "from ..transport.pool import Pool", "spalloc_gevent.transport.pool"),
        ("wire.lines", "def f():\n    import gevent.event", "gevent.event"),
        ("wire.lines", "import platformdirs", "platformdirs"),
        ("transport.pool", "from spalloc_gevent.job import Job", "spalloc_gevent.job"),
        ("transport.pool", "from spalloc_gevent import Job", "spalloc_gevent"),
        ("transport.pool", "import argparse", "argparse"),
        ("transport.waiting", "from .pool import Pool", "spalloc_gevent.transport.pool"),
        ("guardian.program", "from spalloc_gevent import client", "spalloc_gevent.client"),
        ("config", "import spalloc_gevent.wire.checks", "spalloc_gevent.wire.checks"),
        ("client", "from spalloc_gevent.job import Job", "spalloc_gevent.job"),
        ("client", "import threading", "threading"),
        ("job.job", "from spalloc_gevent.scripts import alloc", "spalloc_gevent.scripts.alloc"),
        ("job.job", "import concurrent.futures", "concurrent.futures"),
        ("batch", "import spalloc_gevent.client", "spalloc_gevent.client"),
        ("batch", "import spalloc_gevent.transport.pool", "spalloc_gevent.transport.pool"),
        ("simulator.jobs", "import spalloc_gevent.job", "spalloc_gevent.job"),
        (
            "display.tables",
            "from spalloc_gevent.wire import answers",
            "spalloc_gevent.wire.answers",
        ),
        (
            "scripts.ps",
            "from spalloc_gevent.transport.poller import Poller",
            "spalloc_gevent.transport.poller",
        ),
        ("scripts.ps", "import spalloc_gevent.wire.messages", "spalloc_gevent.wire.messages"),
        ("scripts.ps", "import gevent", "gevent"),
        ("display.boards", "import spalloc_gevent.attic", "spalloc_gevent.attic"),
        ("display.boards", "from importlib import import_module", "importlib"),
        ("display.boards", '__import__("gevent")', "importlib"),
        ("scripts.ps", "import requests", "requests"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, source: str, forbidden: str) -> None:
    assert [found.split(":")[0] for found in forbidden_imports(source, module)] == [forbidden]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "import json, enum\nfrom spalloc_gevent.states import JobState"),
        ("wire.lines", "from spalloc_gevent import errors\nfrom .quoting import quoted"),
        ("transport.native", "import threading, gevent.event"),
        ("transport.pool", "from ..wire import lines\nfrom .waiting import Waiter"),
        ("config", "import argparse, platformdirs"),
        ("job.job", "from spalloc_gevent.transport import session, waiting"),
        ("simulator.server", "import socket, select\nfrom spalloc_gevent.simulator import jobs"),
        ("batch", "from spalloc_gevent.transport.waiting import Waiter"),
        ("scripts.ps", "import argparse\nfrom spalloc_gevent.display import terminal"),
        ("scripts.ps", "from spalloc_gevent.wire.answers import JobDescription"),
        ("", "from spalloc_gevent.job import Job\nimport importlib"),
    ],
)
def test_what_a_layer_may_import_is_not_forbidden(module: str, source: str) -> None:
    assert list(forbidden_imports(source, module)) == []
