"""The page of log messages and the source agree: texts, loggers and levels."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.docs.message_stage import Stage
from tests.docs.messages import HOLE, Module, Scope, holes, modules, texts_of
from tests.docs.reference_pages import entries_of, read

PAGE = "log-messages.rst"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Logged:
    """A log message: its text with holes, its logger, and every level it may have."""

    text: str
    logger: str
    levels: frozenset[str]


# -- the source ---------------------------------------------------------------------------------


def in_source() -> Iterator[Logged]:
    for module in modules():
        for function in ast.walk(module.tree):
            if isinstance(function, ast.FunctionDef):
                yield from logged_by(function, module)


def logged_by(function: ast.FunctionDef, module: Module) -> Iterator[Logged]:
    for call in ast.walk(function):
        if not (isinstance(call, ast.Call) and ast.unparse(call.func).startswith("_log.")):
            continue
        name = ast.unparse(call.func).removeprefix("_log.")
        levels = {"exception": {"ERROR"}}.get(name, {name.upper()})
        text = call.args[0]
        if name == "log":
            text, levels = call.args[1], set(re.findall(r"logging\.([A-Z]+)", source_of(function)))
        (message,) = texts_of(text, Scope(module, function))
        logger = f"spalloc_gevent.{module.name}"
        yield Logged(re.sub(r"%[.\w]*[sdrf]", HOLE, message), logger, frozenset(levels))


def source_of(function: ast.FunctionDef) -> str:
    return ast.unparse(function)


# -- the page -----------------------------------------------------------------------------------


def on_page() -> dict[str, Logged]:
    """Each entry, by the heading that it stands under and its text."""
    found = {}
    for entry in entries_of(PAGE):
        _, _, after = read(PAGE).partition(f"\n``{entry}``\n")
        about = re.match(r"    ``([\w.]+)``, ([A-Z]+)(?: or ([A-Z]+))?\. \S", after)
        assert about is not None, entry
        logger, *levels = about.groups()
        assert logger is not None
        found[entry] = Logged(holes(entry), logger, frozenset(filter(None, levels)))
    return found


def test_page_and_source_have_the_same_messages_with_their_loggers_and_levels() -> None:
    told, made = set(on_page().values()), set(in_source())
    assert sorted(map(repr, made - told)) == []
    assert sorted(map(repr, told - made)) == []


def test_a_message_stands_under_its_gravest_level() -> None:
    for entry, logged in on_page().items():
        before, _, _ = read(PAGE).partition(f"\n``{entry}``\n")
        headings = re.findall(r"^([A-Z]+)\n-+$", before, re.MULTILINE)
        assert headings[-1] == max(logged.levels, key=LEVELS.index), entry


def test_every_logger_is_named_after_its_module() -> None:
    for module in modules():
        for line in ast.unparse(module.tree).splitlines():
            if line.startswith("_log ="):
                assert line == "_log = logging.getLogger(__name__)"


def test_what_debug_shows_is_on_the_page(stage: Stage) -> None:
    lines = stage.run("spalloc", "--debug", "-c", "true").splitlines()
    shown = [re.search(r" (spalloc_gevent[\w.]*) ([A-Z]+): (.*)", line) for line in lines]
    told = [match.groups() for match in shown if match is not None]
    assert len(told) > 4
    for logger, level, message in told:
        assert any(fits(one, logger, level, message) for one in on_page().values()), message


def fits(logged: Logged, logger: str, level: str, message: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in logged.text.split(HOLE))
    same = logged.logger == logger and level in logged.levels
    return same and re.fullmatch(pattern, message) is not None


def test_the_example_shows_what_it_says(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", read(PAGE))
    told: list[dict[str, object]] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: told.append(options))
    logger = logging.getLogger("spalloc_gevent")
    before = logger.level
    try:
        exec("\n".join(line[3:] for line in block.splitlines()), {})
        assert logger.level == logging.INFO
        stage.client().version()
        assert [record for record in caplog.records if record.levelno < logging.INFO] == []
    finally:
        logger.setLevel(before)
    (options,) = told
    logging.Formatter(str(options["format"]))
