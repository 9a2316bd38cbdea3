"""Where a page's examples run: a server, a folder, a Python process and a shell."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spalloc_gevent import ProtocolClient
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.docs import stand_ins
from tests.docs.pages import Block
from tests.docs.stand_ins import Scene
from tests.transport.programs import ROOT
from tools.real_server import free_port
from tools.terminal import Terminal

PROMPT_S = 60.0
SHOW_CODE = "echo $?"

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Line(NamedTuple):
    """A command of a console block, and what the page says it writes."""

    command: str
    written: str


def console_lines(text: str) -> Iterator[Line]:
    """The ``$`` lines of a console block; a backslash at the end, or ``>``, goes on with one."""
    command: str | None = None
    written: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield Line(command, "\n".join(written))
            command, written = line[2:], []
        elif command is not None and not written and line.startswith("> "):
            command += "\n" + line[2:]
        elif command is not None and not written and command.endswith("\\"):
            command += "\n" + line
        else:
            written.append(line)
    if command is not None:
        yield Line(command, "\n".join(written))


def agrees(shown: str, written: str) -> bool:
    """Whether what a page shows is what was written; ``...`` stands for anything.

    On a line of its own it stands for any number of lines.
    """
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else _pattern(line) + r"[ ]*\n"
        for line in shown.strip("\n").splitlines()
    ]
    return re.fullmatch("".join(lines), _trimmed(written)) is not None


def without_numbers(text: str) -> str:
    """A text with 0 for every number, and one blank for those that align columns."""
    return re.sub(" +", " ", re.sub(r"\d+(?:\.\d+)*", "0", text))


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.rstrip().split("...")))


def _trimmed(text: str) -> str:
    return text.strip("\n") + "\n"


def open_names(text: str) -> set[str]:
    """The names that a Python text uses and does not make."""
    nodes = list(ast.walk(ast.parse(text)))
    used = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    made = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    made |= {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    made |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    made |= {(n.asname or n.name).partition(".")[0] for n in nodes if isinstance(n, ast.alias)}
    return used - made


def head_of(text: str) -> str:
    """The import of the stand-ins that a Python text leaves open."""
    names = sorted(open_names(text) & set(stand_ins.NAMES))
    return f"from tests.docs.stand_ins import {', '.join(names)}\n" if names else ""


class Stage:
    """Runs the blocks of one page in their order, in a folder and a home of their own."""

    def __init__(self, folder: Path, server: SimulatedServer, scene: Scene) -> None:
        self._folder = folder
        self._server = server
        self._scene = scene
        self._python: subprocess.Popen[str] | None = None
        self._printed = ""
        self._code = 0
        self._left_running: list[Terminal] = []
        self._own_port = free_port()
        tools = folder / "tools"
        self._here = folder / "here"
        self._home = folder / "home"
        for place in (tools, self._home, self._here):
            place.mkdir(parents=True)
        _write(tools, stand_ins.TOOLS)
        _write(self._here, stand_ins.FILES)
        own = str(Path(sys.executable).parent)
        self._environ = {
            **os.environ,
            "PATH": os.pathsep.join([own, os.environ["PATH"], str(tools)]),
            "PYTHONPATH": str(ROOT),
            "HOME": str(self._home),
            "TMPDIR": str(folder),
        }
        if scene.is_configured:
            self._environ["SPALLOC_HOSTNAME"] = server.host
            self._environ["SPALLOC_PORT"] = str(server.port)
            self._environ["SPALLOC_OWNER"] = stand_ins.OWNER
        else:
            self._environ.pop("XDG_CONFIG_HOME", None)

    def begin(self) -> None:
        """Have the scene's jobs, and no others; nothing ends them."""
        with self._client() as client:
            for number in range(1, max(self._scene.jobs, default=0) + 1):
                owner = self._scene.jobs.get(number, "nobody")
                assert client.create_job(2, 2, owner=owner, keepalive=36_000.0) == number
                if number not in self._scene.jobs:
                    client.destroy_job(number)

    def left_over(self) -> set[int]:
        """The jobs that the page's examples have left behind."""
        with self._client() as client:
            return {job["job_id"] for job in client.list_jobs()} - set(self._scene.jobs)

    def _client(self) -> ProtocolClient:
        return ProtocolClient(self._server.host, self._server.port, call_timeout=PROMPT_S).open()

    def run(self, block: Block) -> None:
        """Run a block; AssertionError says where it does not do what the page says."""
        if block.file is not None:
            head = head_of(block.text) if block.file.endswith(".py") else ""
            file = self._here / block.file.replace("~", str(self._home))
            _write(self._here, {str(file): head + self._replaced(block.text)})
        elif block.language == "python":
            self._run_python(block)
        elif block.language == "console":
            self._run_console(block)
        elif block.said("output") is not None:
            told = f"{block}: the example above printed\n{self._printed}"
            assert agrees(block.text, self._printed), told

    def _replaced(self, text: str) -> str:
        for written, meant in stand_ins.REPLACED.items():
            there = meant.format(
                host=self._server.host,
                port=self._server.port,
                own_port=self._own_port,
                folder=self._folder,
            )
            text = text.replace(written, there)
        return text

    def _run_python(self, block: Block) -> None:
        if block.said("own process") is not None:
            self.end_python()
        told = self._ask(
            page=block.page,
            line=block.line,
            text=self._replaced(block.text),
            head=head_of(block.text),
            goes_on=block.said("goes on") is not None,
        )
        self._printed = told["printed"]
        assert told["raised"] == block.said("raises"), f"{block}\n{told['trace']}"

    def _ask(self, **asked: object) -> dict[str, Any]:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-m", "tests.docs.python_blocks"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=self._here,
                env=self._environ,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(asked) + "\n")
        self._python.stdin.flush()
        answer: dict[str, Any] = json.loads(self._python.stdout.readline())
        return answer

    def end_python(self) -> None:
        """End the process of the Python blocks, as a program ends that has run them."""
        if self._python is not None:
            with self._python as python:
                assert python.stdin is not None
                python.stdin.close()
                try:
                    assert python.wait(PROMPT_S) == 0
                finally:
                    python.kill()
                    self._python = None

    def end_left_running(self) -> None:
        """Press Ctrl+C in every other terminal, as the page says that its reader does at last."""
        while self._left_running:
            with contextlib.closing(self._left_running.pop()) as terminal:
                terminal.type("\x03")
                assert terminal.wait() == 0, terminal.screen

    def _run_console(self, block: Block) -> None:
        lines = list(console_lines(block.text))
        if block.caption:
            self._leave_running(block, lines.pop())
        # Where the page shows an exit code, that is what it says of the command before.
        codes = [int(after.written) if after.command == SHOW_CODE else 0 for after in lines[1:]]
        last_codes = [int(code) for code in (block.said("exit code") or "0").split()]
        codes = [*codes, 0][: len(lines) - len(last_codes)] + last_codes
        for line, code in zip(lines, codes, strict=True):
            keys = stand_ins.KEYS if block.said("no terminal") is None else ()
            self._code, written = self._run_line(self._replaced(line.command), keys)
            told = f"{block}: {line.command!r} ended with {self._code} and wrote\n{written}"
            assert self._code == code, told
            assert not line.written or self._shows(block, line.written, written), told

    def _shows(self, block: Block, shown: str, written: str) -> bool:
        shown = self._replaced(shown)
        if block.said("other numbers") is not None:
            shown, written = without_numbers(shown), without_numbers(written)
        return agrees(shown, written)

    def _leave_running(self, block: Block, line: Line) -> None:
        """Run a command in a terminal of its own, and go on once it has written what is shown."""
        argv = ["bash", "-c", f"cd {self._here}; exec {self._replaced(line.command)}"]
        terminal = Terminal(argv, self._environ)
        self._left_running.append(terminal)
        terminal.read_on_until(
            lambda: self._shows(block, line.written, _plain(terminal.screen)), line.written
        )

    def _run_line(self, command: str, keys: Sequence[stand_ins.Typing]) -> tuple[int, str]:
        for typing in keys:
            if re.match(typing.command, command):
                return self._type(command, typing)
        with subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", f"(exit {self._code})\n{command}"],
            cwd=self._here,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as shell:
            try:
                written, _ = shell.communicate(timeout=PROMPT_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)
        return shell.returncode, written

    def _type(self, command: str, typing: stand_ins.Typing) -> tuple[int, str]:
        argv = ["bash", "-c", f"cd {self._here}; {command}"]
        with contextlib.closing(Terminal(argv, self._environ)) as terminal:
            terminal.read_until(typing.once)
            terminal.type(typing.keys)
            # What a page tells of a command is how it ends without what is typed here.
            return terminal.wait() - typing.exit_code, _plain(terminal.screen)


def _plain(screen: str) -> str:
    return _COLOUR.sub("", screen).replace("\r\n", "\n")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_text(text, "utf-8")
        if text.startswith("#!"):
            folder.joinpath(name).chmod(0o755)


@contextlib.contextmanager
def staged(scene: Scene, folder: Path) -> Iterator[Stage]:
    """A stage with all that belongs to it running."""
    width, height = scene.triads
    machine = MachineSpec(scene.machine, width=width, height=height)
    options: dict[str, Any] = {"power_seconds": scene.power_s, "dialect": scene.dialect}
    with SimulatedServer([machine], **options) as server:
        stage = Stage(folder, server, scene)
        stage.begin()
        try:
            yield stage
        finally:
            stage.end_python()
            stage.end_left_running()
