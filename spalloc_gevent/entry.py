"""Where the installed commands begin and end, without what a moment's work does not need.

A command that asks one question spends most of its time on imports. tabulate
0.10 imports packages for e-mail, zip files and CSV only to look up its own
version; imports make many objects, and no garbage to be looked for; and an
interpreter that ends looks through all of them once more. Leaving that out
makes such a command a good deal faster. It is done here, where the whole
process is the command's, and nowhere else.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

_METADATA = "importlib.metadata"


def run(module: str, argv: Sequence[str] | None = None) -> int:
    """Run ``main(argv)`` of a module of this package, as the last thing this process does.

    argv: None for this process's arguments. Returns the exit code.
    """
    gc.disable()
    main = _main_of(f"spalloc_gevent.{module}")
    gc.freeze()
    gc.enable()
    code = main(argv)
    gc.freeze()
    return code


def _main_of(module: str) -> Callable[[Sequence[str] | None], int]:
    try:
        with _versions_unknown():
            imported = importlib.import_module(module)
    except (ImportError, AttributeError):
        # Somebody wants more of it than a version.
        imported = importlib.import_module(module)
    main: Callable[[Sequence[str] | None], int] = imported.main
    return main


@contextmanager
def _versions_unknown() -> Iterator[None]:
    """A stand-in for importlib.metadata that knows no package's version."""
    if _METADATA in sys.modules:
        yield
        return
    stand_in = ModuleType(_METADATA)
    vars(stand_in).update(version=_version, PackageNotFoundError=_PackageNotFoundError)
    sys.modules[_METADATA] = stand_in
    try:
        yield
    finally:
        del sys.modules[_METADATA]


class _PackageNotFoundError(ModuleNotFoundError):
    pass


def _version(name: str) -> str:
    raise _PackageNotFoundError(name)


def alloc() -> int:
    return run("scripts.alloc")


def batch() -> int:
    return run("scripts.batch")


def ps() -> int:
    return run("scripts.ps")


def job() -> int:
    return run("scripts.job")


def machine() -> int:
    return run("scripts.machine")


def where_is() -> int:
    return run("scripts.where_is")


def simulator() -> int:
    return run("simulator.__main__")
