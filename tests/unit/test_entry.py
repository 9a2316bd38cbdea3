"""The installed commands are all there, and each begins in its own module."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spalloc_gevent
from spalloc_gevent import entry

_SETUP = Path(spalloc_gevent.__file__).parent.parent / "setup.cfg"


def installed_commands() -> dict[str, str]:
    """Where each command begins, as ``module:function``, by its name."""
    setup = configparser.ConfigParser()
    setup.read(_SETUP)
    lines = setup["options.entry_points"]["console_scripts"].split("\n")
    pairs = [line.partition(" = ") for line in lines if line]
    return {command: place for command, _, place in pairs}


@pytest.mark.parametrize(("command", "place"), installed_commands().items())
def test_an_installed_command_prints_its_own_help(
    command: str,
    place: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["command", "--help"])
    module, _, name = place.partition(":")
    assert module == entry.__name__
    with pytest.raises(SystemExit) as end:
        getattr(entry, name)()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {command} ")


def test_the_exit_code_is_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spalloc_gevent.scripts.ps.main", lambda argv: 40 + len(argv))
    assert entry.run("scripts.ps", ["a", "b"]) == 42


_HELP = """
import sys
from spalloc_gevent import entry
try:
    entry.run("scripts.where_is", ["--help"])
finally:
    ours = [name for name in sys.modules if name.startswith("spalloc_gevent.scripts.")]
    print(*ours, file=sys.stderr)
"""


def test_a_command_imports_no_other_command() -> None:
    environ = {**os.environ, "PYTHONPATH": str(_SETUP.parent)}
    done = subprocess.run(
        [sys.executable, "-c", _HELP], env=environ, capture_output=True, text=True
    )
    others = {"alloc", "batch", "job", "machine", "ps"}
    imported = {name.rpartition(".")[2] for name in done.stderr.split()}
    assert "where_is" in imported
    assert not others & imported
