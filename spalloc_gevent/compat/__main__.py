"""``python -m spalloc_gevent.compat PROGRAM [ARGS...]``: run it with this client as ``spalloc``."""

from __future__ import annotations

import argparse
import builtins
import os
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from spalloc_gevent.command_line.help_text import described
from spalloc_gevent.compat import install_as_spalloc

PROG = "python -m spalloc_gevent.compat"

_EXIT_CODES = (
    ("any", "the program's own, as from Python: 1 after an exception that nothing caught"),
    (0, "--help"),
    (1, "there is no such module, or no __main__ in the folder or zip file"),
    (2, "the command line is wrong, or the program cannot be opened"),
)


def make_parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=PROG,
        usage="%(prog)s [-h] (PROGRAM | -m MODULE) [ARGS ...]",
        description="Run a Python program as Python would, with 'import spalloc_client' and\n"
        "'import spalloc' meaning this package. PROGRAM is a file, or a folder or zip file with\n"
        "a __main__.py; MODULE is found as 'python -m' finds it. Python programs that it starts\n"
        "anew are not run so; its forked children are.",
        epilog=described("exit codes", _EXIT_CODES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program that the arguments (None: this process's) name; the exit code.

    What the program raises, SystemExit too, comes through.
    """
    parser = make_parser()
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    if name == "-m" and arguments:
        _become("-m", arguments[1:])
        # What "python -m" itself calls: its messages, exit codes, sys.argv and __main__.
        runpy._run_module_as_main(arguments[0])  # type: ignore[attr-defined]
    elif name in ("-h", "--help"):
        parser.print_help()
    elif name == "-m":
        parser.error("-m takes a module")
    elif name.startswith("-"):
        parser.error(f"there is no option {name!r}")
    elif not name:
        parser.error("no program given")
    else:
        _run(name, arguments, parser)
    return 0


def _run(path: str, arguments: Sequence[str], parser: argparse.ArgumentParser) -> None:
    whole_path = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(whole_path) is not None:
        _become(path, arguments)
        sys.path.insert(0, whole_path)
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    loader = SourceFileLoader("__main__", whole_path)
    try:
        source = loader.get_data(loader.path)
    except OSError as error:
        parser.error(f"cannot open {path!r}: {error.strerror}")
    names = _become(path, arguments)
    if _takes_folders_from_command_line():
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    names.update(__file__=loader.path, __loader__=loader)
    exec(loader.source_to_code(source, loader.path), names)


def _become(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Be what Python would have started; returns the names of its ``__main__``."""
    install_as_spalloc()
    sys.argv[:] = [name, *arguments]
    # The one that belongs to this module: the current folder.
    if name != "-m" and _takes_folders_from_command_line():
        del sys.path[0]
    sys.modules["__main__"] = ModuleType("__main__")
    names = vars(sys.modules["__main__"])
    names["__builtins__"] = builtins
    return names


def _takes_folders_from_command_line() -> bool:
    """False after ``python -P`` and ``-I``."""
    return not (sys.flags.isolated or getattr(sys.flags, "safe_path", False))


if __name__ == "__main__":
    sys.exit(main())
