"""``python3 tools/package.py``: the sdist and the wheel, into ``dist``, once they have been tried.

Made by ``build`` from a clean copy of the checkout with the manual pages, the wheel from the sdist.
Then ``twine`` looks at them, what they hold is compared with the checkout, and the wheel is
installed into a new environment, where every module is imported and every command is run. Standard
library only; build, twine and Sphinx are in environments that are made first if need be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import docs, environments

PACKAGE = "spalloc_gevent"
MANUAL = "share/man/man1"

COPIED = ("*.rst", "*.in", "*.toml", "LICENSE", "setup.*", ".ci", "benchmarks", "docs", PACKAGE,
          "tests", "tools")  # fmt: skip
"""What a checkout consists of; whatever else lies about in it is nobody's business."""

_MADE_BY_RUNNING = shutil.ignore_patterns("__pycache__", "*.py[cod]")

_TRY = Path(__file__).resolve().parent / "_installed_main.py"


class PackageError(Exception):
    """The package is not as it should be; the message says what is wrong."""


def make(target: Path, pythons: Sequence[str]) -> list[Path]:
    """The sdist and the wheel in `target`, tried with each of the Pythons; raises PackageError."""
    packaging = environments.python_of("packaging")
    sphinx = environments.python_of("project")
    with tempfile.TemporaryDirectory(prefix="package-") as folder:
        work = Path(folder)
        source = copied(work / "source")
        add_manual(source, sphinx, work)
        # Before building adds to them.
        files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
        made = built(packaging, source, work / "dist")
        _say("compare with the checkout")
        if faults := [*faults_of_sdist(made[0], files), *faults_of_wheel(made[1], files)]:
            raise PackageError("\n".join(faults))
        for number, python in enumerate(pythons):
            tried(python, made[1], work / f"clean-{number}")
        target.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(path, target)) for path in made]


def copied(source: Path) -> Path:
    """A copy of the checkout in the folder `source`, without what was left there by running it."""
    source.mkdir()
    for pattern in COPIED:
        for path in environments.ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, source / path.name, ignore=_MADE_BY_RUNNING)
            else:
                shutil.copy(path, source)
    return source


def add_manual(source: Path, sphinx: Path, work: Path) -> None:
    """Make the manual pages, and put them where setup.cfg looks for them."""
    _say("manual pages")
    made = work / "manual" / "man"
    if docs.build(sphinx, "man", made) != 0:
        raise PackageError("the manual pages cannot be made")
    (source / "man").mkdir()
    for page in sorted(made.glob("*.1")):
        shutil.copy(page, source / "man")


def built(packaging: Path, source: Path, target: Path) -> tuple[Path, Path]:
    """The sdist of `source`, and the wheel that is built from the sdist; twine approves of both."""
    _say("build")
    _run([packaging, "-m", "build", "--outdir", target, source])
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    _say("twine check")
    _run([packaging, "-m", "twine", "check", "--strict", sdist, wheel])
    return sdist, wheel


def files_of_sdist(sdist: Path) -> set[str]:
    """The names of all files, without the folder that all are in."""
    with tarfile.open(sdist) as archive:
        return {member.name.split("/", 1)[1] for member in archive if member.isfile()}


def faults_of_sdist(sdist: Path, source: Set[str]) -> Iterator[str]:
    """What of the files of the source is not in the sdist."""
    for name in sorted(source - files_of_sdist(sdist)):
        yield f"{sdist.name} lacks {name}"


def faults_of_wheel(wheel: Path, source: Set[str]) -> Iterator[str]:
    """What a wheel lacks of the package and its manual pages, and what else it has."""
    if not wheel.name.endswith("-py3-none-any.whl"):
        yield f"{wheel.name} is not for every Python and system"
    stem = "-".join(wheel.name.split("-")[:2])
    expected = {name for name in source if name.startswith(f"{PACKAGE}/")}
    expected |= {f"{stem}.data/data/{MANUAL}/{Path(name).name}"
                 for name in source if name.startswith("man/")}  # fmt: skip
    expected |= {f"{stem}.dist-info/licenses/LICENSE"}
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
    for name in sorted(expected - there):
        yield f"{wheel.name} lacks {name}"
    for name in sorted(there - expected):
        if not name.startswith(f"{stem}.dist-info/"):
            yield f"{wheel.name} has {name}, which is not the package's"


def tried(python: str, wheel: Path, clean: Path) -> None:
    """Install the wheel with `python` into a new environment `clean`, and use it there."""
    _say(f"install and use it with {python}")
    _run([python, "-m", "venv", clean])
    inside = clean / "bin" / "python"
    pip: list[str | Path] = [inside, "-m", "pip", "--disable-pip-version-check"]
    # No compiler is needed by whoever installs it, so none may be needed here.
    _run([*pip, "install", "--only-binary", ":all:", wheel])
    # Isolated, and elsewhere: nothing of the checkout is found.
    elsewhere = clean / "elsewhere"
    elsewhere.mkdir()
    _run([inside, "-I", _TRY], cwd=elsewhere)


def _run(command: Sequence[str | Path], cwd: Path | None = None) -> None:
    """Run a command, of which nothing is shown unless it fails."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=environ,
    )
    if done.returncode != 0:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise PackageError(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{said}")


def _say(what: str) -> None:
    print(f"== {what}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    parser = argparse.ArgumentParser(description="Make the sdist and the wheel, and try them.")
    parser.add_argument(
        "--target", type=Path, default=environments.ROOT / "dist", help="where they go (dist)"
    )
    parser.add_argument(
        "--python",
        dest="pythons",
        action="append",
        metavar="COMMAND",
        help="a Python to install the wheel with; repeat for more (default: this one)",
    )
    arguments = parser.parse_args(argv)
    try:
        for path in make(arguments.target, arguments.pythons or [sys.executable]):
            print(path)
    except (environments.EnvironmentBuildError, PackageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
