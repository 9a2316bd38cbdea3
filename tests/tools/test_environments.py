"""Environments are built once, completely or not at all, whoever else builds them too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import environments
from tools.environments import ROOT, EnvironmentBuildError, Recipe, check_python, prepared

_PREPARE = """
import sys
from pathlib import Path
from tools.environments import Recipe, prepared
print(prepared(Recipe("nothing", ("--requirement", sys.argv[1])), Path(sys.argv[2])))
"""


@pytest.fixture
def nothing(tmp_path: Path) -> Recipe:
    """A recipe that needs no network: it asks for nothing."""
    wishes = tmp_path / "requirements.txt"
    wishes.write_text("# nothing\n")
    return Recipe("nothing", ("--requirement", str(wishes)), (wishes,))


def pretend(command: Sequence[str], _recipe: Recipe) -> None:
    """Makes what ``python -m venv`` makes, as far as anybody looks, and installs nothing."""
    if "venv" in command:
        python = Path(command[-1]) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()


def interrupted(command: Sequence[str], recipe: Recipe) -> None:
    pretend(command, recipe)
    if "pip" in command:
        raise KeyboardInterrupt


def test_an_environment_is_made_once_and_its_python_runs(
    nothing: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = prepared(nothing, tmp_path / "cache")
    assert capsys.readouterr().err.count("making the environment nothing") == 1
    assert prepared(nothing, tmp_path / "cache") == first
    assert capsys.readouterr().err == ""
    shown = subprocess.check_output([first, "-c", "import sys; print(sys.prefix)"], text=True)
    assert Path(shown.strip()) == first.parent.parent


def test_an_interrupted_build_is_never_used_and_built_anew(nothing: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepared(nothing, tmp_path / "cache", interrupted)
    (half,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    (half / "left-over").touch()
    python = prepared(nothing, tmp_path / "cache", pretend)
    assert python == half / "bin" / "python"
    assert python.exists()
    assert not (half / "left-over").exists()


def test_two_runs_at_once_build_it_once_and_both_get_it(tmp_path: Path) -> None:
    wishes = tmp_path / "requirements.txt"
    wishes.touch()
    command = [sys.executable, "-c", _PREPARE, str(wishes), str(tmp_path / "cache")]
    runs = [
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert sorted("making" in errors for _, errors in said) == [False, True]


def test_a_changed_file_that_it_depends_on_makes_another_environment(
    nothing: Recipe, tmp_path: Path
) -> None:
    before = prepared(nothing, tmp_path / "cache", pretend)
    nothing.depends_on[0].write_text("# nothing else\n")
    assert prepared(nothing, tmp_path / "cache", pretend) != before


def test_a_failure_is_told_in_the_words_of_pip_and_leaves_nothing_to_be_used(
    tmp_path: Path,
) -> None:
    recipe = Recipe("broken", (str(tmp_path / "no-such-package"),))
    with pytest.raises(EnvironmentBuildError, match="no-such-package") as caught:
        prepared(recipe, tmp_path / "cache")
    assert "cannot make the environment broken" in str(caught.value)
    assert not list((tmp_path / "cache").glob("*/complete"))


def other_versions(monkeypatch: pytest.MonkeyPatch, path: Path, *there: str) -> list[str]:
    """The names of the other Pythons, where the versions `there` run, and ``python3.99`` fails."""
    for version in [*there, "3.99"]:
        python = path / f"python{version}"
        python.write_text("#!/bin/sh\nexit 127\n" if version == "3.99" else "#!/bin/sh\n")
        python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}")
    monkeypatch.setenv("PYENV_ROOT", str(path / "none"))
    named = ["3.9", *sorted(there), "3.99"]
    monkeypatch.setattr(environments, "named_versions", lambda: named)
    return [recipe.name for recipe in environments.other_pythons()]


@pytest.mark.parametrize(
    ("there", "other"),
    [
        ([], []),
        (["3.50"], ["python3.50"]),
        (["3.50", "3.60", "3.70"], ["python3.50", "python3.70"]),
    ],
)
def test_the_other_pythons_are_the_oldest_and_the_newest_that_run(
    there: list[str], other: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert other_versions(monkeypatch, tmp_path, *there) == other


def test_a_python_of_pyenv_counts_and_this_one_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "versions" / "3.50.1" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    this = f"3.{sys.version_info[1]}"
    monkeypatch.setattr(environments, "named_versions", lambda: [this, "3.50"])
    (recipe,) = environments.other_pythons()
    assert (recipe.name, recipe.base) == ("python3.50", str(python))


def test_the_python_that_runs_this_is_named_by_the_package() -> None:
    named = environments.named_versions()
    assert named[0] == ".".join(map(str, environments.OLDEST_PYTHON))
    assert f"3.{sys.version_info[1]}" in named


def test_an_environment_is_made_with_the_python_of_its_recipe(tmp_path: Path) -> None:
    commands: list[Sequence[str]] = []
    recipe = Recipe("old", (), (), "/old/python")

    def record(command: Sequence[str], recipe: Recipe) -> None:
        commands.append(command)
        pretend(command, recipe)

    prepared(recipe, tmp_path, record)
    assert commands[0][:3] == ["/old/python", "-m", "venv"]


def test_a_python_too_old_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    check_python()
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"run it with Python 3\.10 or newer"):
        check_python()


def test_an_unknown_environment_is_a_usage_error() -> None:
    command = [sys.executable, str(ROOT / "tools" / "environments.py"), "nosuch"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nosuch" in done.stderr
    assert "real-server" in done.stderr
