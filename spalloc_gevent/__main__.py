"""``python -m spalloc_gevent COMMAND ...``: every command, also where no scripts are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spalloc_gevent import entry
from spalloc_gevent._version import __version__

_COMMANDS = {
    "alloc": ("scripts.alloc", "allocate a SpiNNaker machine, as spalloc does"),
    "batch": ("scripts.batch", "run many commands on boards of their own, as spalloc-batch does"),
    "ps": ("scripts.ps", "list the jobs, as spalloc-ps does"),
    "job": ("scripts.job", "show and steer a job, as spalloc-job does"),
    "machine": ("scripts.machine", "show the machines, as spalloc-machine does"),
    "where-is": ("scripts.where_is", "locate boards and chips, as spalloc-where-is does"),
    "simulator": ("simulator.__main__", "be a server without hardware, as spalloc-simulator does"),
    "config": ("config", "show the configuration in force"),
    "versions": ("scripts.versions", "show the versions that a report of a problem needs"),
}

_EXIT_CODES = """\
exit codes:
  any  the command's own
  0    --help or --version
  2    there is no such command"""

_USAGE = "usage: python -m spalloc_gevent COMMAND [ARGUMENT ...]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named first (None: in this process's arguments) with the others.

    Returns its exit code, 2 when there is no such command.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    if name in _COMMANDS:
        return entry.run(_COMMANDS[name][0], arguments)
    if name in ("--help", "-h"):
        print(_help())
        return 0
    if name in ("--version", "-V"):
        print(__version__)
        return 0
    return _refuse(name)


def _help() -> str:
    rows = [f"  {name:<9}  {what}" for name, (_, what) in _COMMANDS.items()]
    return "\n".join([_USAGE, "", "commands (each has its own --help):", *rows, "", _EXIT_CODES])


def _refuse(name: str) -> int:
    wrong = f"there is no command {name!r}" if name else "no command given"
    print(f"{_USAGE}\nspalloc_gevent: error: {wrong}: {', '.join(_COMMANDS)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
