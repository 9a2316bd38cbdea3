"""``python3 tools/first_hour.py``: does what docs/tutorial.rst says; fails where it is not true.

In a scratch folder with a copy of the checkout, a home of its own and no environment but a fresh
one, which the page itself has made. The page is read from top to bottom:

- a ``code-block`` of another language than ``console`` is written into the file that its caption
  names (``~`` is the scratch home);
- the commands of a ``console`` block (``$ ...``) run in one shell, a terminal's, one after another;
  a block with a caption is another terminal's, called by it, and there the last command runs on
  until the end, when it gets a Ctrl+C;
- what is printed must be what stands below the command. A line ``...`` stands for any lines, also
  none, and ``...`` within a line for any text.

A port that the page names (``--port N``) and that is taken here is replaced by a free one
everywhere on the page, as its readers are told to do; ``--free-port`` does so in any case.
``--venv FOLDER`` takes an environment that has the package, and passes over the commands that
make one. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import environments
from tools.code_blocks import CodeBlock, code_blocks

PAGE = environments.ROOT / "docs" / "tutorial.rst"
COMMAND_S = 300.0
"""The longest that a command may take, an installation included."""

END_S = 10.0
"""The longest that what is left running may take to end at Ctrl+C."""

_NAMED_PORT = re.compile(r"^ +\$ .*--port (\d{4,5})\b", re.MULTILINE)
_MAKES_ENVIRONMENT = ("python3 -m venv ", "pip install ")
_PROMPT = "$ "
_ANY = "..."
_NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")


class UntrueError(Exception):
    """The page and the program disagree; the message names the line of the page."""


# ---------------------------------------------------------------- the page


@dataclass(frozen=True)
class Line:
    """One line of a block, and where it is on the page."""

    number: int
    text: str


@dataclass(frozen=True)
class Command:
    """What is typed after a prompt, and what is printed then."""

    typed: Line
    printed: tuple[Line, ...]


def commands_of(block: CodeBlock) -> Iterator[Command]:
    """The commands of a console block, each with what it prints."""
    lines = tuple(Line(*numbered) for numbered in enumerate(block.text.splitlines(), block.line))
    starts = [n for n, line in enumerate(lines) if line.text.startswith(_PROMPT)]
    if starts[:1] != [0]:
        raise UntrueError(f"line {block.directive}: a console block begins with {_PROMPT!r}")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        typed = lines[start]
        command = Line(typed.number, typed.text.removeprefix(_PROMPT))
        yield Command(command, lines[start + 1 : end])


# ---------------------------------------------------------------- what is printed


def check_printed(command: Command, got: str) -> None:
    """Raise UntrueError at the first line of the page that is not what was printed."""
    printed = [line.rstrip() for line in got.splitlines()]
    reached = {0}
    for line in command.printed:
        before, reached = reached, _after(line.text, reached, printed)
        if not reached:
            raise _untrue(command, line.number, line.text, printed, max(before))
    if len(printed) not in reached:
        raise _untrue(command, command.typed.number, "nothing more", printed, max(reached))


def _after(line: str, reached: set[int], printed: Sequence[str]) -> set[int]:
    """How many printed lines are used up once this line of the page is, in every way there is."""
    if line.strip() == _ANY:
        return set(range(min(reached), len(printed) + 1))
    pattern = re.compile(".*".join(map(re.escape, line.rstrip().split(_ANY))))
    return {n + 1 for n in reached if n < len(printed) and pattern.fullmatch(printed[n])}


def _untrue(
    command: Command, number: int, expected: str, printed: Sequence[str], place: int
) -> UntrueError:
    got = printed[place] if place < len(printed) else "nothing more"
    whole = "\n".join(f"    {line}" for line in printed)
    return UntrueError(
        f"line {number}: $ {command.typed.text}\n"
        f"  expected: {expected}\n  got:      {got}\n  all that was printed:\n{whole}"
    )


# ---------------------------------------------------------------- the terminals


class Terminal:
    """A shell in which one command runs after another, and what they print."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        ear, self._line = os.pipe()
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(ear,),
        )
        os.close(ear)
        self._mark = f"done-{os.urandom(8).hex()}"
        self._read = b""
        # Ctrl+C for all that runs in here once the line is cut, by our own death as well.
        self._type(f"{{ read -r _; kill -INT 0; }} <&{ear} >/dev/null 2>&1 & exec {ear}<&-")

    def run(self, command: Command) -> None:
        """Run it to its end, and compare what it has printed."""
        # The exit code is still there for a next command that shows it.
        self._type(
            f"{{ {command.typed.text}\n}} </dev/null\ncode=$?; echo {self._mark}; (exit $code)"
        )
        end = f"{self._mark}\n".encode()
        self._read_until(command, lambda read: read.endswith(end))
        got, self._read = self._read.removesuffix(end), b""
        check_printed(command, got.decode("utf-8", "replace"))

    def leave_running(self, command: Command) -> None:
        """Start it, and compare as many lines as the page has."""
        self._type(f"{{ {command.typed.text}\n}} </dev/null; echo {self._mark}; exit")
        count = len(command.printed)
        ended = self._mark.encode()
        self._read_until(command, lambda read: read.count(b"\n") >= count or ended in read)
        check_printed(command, self._read.decode("utf-8", "replace"))

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None, "it is a pipe"
        self._shell.stdin.write(text.encode() + b"\n")
        self._shell.stdin.flush()

    def _read_until(self, command: Command, is_enough: Callable[[bytes], bool]) -> None:
        assert self._shell.stdout is not None, "it is a pipe"
        deadline = time.monotonic() + COMMAND_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            while not is_enough(self._read):
                left_s = deadline - time.monotonic()
                piece = b""
                if left_s > 0 and selector.select(left_s):
                    piece = os.read(self._shell.stdout.fileno(), 65_536)
                if not piece:
                    raise _unended(command, self._read, timed_out=left_s <= 0)
                self._read += piece

    def close(self) -> bool:
        """End what runs in it by a Ctrl+C; False if that was not heeded, and it was killed."""
        assert self._shell.stdin is not None, "it is a pipe"
        assert self._shell.stdout is not None, "it is a pipe"
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.close()
        os.close(self._line)
        try:
            self._shell.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
            return False
        finally:
            self._shell.stdout.close()
        return True


