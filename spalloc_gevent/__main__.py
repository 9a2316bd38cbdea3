"""``python -m spalloc_gevent COMMAND ...``: every command, also where no scripts are installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from spalloc_gevent._version import __version__


class CommandModule(NamedTuple):
    """Where a command begins: at ``main(argv)`` of a module, which returns the exit code."""

    module: str
    """Its name without the package's."""
    what: str
    installed: str = ""
    """What setup.cfg installs it as; it has a page, a manual page and completion then."""


COMMANDS = {
    "alloc": CommandModule("scripts.alloc", "allocate a SpiNNaker machine", "spalloc"),
    "batch": CommandModule(
        "scripts.batch", "run many commands on boards of their own", "spalloc-batch"
    ),
    "ps": CommandModule("scripts.ps", "list the jobs", "spalloc-ps"),
    "job": CommandModule("scripts.job", "show and steer a job", "spalloc-job"),
    "machine": CommandModule("scripts.machine", "show the machines", "spalloc-machine"),
    "where-is": CommandModule("scripts.where_is", "locate boards and chips", "spalloc-where-is"),
    "simulator": CommandModule(
        "simulator.__main__", "be a server without hardware", "spalloc-simulator"
    ),
    "config": CommandModule("config", "show the configuration in force"),
    "versions": CommandModule(
        "scripts.versions", "show the versions that a report of a problem needs"
    ),
}
"""Every command. Documentation, manual pages, completion and tests know commands from here."""

EXIT_CODES = (
    ("any", "the command's own"),
    (0, "--help or --version"),
    (2, "there is no such command"),
)

_USAGE = "usage: python -m spalloc_gevent COMMAND [ARGUMENT ...]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named first (None: in this process's arguments) with the others.

    Returns its exit code, 2 when there is no such command.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    if name in COMMANDS:
        module = importlib.import_module(f"spalloc_gevent.{COMMANDS[name].module}")
        code: int = module.main(arguments)
        return code
    if name in ("--help", "-h"):
        print(help_text())
        return 0
    if name in ("--version", "-V"):
        print(__version__)
        return 0
    wrong = f"there is no command {name!r}" if name else "no command given"
    print(f"{_USAGE}\nspalloc_gevent: error: {wrong}: {', '.join(COMMANDS)}", file=sys.stderr)
    return 2


def help_text() -> str:
    """How this is called, every command, and the exit codes."""
    rows = [
        f"  {name:<9}  {one.what}{one.installed and f', as {one.installed} does'}"
        for name, one in COMMANDS.items()
    ]
    codes = [f"  {code:<3}  {meaning}" for code, meaning in EXIT_CODES]
    heading = "commands (each has its own --help):"
    return "\n".join([_USAGE, "", heading, *rows, "", "exit codes:", *codes])


if __name__ == "__main__":
    sys.exit(main())
