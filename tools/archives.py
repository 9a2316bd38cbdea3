"""What is in an sdist and in a wheel, and what should be. Standard library only."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator, Set
from pathlib import Path

MANUAL = "share/man/man1"

# Written by whoever builds: one tool's name and version, and sums of all that is compared anyway.
_BUILDERS_OWN = ("/WHEEL", "/RECORD")


def files_below(folder: Path) -> set[str]:
    """The names of all files, relative to `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def files_of_sdist(sdist: Path) -> set[str]:
    """The names of all files, without the folder that all are in."""
    with tarfile.open(sdist) as archive:
        return {member.name.split("/", 1)[1] for member in archive if member.isfile()}


def content_of_wheel(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def faults_of_sdist(sdist: Path, source: Set[str]) -> Iterator[str]:
    """What of the files of the source is not in the sdist."""
    for name in sorted(source - files_of_sdist(sdist)):
        yield f"{sdist.name} lacks {name}"


def faults_of_wheel(wheel: Path, source: Set[str], package: str) -> Iterator[str]:
    """What a wheel lacks of the package and its manual pages, and what else it has."""
    if not wheel.name.endswith("-py3-none-any.whl"):
        yield f"{wheel.name} is not for every Python and system"
    stem = "-".join(wheel.name.split("-")[:2])
    pages = f"{stem}.data/data/{MANUAL}"
    expected = {name for name in source if name.startswith(f"{package}/")}
    expected |= {name.replace("man", pages, 1) for name in source if name.startswith("man/")}
    expected |= {f"{stem}.dist-info/licenses/LICENSE"}
    there = set(content_of_wheel(wheel))
    for name in sorted(expected - there):
        yield f"{wheel.name} lacks {name}"
    for name in sorted(there - expected):
        if not name.startswith(f"{stem}.dist-info/"):
            yield f"{wheel.name} has {name}, which is not the package's"


def differences(one: Path, other: Path) -> Iterator[str]:
    """What two wheels do not have in common."""
    first, second = content_of_wheel(one), content_of_wheel(other)
    for name in sorted(first.keys() | second.keys()):
        if not name.endswith(_BUILDERS_OWN) and first.get(name) != second.get(name):
            yield f"{name} is another in the wheel that is made from the sdist"
