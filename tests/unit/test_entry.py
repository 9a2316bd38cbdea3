"""The installed commands are all there, and each begins in its own module."""

from __future__ import annotations

import configparser
import gc
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import spalloc_gevent
from spalloc_gevent import entry

_SETUP = Path(spalloc_gevent.__file__).parent.parent / "setup.cfg"


def test_every_installed_command_prints_its_own_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["command", "--help"])
    monkeypatch.setattr(gc, "freeze", lambda: None)
    setup = configparser.ConfigParser()
    setup.read(_SETUP)
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    for script in filter(None, scripts):
        command, _, place = script.partition(" = ")
        module, _, name = place.partition(":")
        assert module == entry.__name__
        with pytest.raises(SystemExit) as end:
            getattr(entry, name)()
        assert end.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: {command} ")
    assert gc.isenabled()


def test_the_exit_code_is_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr("spalloc_gevent.scripts.ps.main", lambda argv: 40 + len(argv))
    assert entry.run("scripts.ps", ["a", "b"]) == 42
    assert frozen == [True, True]  # after the imports, and at the end


_IMPORT = """
import sys
from spalloc_gevent import entry
main = entry._main_of(sys.argv[1])
print(main([]), "importlib.metadata" in sys.modules)
"""


def _imported(module: str, folder: Path) -> list[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(_SETUP.parent)])}
    command = [sys.executable, "-c", _IMPORT, module]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_nothing_is_imported_only_to_look_up_a_version(tmp_path: Path) -> None:
    (tmp_path / "asks_version.py").write_text(
        "from importlib.metadata import version, PackageNotFoundError\n"
        "try: found = version('tabulate')\n"
        "except PackageNotFoundError: found = 'unknown'\n"
        "def main(argv): return found\n"
    )
    # Where the interpreter itself has imported it on its start, nothing is left out.
    assert _imported("asks_version", tmp_path)[0] in ("unknown", metadata.version("tabulate"))


def test_a_module_that_wants_more_of_it_than_a_version_gets_it(tmp_path: Path) -> None:
    (tmp_path / "asks_more.py").write_text(
        "from importlib.metadata import distributions\n"
        "def main(argv): return distributions.__name__\n"
    )
    assert _imported("asks_more", tmp_path) == ["distributions", "True"]
