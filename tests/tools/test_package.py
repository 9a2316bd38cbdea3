"""The sdist and the wheel hold what they should, and work where nothing else is installed."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tools import _installed_main as installed
from tools import environments, package
from tools.package import PackageError

_PACKAGE = environments.ROOT / "tools" / "package.py"

WHEEL = "p-1-py3-none-any.whl"
SOURCE = {
    "LICENSE",
    "spalloc_gevent/__init__.py",
    "spalloc_gevent/py.typed",
    "man/p.1",
    "tests/test_p.py",
}
IN_WHEEL = [
    "spalloc_gevent/__init__.py",
    "spalloc_gevent/py.typed",
    "p-1.data/data/share/man/man1/p.1",
    "p-1.dist-info/licenses/LICENSE",
    "p-1.dist-info/METADATA",
]


def test_the_package_is_built_installed_and_used(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(_PACKAGE), "--target", str(tmp_path / "dist")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sdist, wheel = map(Path, done.stdout.splitlines()[-2:])
    assert {sdist, wheel} == set((tmp_path / "dist").iterdir())
    with zipfile.ZipFile(wheel) as archive:
        assert "spalloc_gevent/py.typed" in archive.namelist()
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = archive.read(metadata).decode()
    for extra in ("boot", "completion", "dask", "docs", "test"):
        assert f"\nProvides-Extra: {extra}\n" in told
    for line in ("Requires-Python: >=3.10", "Author: the developers of spalloc_gevent",
                 "License: Apache-2.0", "Description-Content-Type: text/x-rst"):  # fmt: skip
        assert f"\n{line}\n" in told
    folders = {name.split("/")[0] for name in package.files_of_sdist(sdist) if "/" in name}
    assert {"benchmarks", "docs", "man", "spalloc_gevent", "tests", "tools"} <= folders


def test_every_installed_command_is_used() -> None:
    assert sorted(installed.USES) == installed.commands()


# -------------------------------------------------------------- what is found


def wheel_of(folder: Path, names: Iterable[str], name: str = WHEEL) -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for inside in names:
            archive.writestr(inside, "")
    return folder / name


def sdist_of(folder: Path, names: Iterable[str]) -> Path:
    with tarfile.open(folder / "p-1.tar.gz", "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"p-1/{name}"), io.BytesIO())
    return folder / "p-1.tar.gz"


def test_an_sdist_that_lacks_something_is_found_out(tmp_path: Path) -> None:
    whole = sdist_of(tmp_path, [*SOURCE, "PKG-INFO"])
    assert list(package.faults_of_sdist(whole, SOURCE)) == []
    half = sdist_of(tmp_path, SOURCE - {"tests/test_p.py"})
    assert list(package.faults_of_sdist(half, SOURCE)) == ["p-1.tar.gz lacks tests/test_p.py"]


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        (IN_WHEEL, []),
        ([*IN_WHEEL, "tests/test_p.py"], ["has tests/test_p.py, which is not the package's"]),
        (IN_WHEEL[1:], ["lacks spalloc_gevent/__init__.py"]),
        ([IN_WHEEL[0], *IN_WHEEL[2:]], ["lacks spalloc_gevent/py.typed"]),
        (IN_WHEEL[:2] + IN_WHEEL[3:], ["lacks p-1.data/data/share/man/man1/p.1"]),
        (IN_WHEEL[:3], ["lacks p-1.dist-info/licenses/LICENSE"]),
    ],
)
def test_a_wheel_that_lacks_something_or_has_too_much_is_found_out(
    names: list[str], faults: list[str], tmp_path: Path
) -> None:
    wheel = wheel_of(tmp_path, names)
    found = list(package.faults_of_wheel(wheel, SOURCE))
    assert found == [f"{WHEEL} {fault}" for fault in faults]


def test_a_wheel_for_one_system_is_found_out(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, IN_WHEEL, "p-1-cp311-cp311-linux_x86_64.whl")
    (fault,) = package.faults_of_wheel(wheel, SOURCE)
    assert fault == f"{wheel.name} is not for every Python and system"


# -------------------------------------------------------- what does not work


def test_a_module_that_cannot_be_imported_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_module.py").write_text("import nosuch\n")
    with pytest.raises(
        installed.NotWholeError, match=r"broken_module cannot be imported: .*nosuch"
    ):
        installed._check_module("broken_module")


def test_only_the_package_of_an_extra_may_want_what_the_extra_brings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'pytest'", name="pytest")

    monkeypatch.setattr(installed, "import_module", fails)
    installed._check_module("spalloc_gevent.pytest_plugin.asking")
    with pytest.raises(installed.NotWholeError, match=r"spalloc_gevent\.job cannot be imported"):
        installed._check_module("spalloc_gevent.job")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("exit 3", r"spalloc-ps --version ended with 3"),
        ("echo spalloc-ps 0.0.1", r"is nowhere in:\nspalloc-ps 0\.0\.1"),
    ],
)
def test_a_command_that_does_not_work_is_found_out(
    script: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spalloc-ps").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "spalloc-ps").chmod(0o755)
    monkeypatch.setattr(installed, "SCRIPTS", tmp_path)
    with pytest.raises(installed.NotWholeError, match=complaint):
        installed.check_command("spalloc-ps", {})


def test_what_is_not_as_it_should_be_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> list[Path]:
        raise PackageError("p-1.tar.gz lacks LICENSE")

    monkeypatch.setattr(package, "make", fail)
    assert package.main([]) == 1
    assert capsys.readouterr().err == "p-1.tar.gz lacks LICENSE\n"


def test_what_a_tool_said_is_told_when_it_fails() -> None:
    with pytest.raises(PackageError, match=r"ended with 3:\nalas"):
        package._run(["sh", "-c", "echo alas; exit 3"])
