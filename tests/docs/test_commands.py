"""The page of a command tells what the command does: it is made from it, as HTML and for man."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from docs._ext import command_pages
from docs._ext.command_pages import COMMANDS, additions, as_rest, groups_of
from spalloc_gevent.scripts import (
    alloc_options,
    job,
    machine,
    ps,
    where_is,
)
from spalloc_gevent.scripts.batch import options as batch_options
from spalloc_gevent.simulator import __main__ as simulator
from tools import docs, environments

EXIT_CODES: dict[str, tuple[tuple[object, str], ...]] = {
    "spalloc": alloc_options.EXIT_CODES,
    "spalloc-batch": batch_options.EXIT_CODES,
    "spalloc-ps": ps.EXIT_CODES,
    "spalloc-job": job.EXIT_CODES,
    "spalloc-machine": machine.EXIT_CODES,
    "spalloc-where-is": where_is.EXIT_CODES,
    "spalloc-simulator": simulator.EXIT_CODES,
}

SECTIONS = ("Synopsis", "Description", "Options", "Examples", "Exit codes", "Signals",
            "Environment", "See also")  # fmt: skip


def built(builder: str, folder: Path) -> Path:
    target = folder / builder
    assert docs.build(Path(sys.executable), builder, target) == 0
    return target


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("man", tmp_path_factory.mktemp("manual"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("html", tmp_path_factory.mktemp("site")) / "reference" / "commands"


def options_of(command: str) -> set[str]:
    """Every option and argument of a command, as its parser has it."""
    return {
        form
        for action in COMMANDS[command]()._actions
        for form in action.option_strings or [str(action.metavar or action.dest)]
    }


def test_every_installed_command_has_a_page() -> None:
    setup = configparser.ConfigParser()
    setup.read(environments.ROOT / "setup.cfg", "utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    assert {script.split(" = ")[0] for script in scripts} == set(COMMANDS) == set(EXIT_CODES)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_parser_is_that_of_its_command(command: str) -> None:
    assert COMMANDS[command]().prog == command


class _Text(HTMLParser):
    """The text of a page, without markup."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "dd":
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_has_every_section_option_and_exit_code(site: Path, command: str) -> None:
    page = (site / f"{command}.html").read_text("utf-8")
    text = " ".join("".join(_Text(page).pieces).split())
    for section in SECTIONS:
        assert re.search(rf"<h2>{section}<", page), section
    for option in options_of(command):
        assert f'id="cmdoption-{command}' in page
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), option
    for code, meaning in EXIT_CODES[command]:
        assert f"{code} {meaning.replace(chr(39), chr(8217))}" in text, code


@pytest.mark.parametrize("command", COMMANDS)
def test_the_manual_page_names_every_option_and_its_default(manual: Path, command: str) -> None:
    source = (manual / f"{command}.1").read_text("utf-8")
    assert source.isascii(), "what groff reads as UTF-8 only when it is told so"
    plain = re.sub(r"\\f[BIPR]|\\fP", "", source).replace("\\-", "-").replace("\\%", "")
    for option in options_of(command):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", plain), option
    for section in ("NAME", *SECTIONS):
        assert re.search(rf'^\.SH "?{section}"?$', source, re.IGNORECASE | re.MULTILINE), section
    assert "<>" not in plain, "a link that leads nowhere"
    brief = command_pages._in_brief(COMMANDS[command]())
    assert f"{command} - {brief}" in plain.replace("\\ ", " ")


def test_manual_pages_name_each_other_as_manual_pages_do(manual: Path) -> None:
    source = (manual / "spalloc.1").read_text("utf-8").replace("\\-", "-")
    assert r"\fBspalloc-batch(1)\fP" in source


def test_man_shows_every_page_without_a_warning(manual: Path) -> None:
    pages = sorted(manual.glob("*.1"))
    assert len(pages) == len(COMMANDS)
    # Whoever has no groff reads no manual pages; what is in them is looked at above.
    if shutil.which("groff"):
        for page in pages:
            command = ["groff", "-man", "-Tutf8", "-ww", str(page)]
            done = subprocess.run(command, capture_output=True, encoding="utf-8")
            assert (done.returncode, done.stderr) == (0, ""), page
            assert f"{page.stem.upper()}(1)" in re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)


def test_pages_tell_the_defaults_of_a_place_where_nothing_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPALLOC_PORT", "4711")
    told = {option.names[0]: option.help for _, group in groups_of(COMMANDS["spalloc-ps"]())
            for option in group}  # fmt: skip
    assert "(default: 22244)" in told["--port"]


# ------------------------------------------------------------------ the parts


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("with --watch: look", "with ``--watch``: look"),
        ("-1 for ever", "-1 for ever"),
        ("--sort=-NAME sorts", "``--sort=-NAME`` sorts"),
        ("as *this* and `that` | x_ y", r"as \*this\* and \`that\` \| x\_ y"),
        ("as docs/reference/json.rst tells", "as :doc:`/reference/json` tells"),
        ("wrap-around links", "wrap-around links"),
    ],
)
def test_plain_text_becomes_rest(text: str, rest: str) -> None:
    assert as_rest(text) == rest


def test_additions_are_what_is_indented_below_a_name() -> None:
    content = ["--one", "   First.", "", "   * a list", "", "FILE|WHAT", "   Second."]
    assert additions(content) == {"--one": "First.\n\n* a list", "FILE|WHAT": "Second."}


def test_an_addition_to_an_option_that_is_none_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extensions: list[Any] = [command_pages.__name__]
    (tmp_path / "conf.py").write_text(f"extensions = {extensions}\n")
    (tmp_path / "index.rst").write_text(
        "Page\n====\n\n.. command-options:: spalloc-ps\n\n   --nosuch\n      Nothing.\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(environments.ROOT))
    monkeypatch.setattr(docs, "SOURCE", tmp_path)
    assert docs.build(Path(sys.executable), "html", tmp_path / "built") != 0
    assert "spalloc-ps has no --nosuch" in capfd.readouterr().err
