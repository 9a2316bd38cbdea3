"""CONTRIBUTING.rst tells the truth: about its paths, its commands, and who may import whom."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from tests.test_layers import LAYERS, PACKAGE, Layer
from tools import environments

ROOT = environments.ROOT
TEXT = (ROOT / "CONTRIBUTING.rst").read_text("utf-8")

MADE_BY_TOOLS = {".envs", "dist"}
"""Folders that are named, and are not there before a tool makes them."""

_FOLDERS = "benchmarks|docs|spalloc_gevent|tests|tools"


def paths() -> set[str]:
    """Whatever in the text looks like a path of the checkout."""
    inline = re.findall(r"``([^` ]*)``", TEXT)
    named = {word for word in inline if re.match(rf"({_FOLDERS})(/|$)", word)}
    files = {word for word in inline if re.fullmatch(r"[\w.]+\.(rst|cfg|toml|py)", word)}
    in_commands = set(re.findall(rf"(?<![\w/])((?:{_FOLDERS})/[\w./-]*\w)", TEXT))
    return named | files | in_commands


def tools() -> dict[str, set[str]]:
    """Each tool that is called, and all options that it is called with."""
    called: dict[str, set[str]] = {}
    for tool, rest in re.findall(r"python3 (tools/\w+\.py)([^`\n#]*)", TEXT):
        called.setdefault(tool, set()).update(re.findall(r"--[a-z-]+", rest))
    return called


def test_every_path_is_there() -> None:
    found = paths()
    assert {"setup.cfg", "tests/unit", "spalloc_gevent/wire/commands.py"} <= found
    assert {path for path in found if not (ROOT / path).exists()} <= {*MADE_BY_TOOLS}


@pytest.mark.parametrize("tool", sorted(tools()))
def test_every_tool_takes_the_options_that_it_is_called_with(tool: str) -> None:
    assert (ROOT / tool).is_file()
    if tool == "tools/test.py":
        assert tools()[tool] == {"--server"}, "its arguments are pytest's, and of tests/contract"
        return
    command = [sys.executable, str(ROOT / tool), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert {option for option in tools()[tool] if option not in done.stdout} == set()


def test_environments_that_are_named_can_be_made() -> None:
    named = set(re.findall(r"tools/environments\.py (\S+?)[`)\s]", TEXT))
    assert named == {"project", "packaging"}
    assert named <= set(environments.RECIPES)


def test_what_the_release_is_said_to_need_is_there() -> None:
    assert "(unreleased)" in TEXT
    assert any("twine" in wish for wish in environments.RECIPES["packaging"].requirements)


# ------------------------------------------------------------------ the layers


def rows() -> Iterator[list[set[str]]]:
    """The names in each cell of the table of layers, row by row."""
    (table,) = publish_doctree(TEXT, settings_overrides={"report_level": 5}).findall(nodes.table)
    for row in list(table.findall(nodes.row))[1:]:
        yield [{name.astext() for name in cell.findall(nodes.literal)} for cell in row.children]


def modules_of(layer: Layer) -> set[str]:
    return {module or PACKAGE for module in layer.modules}


def test_the_table_of_layers_is_that_of_the_test_of_layers() -> None:
    told = [(name, modules, knows) for name, modules, knows, _ in rows()]
    assert told == [({layer.name}, modules_of(layer), set(layer.knows.split())) for layer in LAYERS]


def test_every_layer_says_what_it_is() -> None:
    (table,) = publish_doctree(TEXT, settings_overrides={"report_level": 5}).findall(nodes.table)
    reasons = [row.children[3].astext() for row in list(table.findall(nodes.row))[1:]]
    assert all(reason.endswith(".") for reason in reasons)


def test_the_text_is_well_formed() -> None:
    publish_doctree(TEXT, settings_overrides={"halt_level": 2, "report_level": 2})
