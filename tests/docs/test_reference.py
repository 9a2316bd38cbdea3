"""The reference has all that the source has: public names, options, environment variables."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import spalloc_gevent
from docs._ext.command_pages import table_named
from spalloc_gevent import config, errors
from spalloc_gevent.config import OPTIONS
from spalloc_gevent.scripts.batch.cases import CASE_VARIABLE
from spalloc_gevent.scripts.substitution import VARIABLES
from tests.docs.conftest import Built
from tests.transport.programs import ROOT

PACKAGE = Path(spalloc_gevent.__file__).parent
REFERENCE = ROOT / "docs" / "reference"
SOURCES = {path: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}

# -- the API --------------------------------------------------------------------

_DIRECTIVE = re.compile(r"^\.\. auto(\w+):: ([\w.]+)(?:\(.*)?\n((?: +:.*\n)*)", re.MULTILINE)


def thing_called(name: str) -> Any:
    """The object with this full name."""
    parts = name.split(".")
    for number in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:number]))
        except ModuleNotFoundError:
            continue
        for part in parts[number:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"no module for {name}")


def told_names(html: Built) -> dict[str, str]:
    """What all that the pages describe is, by full name, from the inventory that Sphinx makes."""
    packed = html.folder.joinpath("objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode().splitlines()
    told = {name: kind for name, kind, *_ in map(str.split, lines) if kind.startswith("py:")}
    return {name: kind for name, kind in told.items() if name.startswith(spalloc_gevent.__name__)}


def public_names(module: ModuleType) -> list[str]:
    """What a module says is public; without saying so, the classes that it makes."""
    made = [name for name, one in vars(module).items() if is_made_in(module, one)]
    return list(getattr(module, "__all__", made))


def is_made_in(module: ModuleType, thing: object) -> bool:
    return inspect.isclass(thing) and thing.__module__ == module.__name__


def public_modules() -> list[str]:
    """The modules that say what is public in them, and that of the errors."""
    saying = [path for path, source in SOURCES.items() if "\n__all__ = " in source]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in saying]
    return [name.removesuffix(".__init__") for name in names] + [errors.__name__]


@pytest.mark.parametrize("module", public_modules())
def test_every_public_name_is_in_the_reference(html: Built, module: str) -> None:
    told = told_names(html)
    # A class or function may be told of where it comes from.
    kinds = ("py:class", "py:exception", "py:function")
    things = [thing_called(name) for name, kind in told.items() if kind in kinds]
    names = public_names(importlib.import_module(module))
    assert names
    untold = [name for name in names if f"{module}.{name}" not in told]
    assert [name for name in untold if thing_called(f"{module}.{name}") not in things] == []


def test_the_fixtures_are_in_the_reference(html: Built) -> None:
    plugin = f"{spalloc_gevent.__name__}.pytest_plugin"
    assert {f"{plugin}.spalloc_job", f"{plugin}.spalloc_session_job"} <= set(told_names(html))


def test_all_that_should_say_what_is_public_in_them_do() -> None:
    expected = {"", ".batch", ".config", ".errors", ".geometry", ".job", ".ledger"}
    expected |= {".protocol_client", ".simulator"}
    assert {f"spalloc_gevent{name}" for name in expected} <= set(public_modules())


def test_every_documented_member_has_a_docstring() -> None:
    bare = []
    pages = sorted((REFERENCE / "api").glob("*.rst"))
    api = "".join(page.read_text("utf-8") for page in pages)
    for kind, name, options in _DIRECTIVE.findall(api):
        thing = thing_called(name)
        if kind == "class" and ":members:\n" in options:
            excluded = set(re.findall(r"\w+", options.partition(":exclude-members:")[2]))
            bare += [f"{name}.{member}" for member in bare_members(thing) if member not in excluded]
    assert bare == []


def bare_members(kind: type) -> list[str]:
    members = {name: one for name, one in vars(kind).items() if not name.startswith("_")}
    code = {n: o for n, o in members.items() if inspect.isfunction(o) or isinstance(o, property)}
    return [name for name, one in code.items() if not inspect.getdoc(one)]


def test_the_tree_of_errors_is_that_of_the_source() -> None:
    page = (REFERENCE / "api" / "errors.rst").read_text("utf-8")
    line = re.compile(r"^    ((?:  )*)(\w+Error|\w+Exception)(?: +\(and (\w+)\))?$", re.MULTILINE)
    told: dict[str, set[str]] = {}
    above: list[str] = []
    for indent, name, other in line.findall(page):
        above = [*above[: len(indent) // 2], name]
        told[name] = {*above[-2:-1], *filter(None, [other])}
    kinds = {name: getattr(errors, name) for name in public_names(errors)}
    bases = {name: {base.__name__ for base in kind.__bases__} for name, kind in kinds.items()}
    assert told == {**bases, "SpallocError": set()}


# -- documents --------------------------------------------------------------------


def test_every_schema_is_in_the_reference() -> None:
    page = (REFERENCE / "json.rst").read_text("utf-8")
    told = set(re.findall(r":download:`(json/[\w.]+)`", page))
    assert told == {f"json/{file.name}" for file in (REFERENCE / "json").iterdir()}


# -- configuration --------------------------------------------------------------

_CONFVAL = re.compile(
    r"\.\. confval:: (?P<name>\w+)\n   :type: (?P<allowed>.*)\n   :default: ``(?P<default>.*)``\n\n"
    r"(?P<text>(?:   .*\n)+)"
)


def told_options() -> dict[str, dict[str, str]]:
    page = (REFERENCE / "configuration.rst").read_text("utf-8")
    return {found["name"]: found.groupdict() for found in _CONFVAL.finditer(page)}


def test_every_option_is_in_the_reference_in_order() -> None:
    assert list(told_options()) == [option.name for option in OPTIONS]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_reference_tells_of_an_option_what_the_source_does(option: config.Option) -> None:
    told = told_options()[option.name]
    assert (told["allowed"], told["default"]) == (option.allowed, str(option.default))
    text = " ".join(told["text"].split())
    assert text.startswith(option.help)
    assert f"Variable: :envvar:`{option.variable}`" in text
    example = re.search(rf"In a file: ``{option.name} = (.*?)``", text)
    assert example
    assert option.parse(example[1]) not in (None, option.default)


def test_the_files_are_looked_for_where_the_reference_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_DIRS", "/first:/second")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/me/etc")
    found = config.find_search_path()
    assert found == ["/second/spalloc", "/first/spalloc", "/home/me/etc/spalloc", "./.spalloc"]
    for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/me")
    found = config.find_search_path()
    assert found == ["/etc/xdg/spalloc", "/home/me/.config/spalloc", "./.spalloc"]
    page = (REFERENCE / "configuration.rst").read_text("utf-8")
    assert all(file in page for file in ("``/etc/xdg/spalloc``", "``~/.config/spalloc``"))


# -- environment variables ------------------------------------------------------

_NAME = re.compile(r"[A-Z][A-Z_]{3,}[A-Z]|TERM|HOME")
_LIBRARIES = {"HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME", "TMPDIR", "COLUMNS"}
"""Read by libraries: no name of them is in our source."""


def told_variables() -> dict[str, set[str]]:
    """The variables of each section of the page."""
    page = (REFERENCE / "environment.rst").read_text("utf-8")
    page = re.sub(
        r"\.\. variables:: (.+)",
        lambda found: "\n".join(
            f".. envvar:: {getattr(row, 'variable', row[0])}" for row in table_named(found[1])
        ),
        page,
    )
    sections = re.split(r"\n(.*)\n-{4,}\n", page)[1:]
    listed = re.compile(r"\.\. envvar:: (\w+(?:\n {12}\w+)*)")
    return {
        title: {name for names in listed.findall(text) for name in names.split()}
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }


def names_in_source() -> set[str]:
    """What looks like a variable, where there is talk of the environment, or begins as ours do."""
    return {name for source in SOURCES.values() for name in _names_in(ast.parse(source))}


def _names_in(tree: ast.AST) -> Iterator[str]:
    yield from (text for text in _texts_in(tree) if re.fullmatch(r"SPALLOC_[A-Z_]*[A-Z]", text))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and _looks_at_environment(function):
            yield from filter(_NAME.fullmatch, _texts_in(function))


def _texts_in(tree: ast.AST) -> set[str]:
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def _looks_at_environment(function: ast.FunctionDef) -> bool:
    named = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    named |= {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
    return bool(named & {"environ", "getenv", "environment"})


def test_every_environment_variable_of_the_source_is_in_the_reference() -> None:
    told = told_variables()
    source = names_in_source() | {option.variable for option in OPTIONS}
    assert set.union(*told.values()) == source | _LIBRARIES
    assert told["Read"] >= {option.variable for option in OPTIONS}
    assert told["Never read"] == set(config.NEVER_READ)
    assert told["Set for others"] == {name for name, _ in (CASE_VARIABLE, *VARIABLES)}


def test_a_name_in_the_source_is_found() -> None:
    source = "def f(environ):\n  return environ.get('MY_NAME'), 'no'\nX = 'SPALLOC_X'\nY = 'OTHER'"
    assert set(_names_in(ast.parse(source))) == {"MY_NAME", "SPALLOC_X"}
