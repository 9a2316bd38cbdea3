"""Whether an installed spalloc_gevent is whole: imports every module, runs every command.

Run by tools/package.py with the Python of a new environment, isolated, and never by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages

PACKAGE = "spalloc_gevent"
PATIENCE_S = 60.0

OF_AN_EXTRA = {"pytest": f"{PACKAGE}.pytest_plugin"}
"""What only an extra brings, and the one package that cannot be imported without it."""

SCRIPTS = Path(sysconfig.get_path("scripts"))


@dataclass(frozen=True)
class Use:
    """A command line, what it reads, and a pattern of what it writes."""

    arguments: tuple[str, ...]
    says: str
    reads: str = ""


USES: Mapping[str, Use] = {
    "spalloc": Use(("1", "--command", "echo {w} x {h} chips"), r"^8 x 8 chips$"),
    "spalloc-batch": Use(("-",), r"^this is one$", "one echo this is {case}\n"),
    "spalloc-ps": Use((), r"^ID  State  Power  Boards"),
    "spalloc-machine": Use(("m",), r"^In-use: 0 of 24$"),
    "spalloc-where-is": Use(("--board", "m", "0", "0", "0"), r"^ +Board coordinate: \(0, 0, 0\)$"),
    "spalloc-job": Use(("--info",), r"^ +State: ready$"),
    "spalloc-simulator": Use(("--run", "echo", "served"), r"^served$"),
}
"""One real thing for a command to do, on a server that has nothing else to do; else its help."""


class NotWholeError(Exception):
    """Something is missing, or does not work; the message says what."""


def check_modules() -> None:
    package = import_module(PACKAGE)
    assert package.__file__ is not None
    folder = Path(package.__file__).parent
    if not folder.is_relative_to(sys.prefix):
        raise NotWholeError(f"{folder} was imported, and not what is installed")
    if not (folder / "py.typed").is_file():
        raise NotWholeError("py.typed is not installed")
    for module in walk_packages(package.__path__, f"{PACKAGE}.", onerror=_ignored):
        _check_module(module.name)


def _ignored(_name: str) -> None:
    """A package that cannot be imported has been told of already."""


def _check_module(name: str) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if not name.startswith(OF_AN_EXTRA.get(error.name or "", "\0")):
            raise NotWholeError(f"{name} cannot be imported: {error}") from error


def commands() -> list[str]:
    """The names of all commands that were installed."""
    found = metadata.distribution(PACKAGE).entry_points
    return sorted(entry.name for entry in found if entry.group == "console_scripts")


def check_command(command: str, environ: Mapping[str, str]) -> None:
    version = metadata.version(PACKAGE)
    _expect(rf"\A{command} {re.escape(version)}$", _run(command, "--version", environ=environ))
    if not (Path(sys.prefix) / "share" / "man" / "man1" / f"{command}.1").is_file():
        raise NotWholeError(f"{command} has no manual page")
    use = USES.get(command, Use(("--help",), rf"^usage: {command} "))
    _expect(use.says, _run(command, *use.arguments, environ=environ, reads=use.reads))
    told = _run(command, "--print-completion", "bash", environ=environ, code=2)
    _expect(r'pip install "spalloc_gevent\[completion\]"$', told)


def _run(
    command: str, *arguments: str, environ: Mapping[str, str], reads: str = "", code: int = 0
) -> str:
    """What a command writes; NotWholeError when it ends with another exit code."""
    done = subprocess.run(
        [str(SCRIPTS / command), *arguments],
        input=reads,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environ),
        timeout=PATIENCE_S,
    )
    if done.returncode != code:
        line = " ".join([command, *arguments])
        raise NotWholeError(f"{line} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _expect(pattern: str, text: str) -> None:
    if not re.search(pattern, text, re.MULTILINE):
        raise NotWholeError(f"{pattern!r} is nowhere in:\n{text}")


@contextlib.contextmanager
def served() -> Iterator[dict[str, str]]:
    """A simulated server as a user starts it; the environment in which it is found."""
    command = [str(SCRIPTS / "spalloc-simulator"), "--port", "0", "--power-seconds", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            host, _, port = server.stdout.readline().strip().rpartition(":")
            where = {"SPALLOC_HOSTNAME": host, "SPALLOC_PORT": port, "SPALLOC_OWNER": "me"}
            yield {**_unconfigured(os.environ), **where}
        finally:
            server.terminate()


def _unconfigured(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what this user has configured."""
    kept = {name: text for name, text in environ.items() if not name.startswith("SPALLOC_")}
    here = os.getcwd()
    return {**kept, "HOME": here, "XDG_CONFIG_HOME": here, "XDG_CONFIG_DIRS": here}


@contextlib.contextmanager
def job_held(environ: Mapping[str, str]) -> Iterator[None]:
    """One job, for a command that is about one."""
    line = ("spalloc", "1", "--quiet", "--no-destroy", "--command", "echo {id}")
    job_id = _run(*line, environ=environ).splitlines()[0]
    try:
        yield
    finally:
        _run("spalloc-job", job_id, "--destroy", environ=environ)


def main() -> int:
    try:
        check_modules()
        if (there := commands()) != sorted(USES):
            raise NotWholeError(f"the commands are {there}, and not {sorted(USES)}")
        with served() as environ:
            for command in there:
                with job_held(environ) if command == "spalloc-job" else contextlib.nullcontext():
                    check_command(command, environ)
    except NotWholeError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
