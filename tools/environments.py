"""Virtual environments that the other tools run in: made when first needed, kept between runs.

An environment is built where it stays (its scripts name their interpreter by path) and counts
only once its stamp, written last, is there; so an interrupted build is never used. A lock that
the operating system drops with its holder lets two runs share the folder. Its folder name holds
a digest of all that went into it: a changed requirement makes a new one. Standard library only.

``python3 tools/environments.py project`` makes one and prints its Python.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".envs"
OLDEST_PYTHON = (3, 10)

_STAMP = "complete"


class EnvironmentBuildError(RuntimeError):
    """An environment could not be made; the message holds the words of the tool that failed."""


@dataclass(frozen=True)
class Recipe:
    """What goes into an environment: arguments for ``pip install``, and files they depend on.

    `base` is the Python that it is made with.
    """

    name: str
    requirements: tuple[str, ...]
    depends_on: tuple[Path, ...] = ()
    base: str = sys.executable


Run = Callable[[Sequence[str], Recipe], None]


def _setup() -> configparser.ConfigParser:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    return setup


def _requirements() -> tuple[str, ...]:
    """What an installation of the package brings with it."""
    return tuple(_setup()["options"]["install_requires"].split())


_OWN_FILES = (ROOT / "setup.cfg", ROOT / "setup.py", ROOT / "spalloc_gevent" / "_version.py")


_FRONT_END = (
    # What allocates boards in it, with the existing client beside ours. Without what it draws
    # with, which is half of its size.
    *(
        f"{name}==1!7.4.1"
        for name in (
            "SpiNNFrontEndCommon",
            "SpiNNMachine",
            "SpiNNMan",
            "SpiNNUtilities",
            "SpiNNaker_PACMAN",
            "spalloc",
        )
    ),
    *("appdirs", "attrs", "certifi", "charset-normalizer", "Deprecated", "ebrains-drive", "idna"),
    *("jsonschema", "jsonschema-specifications", "numpy", "packaging", "referencing", "requests"),
    *("rpds-py", "scipy", "tqdm", "typing_extensions", "urllib3", "websocket-client", "wrapt"),
    *(*_requirements(), "greenlet", "zope.event", "zope.interface"),
)

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "project",
            ("--editable", f"{ROOT}[test,docs]"),
            _OWN_FILES,
        ),
        Recipe("runtime", _requirements(), (ROOT / "setup.cfg",)),
        Recipe(
            "user",
            ("--editable", str(ROOT)),
            _OWN_FILES,
        ),
        Recipe("real-server", ("spalloc_server==1!7.0.0",)),
        Recipe("existing-client", ("spalloc==1!7.0.0",)),
        Recipe(
            "front-end",
            ("--no-deps", "--no-compile", "--editable", str(ROOT), *_FRONT_END),
            (ROOT / "setup.cfg", ROOT / "setup.py", ROOT / "spalloc_gevent" / "_version.py"),
        ),
        Recipe("packaging", ("build>=1.2", "twine>=6.1")),
    )
}


def python_of(name: str, *, cache: Path = CACHE) -> Path:
    """The Python of the environment called `name`, which is made first if need be.

    Raises EnvironmentBuildError with pip's own words when it cannot be made.
    """
    return prepared(RECIPES[name], cache)


def other_pythons() -> list[Recipe]:
    """An environment for the tests on the oldest and on the newest Python of this machine.

    The Python that runs this is left out, and so are those that ``setup.cfg`` does not name.
    """
    found = [version for version in named_versions() if _is_this(version) or _python(version)]
    return [
        Recipe(f"python{version}", ("--editable", f"{ROOT}[test]"), _OWN_FILES, base)
        for version in dict.fromkeys([*found[:1], *found[-1:]])
        if not _is_this(version) and (base := _python(version))
    ]


def named_versions() -> list[str]:
    """The versions of Python that ``setup.cfg`` names, as ``3.10``, the oldest first."""
    return re.findall(r":: Python :: (3\.\d+)", _setup()["metadata"]["classifiers"])


def _is_this(version: str) -> bool:
    return version == f"{sys.version_info[0]}.{sys.version_info[1]}"


def _python(version: str) -> str | None:
    """A Python of this version that runs: on the search path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    return next(filter(_runs, candidates), None)


def _runs(python: str) -> bool:
    # pyenv has a command for each version, which fails for those that are not chosen.
    try:
        done = subprocess.run([python, "-c", "import venv"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def prepared(recipe: Recipe, cache: Path, run: Run | None = None) -> Path:
    """The Python of the environment made by `recipe` under the folder `cache`.

    `run` carries out a command, and raises EnvironmentBuildError when it fails.
    """
    folder = cache / f"{recipe.name}-{_digest(recipe)}"
    python = folder / "bin" / "python"
    if (folder / _STAMP).exists():
        return python
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{folder.name}.lock"):
        if not (folder / _STAMP).exists():
            _build(recipe, folder, python, run or _run)
    return python


def _digest(recipe: Recipe) -> str:
    digest = hashlib.sha256()
    facts = (sys.version, sys.base_prefix, recipe.base, str(ROOT), *recipe.requirements)
    for fact in facts:
        digest.update(fact.encode("utf-8") + b"\0")
    for path in recipe.depends_on:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, folder: Path, python: Path, run: Run) -> None:
    _say(f"making the environment {recipe.name} (once; kept in {folder})")
    if folder.exists():
        shutil.rmtree(folder)
    run([recipe.base, "-m", "venv", str(folder)], recipe)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    run([*pip, *recipe.requirements], recipe)
    (folder / _STAMP).touch()


def _run(command: Sequence[str], recipe: Recipe) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        words = done.stdout.decode("utf-8", "replace").strip()
        raise EnvironmentBuildError(
            f"cannot make the environment {recipe.name}: {' '.join(command)}\n"
            f"ended with exit code {done.returncode} and said:\n{words}"
        )


def _say(text: str) -> None:
    # In one piece: environments are made at the same time.
    print(f"{text}\n", end="", file=sys.stderr, flush=True)


def check_python() -> None:
    """Leave with a clear message when this Python is too old."""
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        sys.exit(f"this is Python {sys.version.split()[0]}; run it with Python {wanted} or newer")


def main(argv: Sequence[str] | None = None) -> int:
    check_python()
    parser = argparse.ArgumentParser(description="Make environments and print their Pythons.")
    parser.add_argument(
        "names",
        nargs="+",
        choices=sorted(RECIPES),
        metavar="NAME",
        help=f"one of {', '.join(RECIPES)}",
    )
    arguments = parser.parse_args(argv)
    try:
        for name in arguments.names:
            print(python_of(name), flush=True)
    except EnvironmentBuildError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
