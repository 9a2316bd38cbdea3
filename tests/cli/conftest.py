"""Commands started as a user starts them, against a simulated server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import spalloc_gevent
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tools.terminal import PATIENCE_S, Terminal

_ROOT = Path(spalloc_gevent.__file__).parent.parent


class Shell:
    """Starts commands in a folder and an environment of their own, and ends what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "error",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_CONFIG_DIRS": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "TMPDIR": str(folder),
        }
        self._terminals: list[Terminal] = []
        self._processes: list[subprocess.Popen[str]] = []

    @staticmethod
    def argv(command: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "spalloc_gevent", command, *arguments]

    def run(
        self, command: str, *arguments: str, stdin: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end without a terminal."""
        return subprocess.run(
            self.argv(command, *arguments),
            input=stdin,
            env={**self.environ, **environ},
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
            start_new_session=True,
        )

    def start(self, command: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start without a terminal, with pipes to everything."""
        process = subprocess.Popen(
            self.argv(command, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environ, **environ},
            cwd=self.folder,
            encoding="utf-8",
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def on_terminal(self, command: str, *arguments: str, **environ: str) -> Terminal:
        return self.terminal(self.argv(command, *arguments), environ)

    def terminal(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str] | None = None,
        *,
        stdout: int | None = None,
    ) -> Terminal:
        """Any command on a pseudo-terminal; `environ` is added to the shell's."""
        terminal = Terminal(argv, {**self.environ, **(environ or {})}, stdout=stdout)
        self._terminals.append(terminal)
        return terminal

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close()
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell that knows no server."""
    shell = Shell(tmp_path)
    try:
        yield shell
    finally:
        shell.close()


class Site:
    """A simulated server, and a shell whose commands find it in their environment."""

    def __init__(self, server: SimulatedServer, shell: Shell) -> None:
        self.server = server
        self.shell = shell
        shell.environ.update(
            SPALLOC_HOSTNAME=server.host, SPALLOC_PORT=str(server.port), SPALLOC_OWNER="me"
        )

    def requests(self) -> list[tuple[list[int], dict[str, Any]]]:
        """The arguments of every create_job that came."""
        seen = self.server.commands_seen
        return [(c.args, c.kwargs) for c in seen if c.name == "create_job"]

    def destroyed(self) -> list[tuple[int, str | None]]:
        """The ID and reason of every destroy_job that came."""
        seen = self.server.commands_seen
        return [(c.args[0], c.kwargs.get("reason")) for c in seen if c.name == "destroy_job"]


MACHINE = MachineSpec("big", width=4, height=2)


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    """24 boards that power on and come free at once."""
    with SimulatedServer([MACHINE]) as server:
        yield server


@pytest.fixture
def site(server: SimulatedServer, shell: Shell) -> Site:
    return Site(server, shell)


@pytest.fixture
def slow_site(shell: Shell) -> Iterator[Site]:
    """24 boards that take an hour to power on."""
    with SimulatedServer([MACHINE], power_seconds=3600.0) as server:
        yield Site(server, shell)
