"""The installed commands are those of the package's table, and each begins in its own module."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import spalloc_gevent
from spalloc_gevent.__main__ import COMMANDS, main

_ROOT = Path(spalloc_gevent.__file__).parent.parent

INSTALLED = {one.installed: one.module for one in COMMANDS.values() if one.installed}


def test_what_is_installed_is_what_the_table_of_commands_says() -> None:
    setup = configparser.ConfigParser()
    setup.read(_ROOT / "setup.cfg", "utf-8")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    assert dict(line.split(" = ") for line in lines) == {
        command: f"spalloc_gevent.{module}:main" for command, module in INSTALLED.items()
    }


@pytest.mark.parametrize("command", INSTALLED)
def test_an_installed_command_prints_its_own_help(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["command", "--help"])
    with pytest.raises(SystemExit) as end:
        import_module(f"spalloc_gevent.{INSTALLED[command]}").main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {command} ")


def test_the_exit_code_is_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spalloc_gevent.scripts.ps.main", lambda argv: 40 + len(argv))
    assert main(["ps", "a", "b"]) == 42


_HELP = """
import sys
from spalloc_gevent.__main__ import main
try:
    main(["where-is", "--help"])
finally:
    print(*(name for name in sys.modules if "spalloc_gevent.scripts." in name), file=sys.stderr)
"""


def test_a_command_imports_no_other_command() -> None:
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _HELP], env=environ, capture_output=True, text=True
    )
    others = {"alloc", "batch", "job", "machine", "ps"}
    imported = {name.rpartition(".")[2] for name in done.stderr.split()}
    assert "where_is" in imported
    assert not others & imported
