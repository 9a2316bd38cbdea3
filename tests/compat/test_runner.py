"""``python -m spalloc_gevent.compat``: programs see what they would see when Python ran them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.transport.programs import PROMPT_S, ROOT

COMPAT = ("-m", "spalloc_gevent.compat")

SURROUNDINGS = """\
import __main__, os, sys
print(sys.argv, sys.path[0], __name__, __main__.__dict__ is globals())
print([(name, repr(globals().get(name))) for name in ("__file__", "__package__", "__builtins__")])
print(type(__loader__), __spec__ and (__spec__.name, __spec__.origin))
"""


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PROMPT_S,
    )


def make_programs(folder: Path) -> None:
    for name in ("program.py", "package/__init__.py", "package/__main__.py", "package/inner.py"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if path.stem == "__init__" else SURROUNDINGS)
    (folder / "link.py").symlink_to(folder / "package" / "inner.py")
    with zipfile.ZipFile(folder / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", SURROUNDINGS)


@pytest.mark.parametrize(
    "what",
    [
        ("program.py",), ("./program.py",), ("link.py",), ("package",), ("packed.zip",),
        ("-m", "program"), ("-m", "package"), ("-m", "package.inner"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_program_finds_the_surroundings_that_python_gives_it(
    what: tuple[str, ...], tmp_path: Path
) -> None:
    make_programs(tmp_path)
    arguments = (*what, "-x", "--help", "two words")
    expected = run(*arguments, folder=tmp_path)
    assert expected.returncode == 0
    done = run(*COMPAT, *arguments, folder=tmp_path)
    assert (done.stdout, done.stderr) == (expected.stdout, "")
    assert done.returncode == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="python -P is there since 3.11")
def test_no_folder_is_searched_for_modules_where_python_is_told_so(tmp_path: Path) -> None:
    make_programs(tmp_path)
    expected = run("-P", "program.py", folder=tmp_path)
    assert run("-P", *COMPAT, "program.py", folder=tmp_path).stdout == expected.stdout


@pytest.mark.parametrize(
    "program",
    [
        "", "import sys; sys.exit(7)", "import sys; sys.exit('words')", "raise SystemExit",
        "1/0", "raise KeyboardInterrupt", "import os; os._exit(3)", "this is no Python",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_module", [False, True], ids=["file", "module"])
def test_program_ends_as_it_ends_under_python(
    program: str, as_module: bool, tmp_path: Path
) -> None:
    tmp_path.joinpath("program.py").write_text(program)
    what = ("-m", "program") if as_module else ("program.py",)
    expected = run(*what, folder=tmp_path)
    done = run(*COMPAT, *what, folder=tmp_path)
    assert done.returncode == expected.returncode
    assert done.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


def test_interrupted_program_is_ended_by_the_signal(tmp_path: Path) -> None:
    tmp_path.joinpath("program.py").write_text("raise KeyboardInterrupt")
    assert run(*COMPAT, "program.py", folder=tmp_path).returncode == -signal.SIGINT


def test_module_or_folder_that_is_no_program_ends_as_under_python(tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    for what in (("-m", "nowhere"), ("-m", "empty"), ("empty",)):
        expected = run(*what, folder=tmp_path)
        done = run(*COMPAT, *what, folder=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (expected.returncode, 1) == (1, 1)
        assert done.stderr.partition(": ")[2] == expected.stderr.partition(": ")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no program given"),
        (("-m",), "-m takes a module"),
        (("--fast", "program.py"), "there is no option '--fast'"),
        (("nowhere.py",), "cannot open 'nowhere.py': No such file or directory"),
        (("closed.py/x",), "cannot open 'closed.py/x': Not a directory"),
    ],
)
def test_mistake_on_the_command_line_is_told_in_one_line(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    tmp_path.joinpath("closed.py").touch()
    done = run(*COMPAT, *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    usage, error = done.stderr.splitlines()
    assert usage.startswith("usage: python -m spalloc_gevent.compat ")
    assert error == f"python -m spalloc_gevent.compat: error: {told}"


def test_help_tells_the_options_and_exit_codes(tmp_path: Path) -> None:
    done = run(*COMPAT, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-m MODULE" in done.stdout
    assert "exit codes:" in done.stdout


def test_names_of_a_program_are_there_until_the_interpreter_ends(
    tmp_path: Path,
) -> None:
    tmp_path.joinpath("program.py").write_text(
        "import atexit, spalloc\n"
        "held = 3\n"
        "atexit.register(lambda: print(held, spalloc.__name__, __import__('__main__').held))\n"
    )
    for what in (("program.py",), ("-m", "program")):
        assert run(*COMPAT, *what, folder=tmp_path).stdout == "3 spalloc_gevent 3\n"