def _unended(command: Command, read: bytes, *, timed_out: bool) -> UntrueError:
    why = f"took more than {COMMAND_S:g} s" if timed_out else "ended the shell"
    printed = read.decode("utf-8", "replace")
    return UntrueError(
        f"line {command.typed.number}: $ {command.typed.text}\n  {why}, having printed:\n{printed}"
    )


# ---------------------------------------------------------------- the hour


class Hour:
    """One reader of the page: a folder, a home and terminals; as a context manager it ends all."""

    def __init__(self, folder: Path, *, has_environment: bool) -> None:
        self._folder = folder
        self._home = folder / "home"
        self._has_environment = has_environment
        self._terminals: dict[str, Terminal] = {}

    def __enter__(self) -> Hour:
        self._home.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        unheeding = [name for name, terminal in self._terminals.items() if not terminal.close()]
        if unheeding and kind is None:
            raise UntrueError(f"Ctrl+C did not end what runs in: {unheeding}")

    def follow(self, page: str) -> int:
        """Do what the page says; how many commands that were."""
        return sum(map(self._do, code_blocks(page)))

    def _do(self, block: CodeBlock) -> int:
        if block.language != "console":
            self._write(block)
            return 0
        commands = list(commands_of(block))
        for place, command in enumerate(commands, 1):
            is_last = place == len(commands)
            self._run(command, block.caption, runs_on=is_last and bool(block.caption))
        return len(commands)

    def _write(self, block: CodeBlock) -> None:
        if not block.caption:
            raise UntrueError(f"line {block.directive}: no caption says which file this is")
        path = self._folder / block.caption.replace("~", str(self._home), 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")

    def _run(self, command: Command, name: str, *, runs_on: bool) -> None:
        if self._has_environment and command.typed.text.startswith(_MAKES_ENVIRONMENT):
            return
        print(f"{command.typed.number}: $ {command.typed.text}", flush=True)
        if name not in self._terminals:
            self._terminals[name] = Terminal(self._folder, _environ(self._home))
        terminal = self._terminals[name]
        if runs_on:
            terminal.leave_running(command)
        else:
            terminal.run(command)


def _environ(home: Path) -> dict[str, str]:
    """What a user has who has just logged in: nothing of ours, and nothing of an environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPALLOC_", "PYTHON", "XDG_", "VIRTUAL_ENV", "PYTEST_"))
    }
    # The Python that runs this script, and no folder in which the package is installed already.
    folders = [str(Path(sys.base_prefix, "bin")), *kept.get("PATH", os.defpath).split(os.pathsep)]
    path = os.pathsep.join(name for name in folders if not Path(name, "spalloc").exists())
    return {**kept, "HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8"}


def with_free_port(page: str, *, in_any_case: bool = False) -> str:
    """The page, with a free port in place of the one that its simulator is given."""
    found = _NAMED_PORT.search(page)
    if found is None or not (in_any_case or _is_taken(int(found[1]))):
        return page
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    print(f"port {port} in place of {found[1]}", flush=True)
    return re.sub(rf"\b{found[1]}\b", port, page)


def _is_taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def spend(page: str, venv: Path | None = None) -> int:
    """Follow the page in a folder of its own, which is removed; how many commands it has."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name:
        folder = Path(name)
        if venv is None:
            shutil.copytree(environments.ROOT, folder / "spalloc_gevent", ignore=_NOT_COPIED)
        else:
            (folder / "venv").symlink_to(venv.resolve(), target_is_directory=True)
        with Hour(folder, has_environment=venv is not None) as hour:
            return hour.follow(page)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    parser = argparse.ArgumentParser(description="Do what the tutorial says, and compare.")
    parser.add_argument("page", nargs="?", type=Path, default=PAGE, help="(default: the tutorial)")
    parser.add_argument("--venv", type=Path, help="an environment to use; none is made then")
    parser.add_argument("--free-port", action="store_true", help="use another port than the page's")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _leave)
    page = with_free_port(given.page.read_text("utf-8"), in_any_case=given.free_port)
    try:
        commands = spend(page, given.venv)
    except UntrueError as error:
        print(f"{given.page}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"All of it is true: {commands} commands.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
