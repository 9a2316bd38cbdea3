"""Where messages are provoked: servers that all share, a folder, and commands in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from spalloc_gevent import Job, ProtocolClient
from spalloc_gevent.__main__ import COMMANDS
from spalloc_gevent.batch import bad_boards
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.transport.programs import ROOT
from tests.transport.scripted_server import Command, Peer, Script, ScriptedServer

MODULES = {
    "": "__main__",
    "spalloc": COMMANDS["alloc"].module,
    **{name: command.module for name, command in COMMANDS.items()},
    "compat": "compat.__main__",
}

_NAMES = {"spalloc": "alloc"}


class Stage:
    """One test's view of what all share."""

    def __init__(
        self,
        servers: Mapping[str, SimulatedServer],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self._servers = servers
        self.folder = folder
        self.patch = monkeypatch
        self._capfd = capfd
        self._opened = contextlib.ExitStack()
        self.code = 0
        """The exit code of the last command."""
        self.use("python")

    def close(self) -> None:
        self._opened.close()
        bad_boards.forget()
        for server in self._servers.values():
            server.set_faults([])

    def use(self, name: str) -> SimulatedServer:
        """Have commands and jobs use this server: "python", "java", "slow" or "small"."""
        self.server = self._servers[name]
        self.point_at(self.server.host, self.server.port)
        return self.server

    def own_server(self) -> SimulatedServer:
        """One that nobody shares, and whose boards never come on; commands use it from now on."""
        server = SimulatedServer([MachineSpec()], power_seconds=3600.0)
        server.start()
        self.on_exit(server.stop)
        self.point_at(server.host, server.port)
        return server

    def point_at(self, host: str, port: int) -> None:
        self.patch.setenv("SPALLOC_HOSTNAME", host)
        self.patch.setenv("SPALLOC_PORT", str(port))
        self.patch.setenv("SPALLOC_OWNER", "me")

    # -- the library ----------------------------------------------------------------

    def client(self, server: Any = None, **options: Any) -> ProtocolClient:
        server = server or self.server
        options = {"call_timeout": options.pop("timeout", 20.0), **options}
        client = ProtocolClient(server.host, server.port, **options).open()
        self._opened.callback(client.close)
        return client

    def job(self, *what: int, is_ready: bool = False, **options: Any) -> Job:
        job = Job(*what, **options)
        self._opened.callback(job.destroy)
        if is_ready:
            job.wait_until_ready(20.0)
        return job

    def destroy(self, job: Job, reason: str | None = None) -> None:
        """End a job as somebody else would."""
        assert job.id is not None
        self.client().destroy_job(job.id, reason)

    def scripted(self, script: Script) -> ScriptedServer:
        """A server that tells its version, and else does what `script` says."""

        def answering(peer: Peer, command: Command) -> None:
            if command.name == "version":
                peer.answer("5.0.0")
            else:
                script(peer, command)

        return self.started(ScriptedServer(answering))

    def started(self, server: ScriptedServer) -> ScriptedServer:
        """The server, started, and stopped at the end."""
        return self._opened.enter_context(server)

    def on_exit(self, fn: Callable[[], object]) -> None:
        self._opened.callback(fn)

    # -- the commands ---------------------------------------------------------------

    def run(self, command: str, *arguments: object, stdin: str = "") -> str:
        """What a command writes, standard error last; run in this process."""
        main = importlib.import_module(f"spalloc_gevent.{MODULES[command]}").main
        self.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capfd.readouterr()
        try:
            self.code = main([str(one) for one in arguments])
        except SystemExit as end:
            self.code = int(str(end.code))
        told = self._capfd.readouterr()
        return told.out + told.err

    def start(
        self, command: str, *arguments: object, stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """The same as a process of its own, for what ends by a signal."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "spalloc_gevent",
                _NAMES.get(command, command),
                *map(str, arguments),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self._opened.callback(end)
        return process

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def cases(self, content: str | bytes, *arguments: object) -> str:
        """What ``spalloc-batch`` writes when it is given a file of cases."""
        return self.run("batch", self.write("cases", content), *arguments)


def told(fn: Callable[..., object], *args: Any, **options: Any) -> str:
    """The message of the exception that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its message is what is looked at
        fn(*args, **options)
    return str(caught.value)


@contextlib.contextmanager
def servers() -> Iterator[dict[str, SimulatedServer]]:
    """The servers that all stages share."""
    big = MachineSpec("big", width=4, height=2)
    started = {
        "python": SimulatedServer([big]),
        "java": SimulatedServer([big], dialect="java"),
        "slow": SimulatedServer([big], power_seconds=3600.0),
        "small": SimulatedServer([MachineSpec("small", width=1, height=1)]),
    }
    with contextlib.ExitStack() as opened:
        for server in started.values():
            opened.enter_context(server)
        yield started
