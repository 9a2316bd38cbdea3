"""The rooms of the house, kept apart: imports point downwards only, and machinery stays inside.

The rules are the table ROOMS; what a module may break for now is the table EXEMPT, which only
shrinks. Imports count wherever they stand: at the top, in a function, for type checkers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
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

RESERVED = MACHINERY | {"argparse", "importlib", "platformdirs", "pytest", "shtab", "tabulate"}
"""What only the rooms may import that say so; with importlib, no import would be seen here."""


@dataclass(frozen=True)
class Room:
    """Some modules of the package, the rooms they may know, and what else they may import."""

    name: str
    modules: tuple[str, ...]
    """Patterns of names without the package's; the first room that fits is a module's own."""
    knows: str
    """Names of the rooms that it may import, its own among them if it may."""
    uses: frozenset[str] = frozenset()
    """Those of RESERVED that it may import."""


ROOMS = (
    Room("bottom", ("errors", "states", "geometry", "deadline", "_version"), "bottom"),
    Room("wire's_words", ("wire.answers", "wire.checks", "wire.version"), "wire bottom"),
    Room("wire", ("wire", "wire.*"), "wire bottom"),
    Room("plain", ("engine.plain",), "wire bottom", frozenset({"socket"})),
    Room(
        "waiting",
        ("engine.homing", "engine.mailbox", "engine.pausing", "engine.workers"),
        "waiting engine bottom",
        MACHINERY,
    ),
    Room("engine", ("engine", "engine.*"), "engine guardian's_words wire bottom", MACHINERY),
    Room("guardian's_words", ("guardian.guarded_jobs",), "wire bottom"),
    Room(
        "guardian",
        ("guardian", "guardian.*"),
        "guardian guardian's_words plain wire bottom",
        frozenset({"select"}),
    ),
    Room("ledger", ("ledger",), "bottom"),
    Room("config", ("config",), "bottom", frozenset({"argparse", "platformdirs"})),
    Room("commands", ("server_commands",), "wire bottom"),
    Room("client", ("protocol_client", "plain_client"), "commands engine wire bottom"),
    Room("job", ("job", "job.*"), "job ledger client commands config engine wire bottom"),
    Room("batch", ("batch", "batch.*"), "batch job waiting bottom", frozenset({"concurrent"})),
    Room(
        "command_line",
        ("command_line", "command_line.*"),
        "command_line bottom",
        frozenset({"argparse", "importlib", "shtab"}),
    ),
    Room("display", ("display", "display.*"), "display bottom", frozenset({"tabulate"})),
    Room("simulator's_sockets", ("simulator.server",), "simulator wire bottom", MACHINERY),
    Room(
        "simulator's_command",
        ("simulator.__main__",),
        "simulator command_line wire bottom",
        frozenset({"argparse"}),
    ),
    Room("simulator", ("simulator", "simulator.*"), "simulator wire bottom"),
    Room("boot", ("scripts.boot",), "bottom", frozenset({"importlib"})),
    Room(
        "scripts",
        ("scripts", "scripts.*"),
        "scripts batch job ledger client commands config wire's_words display command_line bottom",
        frozenset({"argparse"}),
    ),
    Room(
        "pytest_plugin",
        ("pytest_plugin", "pytest_plugin.*"),
        "pytest_plugin batch job simulator bottom",
        frozenset({"pytest"}),
    ),
    Room(
        "package",
        ("", "compat", "entry", "__main__"),
        "package scripts simulator batch job client config display bottom",
        frozenset({"importlib"}),
    ),
)

KIN = {
    # The shapes of answers and the limits of requests: what is said, not how it is sent.
    "wire's_words": "wire",
    "simulator's_sockets": "simulator",
    "simulator's_command": "simulator",
    "boot": "scripts",
    "plain": "engine",
    "waiting": "engine",
    "guardian's_words": "guardian",
}
"""Corners of rooms, with leave of their own or known to more: who knows the room knows them."""

EXEMPT: Mapping[str, frozenset[str]] = {
    # Waits for a key or a signal at the prompt: no server's socket.
    "scripts.signals": frozenset({"select"}),
}


def name_of(path: Path) -> str:
    """The module's name without the package's; "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module: str) -> Room | None:
    return next(
        (r for r in ROOMS if any(fnmatchcase(module, pattern) for pattern in r.modules)), None
    )


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


