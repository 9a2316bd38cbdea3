"""Starts PyPI's ``spalloc_server`` over stand-in BMPs, on loopback, for tests and measurements.

    with RealServer([Machine(width=4, height=2)]) as server:
        Job(3, hostname=server.host, port=server.port, owner="me")

or by hand: ``python3 tools/real_server.py --boards 1200``. Standard library only; the server runs
in an environment of its own (tools/environments.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import environments, processes
from tools.real_machine import (
    Machine,
    MachineLike,
    configuration_text,
    frames,
    machine_with_boards,
)

HOST = "127.0.0.1"
REAL_VERSION = "1!7.0.0"
START_S = 60.0
STOP_S = 30.0

_HERE = Path(__file__).resolve().parent
_CLASH_WORDS = "Address already in use"
_PORT_TRIES = 10
_FIRST_PORT = 10_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL_START = 32_768


class RealServerError(RuntimeError):
    """The real server did not start, answer or stop; the message holds the tail of its log."""


class RealServer:
    """One spalloc_server process with stand-in BMPs; started by ``with`` or :meth:`start`.

    machines: highest priority first; anything with the attributes of
        :class:`tools.real_machine.Machine`. Default: one of 4 x 2 triads, 24 boards, called "m".
    power_seconds: what each power-on takes on top of the talk with the BMP (real boards: 5). The
        24 boards of a frame share a BMP, which carries out one job's commands after another's.
    seconds_before_free: how long freed boards stay unavailable (the server's own default: 30).
    timeout_check_s: the longest time between two looks for jobs that have expired.
    version: what the ``version`` command reports.
    port: 0 takes a free one.
    state_folder: where configuration, saved state and logs are kept; None makes a folder that
        :meth:`close` removes.
    warm: go on with the jobs that a server before this one saved in `state_folder`.
    python: an interpreter that has spalloc_server; None makes the environment for it.

    Raises RealServerError, with the log's tail, when the server cannot be started.
    """

    host = HOST

    def __init__(
        self,
        machines: Sequence[MachineLike] | None = None,
        *,
        power_seconds: float = 0.0,
        seconds_before_free: float = 0.0,
        timeout_check_s: float = 0.05,
        version: str | None = None,
        port: int = 0,
        state_folder: Path | None = None,
        warm: bool = False,
        python: Path | None = None,
    ) -> None:
        self.machines = [Machine()] if machines is None else list(machines)
        self.power_seconds = power_seconds
        self.seconds_before_free = seconds_before_free
        self.timeout_check_s = timeout_check_s
        self.version = version
        self._port = port
        self._wanted_folder = state_folder
        self._warm = warm
        self._python = python
        self._folder: Path | None = None
        self._bmps: processes.Child | None = None
        self._server: processes.Child | None = None
        self._owner_pid = os.getpid()

    def __enter__(self) -> RealServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        child = self._server
        alive = child is not None and child.exit_code is None
        doing = f"serving, pid {self.pid}" if alive else "stopped"
        return f"<RealServer {self.host}:{self._port} {doing}>"

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start when a free one is to be taken."""
        return self._port

    @property
    def pid(self) -> int:
        """The server's process; RealServerError when it was never started or has been closed."""
        return self._started().pid

    @property
    def state_folder(self) -> Path:
        """The folder with configuration, saved state and logs."""
        if self._folder is None:
            raise RealServerError("the real server has not been started, or has been closed")
        return self._folder

    @property
    def log_path(self) -> Path:
        return self.state_folder / "server.log"

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that the server logged; empty when there is no log any more."""
        return "" if self._server is None else self._server.log_tail(lines)

    def start(self) -> None:
        """Start BMPs and server, and return once it answers ``version``."""
        if self._folder is not None:
            raise RealServerError(f"{self!r} has been started already; restart() comes after stop")
        try:
            self._make_folder()
            self._start_bmps()
            self._start_on_some_port()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """End the server cleanly, so that it saves its state; the BMPs go on.

        It finishes pending power commands first. RealServerError when it does not end in time.
        """
        with _as_server_error():
            self._started().terminate(STOP_S)

    def kill(self) -> None:
        """End the server at once (SIGKILL): nothing is saved, connections are reset."""
        self._started().kill()

    def restart(self, *, cold: bool = False) -> None:
        """Stop it cleanly unless it is down already, and start it again on the same port.

        Jobs go on, unless `cold` is true or it was killed before it ever saved its state.
        """
        if self._started().exit_code is None:
            self.stop()
        self._launch(self._port, cold)

    def close(self) -> None:
        """End everything that was started and remove what was made; harmless when repeated."""
        if os.getpid() != self._owner_pid:
            return  # a forked child's copy: all this belongs to the parent
        for child in (self._server, self._bmps):
            if child is not None:
                child.kill()
        self._server = self._bmps = None
        if self._folder is not None and self._wanted_folder is None:
            shutil.rmtree(self._folder)
        self._folder = None

    def _started(self) -> processes.Child:
        if self._server is None:
            raise RealServerError("the real server has not been started, or has been closed")
        return self._server

    def _make_folder(self) -> None:
        if self._wanted_folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="real-spalloc-"))
        else:
            self._wanted_folder.mkdir(parents=True, exist_ok=True)
            self._folder = self._wanted_folder.resolve()

    def _start_bmps(self) -> None:
        with _as_server_error():
            self._bmps = processes.Child(
                [sys.executable, str(_HERE / "standin_bmp.py"), *self._bmp_arguments()],
                log_path=self.state_folder / "bmp.log",
            )
            told = self._bmps.announcement(START_S)
        self._addresses_path.write_text(told, encoding="utf-8")
        self._config_path.write_text(self._configuration(json.loads(told)), encoding="utf-8")

    def _bmp_arguments(self) -> list[str]:
        # A machine whose BMPs have moved is another machine to the server: its jobs would be lost.
        if self._warm and self._addresses_path.exists():
            addresses: list[str] = json.loads(self._addresses_path.read_text(encoding="utf-8"))
            return addresses
        return [f"--count={sum(len(frames(machine)) for machine in self.machines)}"]

    def _configuration(self, bmp_addresses: Sequence[str]) -> str:
        return configuration_text(
            self.machines,
            bmp_addresses,
            ip=HOST,
            timeout_check_s=self.timeout_check_s,
            seconds_before_free=self.seconds_before_free,
        )

    @property
    def _addresses_path(self) -> Path:
        return self.state_folder / "bmps.json"

    @property
    def _config_path(self) -> Path:
        return self.state_folder / "spalloc.cfg"

    def _start_on_some_port(self) -> None:
        cold = not self._warm
        if self._port:
            self._launch(self._port, cold)
            return
        for tries_left in reversed(range(_PORT_TRIES)):
            port = free_port()
            try:
                self._launch(port, cold)
            except RealServerError:
                if not tries_left or _CLASH_WORDS not in self.log_tail(200):
                    raise
            else:
                self._port = port
                return

    def _launch(self, port: int, cold: bool) -> None:
        gives_up_at = time.monotonic() + START_S
        with _as_server_error():
            self._server = processes.Child(
                self._command(port, cold), log_path=self.log_path, cwd=self.state_folder
            )
            said = self._server.announcement(START_S)
        assert said == "serving", said
        self._check_version(port, gives_up_at)

    def _command(self, port: int, cold: bool) -> list[str]:
        python = self._python or environments.python_of("real-server")
        command = [str(python), str(_HERE / "_real_server_main.py"), f"--port={port}"]
        command += [f"--config={self._config_path}", f"--power-seconds={self.power_seconds}"]
        command += [] if self.version is None else [f"--reported-version={self.version}"]
        return [*command, "--cold"] if cold else command

    def _check_version(self, port: int, gives_up_at: float) -> None:
        expected = REAL_VERSION if self.version is None else self.version
        left_s = max(0.1, gives_up_at - time.monotonic())
        try:
            said = ask(HOST, port, "version", timeout_s=left_s)
        except (OSError, ValueError) as error:
            raise RealServerError(
                f"the real server on port {port} does not answer ({error}); "
                f"its log says:\n{self.log_tail()}"
            ) from error
        if said != expected:
            raise RealServerError(f"the real server calls itself {said!r}, not {expected!r}")


def ask(host: str, port: int, command: str, *args: object, timeout_s: float = 10.0) -> object:
    """One command on a connection of its own, closed politely; what the server returned.

    Raises OSError when there is no answer and ValueError when the server refuses.
    """
    line = json.dumps({"command": command, "args": args, "kwargs": {}}).encode("utf-8") + b"\n"
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            answer = stream.read()
    if not answer:
        raise ConnectionError(f"the server hung up on {command!r}")
    reply = json.loads(answer)
    if "return" not in reply:
        raise ValueError(f"the server refused {command!r}: {reply}")
    value: object = reply["return"]
    return value


def free_port(rng: random.Random | None = None) -> int:
    """A TCP port of HOST that nobody listens on, below those given to outgoing connections.

    Were it among those, a client that dials the port while the server is down could be
    given that same port for its own end, and be connected to itself.
    """
    rng = rng or random.SystemRandom()
    for _ in range(100):
        port = rng.randrange(_FIRST_PORT, _ephemeral_start())
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise RealServerError("found no free TCP port in 100 tries")


def _ephemeral_start() -> int:
    with contextlib.suppress(OSError):
        return max(int(_EPHEMERAL_RANGE.read_text().split()[0]), _FIRST_PORT + 1000)
    return _USUAL_EPHEMERAL_START


@contextlib.contextmanager
def _as_server_error() -> Iterator[None]:
    try:
        yield
    except processes.ChildError as error:
        raise RealServerError(f"the real server: {error}") from error


def machine_from_text(text: str) -> Machine:
    """``NAME:WIDTHxHEIGHT`` or ``NAME:WIDTHxHEIGHT:TAG,TAG``, sizes in triads."""
    name, _, rest = text.partition(":")
    size, _, tags = rest.partition(":")
    try:
        width, height = map(int, size.split("x"))
        if not name or width < 1 or height < 1:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME:WIDTHxHEIGHT[:TAG,...] with a size in triads, like m:4x2"
        ) from None
    return Machine(name, width, height, tuple(tags.split(",")) if tags else ("default",))


def _boards_from_text(text: str) -> Machine:
    try:
        return machine_with_boards(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of boards") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run PyPI's spalloc_server on loopback.")
    machines = parser.add_argument_group("machines (default: m:4x2, 24 boards)")
    add = machines.add_argument
    add("--boards", dest="machines", action="append", type=_boards_from_text, metavar="N",
        help="a machine called m with at least N boards")  # fmt: skip
    add("--machine", dest="machines", action="append", type=machine_from_text,
        metavar="NAME:WxH[:TAGS]", help="a machine of W x H triads; may be repeated")  # fmt: skip
    add = parser.add_argument
    add("--power-seconds", type=float, default=0.0, help="how long a power-on takes")
    add("--seconds-before-free", type=float, default=0.0, help="how long freed boards rest")
    add("--check-seconds", type=float, default=0.05, help="how often expiry is looked for")
    add("--version", help=f"what the server calls itself (default: {REAL_VERSION})")
    add("--port", type=int, default=0, help="TCP port (default: a free one)")
    add("--state", type=Path, help="folder for saved state and logs (default: a temporary one)")
    add("--warm", action="store_true", help="go on with the jobs saved in --state")
    add("--print-port", action="store_true", help="print the port's number and nothing else")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    stop = processes.stop_on_signals(signal.SIGTERM, signal.SIGINT)
    server = RealServer(
        arguments.machines,
        power_seconds=arguments.power_seconds,
        seconds_before_free=arguments.seconds_before_free,
        timeout_check_s=arguments.check_seconds,
        version=arguments.version,
        port=arguments.port,
        state_folder=arguments.state,
        warm=arguments.warm,
    )
    try:
        with contextlib.closing(server):
            server.start()
            told = f"spalloc_server on {HOST}:{server.port}, log {server.log_path}; Ctrl+C ends it"
            print(server.port if arguments.print_port else told, flush=True)
            stop.wait()
            server.stop()
    except (RealServerError, environments.EnvironmentBuildError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