def trespasses(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """What a module imports without its room's leave, and why it may not."""
    room = room_of(module)
    assert room is not None, f"{module!r} belongs to no room of the house: give it one in ROOMS"
    for imported in sorted(imports_of(source, module, is_package)):
        inside = inside_of(imported)
        if inside is None:
            yield from _outside_trespass(room, imported)
        else:
            yield from _inside_trespass(room, imported, inside)


def _outside_trespass(room: Room, imported: str) -> Iterator[str]:
    top = imported.split(".")[0]
    known = top in sys.stdlib_module_names or top in RESERVED
    if not known or top in RESERVED - room.uses:
        yield f"{imported}: not for {room.name}"


def _inside_trespass(room: Room, imported: str, inside: str) -> Iterator[str]:
    other = room_of(inside)
    names = {"no room"} if other is None else {other.name, KIN.get(other.name, other.name)}
    if not names & set(room.knows.split()):
        yield f"{imported}: {room.name} must not know {' or '.join(sorted(names))}"


def imports_in(module: str) -> set[str]:
    path = MODULES[module]
    return imports_of(path.read_text("utf-8"), module, path.name == "__init__.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or PACKAGE)
def test_a_module_imports_only_what_its_room_may_know(module: str) -> None:
    path = MODULES[module]
    exempt = EXEMPT.get(module, frozenset())
    found = trespasses(path.read_text("utf-8"), module, path.name == "__init__.py")
    assert [one for one in found if one.split(":")[0] not in exempt] == []


@pytest.mark.parametrize("module", EXEMPT)
def test_an_exemption_that_nobody_needs_any_more_is_dropped(module: str) -> None:
    found = trespasses(MODULES[module].read_text("utf-8"), module)
    assert {one.split(":")[0] for one in found} == EXEMPT[module]


def test_native_threads_and_locks_come_from_one_module() -> None:
    users = [name for name in MODULES if imports_in(name) & {"threading", "_thread"}]
    assert users == ["engine.native"]


def test_no_two_modules_import_each_other_however_far_around() -> None:
    graph = {
        name: {inside_of(one) for one in imports_in(name)} & set(MODULES) - {name}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' -> '.join(error.args[1])}")


def test_the_table_itself_points_downwards_only() -> None:
    graph = {room.name: set(room.knows.split()) - {room.name} for room in ROOMS}
    assert set().union(*graph.values()) <= set(graph)
    TopologicalSorter(graph).prepare()


# -- that the walk sees what there is to see -----------------------------------


@pytest.mark.parametrize("module", ["attic", "protocol_client2", "wires.lines", "errors.more"])
def test_a_module_that_belongs_to_no_room_is_refused(module: str) -> None:
    with pytest.raises(AssertionError, match="belongs to no room"):
        list(trespasses("", module))


@pytest.mark.parametrize(
    ("module", "source", "trespass"),
    [
        ("errors", "import spalloc_gevent.wire.lines", "spalloc_gevent.wire.lines"),
        ("errors", "from spalloc_gevent import wire", "spalloc_gevent.wire"),
        ("errors", "from . import wire", "spalloc_gevent.wire"),
        ("errors", "import platformdirs", "platformdirs"),
        ("errors", "import spalloc_gevent", "spalloc_gevent"),
        ("wire.lines", "from ..engine import hub", "spalloc_gevent.engine.hub"),
        ("wire.lines", "from ..engine.hub import Hub", "spalloc_gevent.engine.hub"),
        ("wire.lines", "def f():\n    import gevent.event", "gevent.event"),
        ("engine.hub", "from spalloc_gevent.job import Job", "spalloc_gevent.job"),
        ("engine.hub", "from spalloc_gevent import Job", "spalloc_gevent"),
        ("engine.hub", "import argparse", "argparse"),
        ("config", "import spalloc_gevent.wire.checks", "spalloc_gevent.wire.checks"),
        ("protocol_client", "from spalloc_gevent.config import x", "spalloc_gevent.config"),
        ("protocol_client", "import threading", "threading"),
        ("job.job", "from spalloc_gevent.scripts import alloc", "spalloc_gevent.scripts.alloc"),
        ("job.job", "import concurrent.futures", "concurrent.futures"),
        ("batch", "import spalloc_gevent.protocol_client", "spalloc_gevent.protocol_client"),
        ("simulator.jobs", "import spalloc_gevent.job", "spalloc_gevent.job"),
        ("simulator.jobs", "import socket", "socket"),
        ("simulator.server", "import argparse", "argparse"),
        ("simulator.__main__", "import gevent", "gevent"),
        ("display.tables", "import spalloc_gevent.config", "spalloc_gevent.config"),
        (
            "display.tables",
            "from spalloc_gevent.wire import answers",
            "spalloc_gevent.wire.answers",
        ),
        ("scripts.ps", "from spalloc_gevent.engine.hub import Hub", "spalloc_gevent.engine.hub"),
        ("scripts.ps", "import spalloc_gevent.wire.messages", "spalloc_gevent.wire.messages"),
        ("display.boards", "import spalloc_gevent.attic", "spalloc_gevent.attic"),
        ("scripts.ps", "from importlib import import_module", "importlib"),
        ("scripts.ps", '__import__("gevent")', "importlib"),
        ("scripts.ps", "import requests", "requests"),
    ],
)
def test_a_trespass_is_seen(module: str, source: str, trespass: str) -> None:
    assert [found.split(":")[0] for found in trespasses(source, module)] == [trespass]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "import json, enum\nfrom spalloc_gevent.states import JobState"),
        ("wire.lines", "from spalloc_gevent import errors\nfrom .quoting import quoted"),
        ("engine.native", "import threading, gevent.event\nfrom ..wire import lines"),
        ("config", "import argparse, platformdirs"),
        ("job.job", "from spalloc_gevent.engine import hub, call"),
        ("simulator.server", "import socket, select\nfrom spalloc_gevent.simulator import jobs"),
        ("simulator.__main__", "from spalloc_gevent.simulator.server import SimulatedServer"),
        ("scripts.ps", "import argparse\nfrom spalloc_gevent.display import terminal"),
        ("scripts.alloc", "from spalloc_gevent.scripts.boot import RigBoot"),
        ("scripts.ps", "from spalloc_gevent.wire.answers import JobDescription"),
        ("", "from spalloc_gevent.job import Job\nimport importlib"),
    ],
)
def test_what_a_room_may_know_is_no_trespass(module: str, source: str) -> None:
    assert list(trespasses(source, module)) == []
