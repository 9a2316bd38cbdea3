"""The tutorial is true; and where it is not, ``tools/first_hour.py`` says so."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import environments, first_hour
from tools.code_blocks import code_blocks

_TOOL = environments.ROOT / "tools" / "first_hour.py"


@pytest.fixture(scope="module")
def venv() -> Path:
    """An environment that has the package, and nothing but what that brings with it."""
    return environments.python_of("user").parent.parent


def _first_hour(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_TOOL), "--free-port", "--venv", str(venv), *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_all_that_the_tutorial_says_is_true(venv: Path) -> None:
    done = _first_hour(venv)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    typed = [line for line in first_hour.PAGE.read_text("utf-8").splitlines() if "    $ " in line]
    # Those that make an environment have been passed over, not run.
    assert done.stdout.count(": $ ") == len(typed) - 2
    assert done.stdout.endswith(f"All of it is true: {len(typed)} commands.\n")


def test_a_page_that_says_something_else_is_found_out(venv: Path, tmp_path: Path) -> None:
    page = first_hour.PAGE.read_text("utf-8")
    number = 1 + page.splitlines().index("    127.1.0.1 has 16 x 16 chips")
    changed = tmp_path / "changed.rst"
    changed.write_text(page.replace("has 16 x 16 chips", "has 16 x 20 chips"), "utf-8")
    done = _first_hour(venv, str(changed))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f'{changed}: line {number}: $ spalloc 3 -c "echo {{}} has {{w}} x {{h}} chips"\n'
        "  expected: 127.1.0.1 has 16 x 20 chips\n"
        "  got:      127.1.0.1 has 16 x 16 chips\n"
    )
    assert "true" not in done.stdout


def _page(*lines: str) -> str:
    return "\n".join([".. code-block:: console", "", *(f"    {line}" for line in lines)])


def _command(*printed: str) -> first_hour.Command:
    (block,) = code_blocks(_page("$ do", *printed))
    (command,) = first_hour.commands_of(block)
    return command


@pytest.mark.parametrize(
    ("printed", "got"),
    [
        ((), ""),
        (("a", "", "  b"), "a\n\n  b  \n"),
        (("...",), ""),
        (("...", "b"), "a\nb\nb\n"),
        (("a", "...", "b", "..."), "a\nb\n"),
        (("job ... is ...",), "job 12 is ready\n"),
        (("Waiting...",), "Waiting...\n"),
    ],
)
def test_what_is_printed_is_what_the_page_says(printed: Sequence[str], got: str) -> None:
    first_hour.check_printed(_command(*printed), got)


@pytest.mark.parametrize(
    ("printed", "got", "line", "expected", "found"),
    [
        (("a",), "b\n", 4, "a", "b"),
        (("a",), "", 4, "a", "nothing more"),
        (("a",), "a\nb\n", 3, "nothing more", "b"),
        (("a", "b"), "a\n b\n", 5, "b", " b"),
        (("a+",), "aa\n", 4, "a+", "aa"),
        (("...", "b", "c"), "b\nb\nd\n", 6, "c", "d"),
    ],
)
def test_the_first_line_that_differs_is_told(
    printed: Sequence[str], got: str, line: int, expected: str, found: str
) -> None:
    with pytest.raises(first_hour.UntrueError) as caught:
        first_hour.check_printed(_command(*printed), got)
    told = str(caught.value)
    assert told.startswith(f"line {line}: $ do\n")
    assert f"\n  expected: {expected}\n  got:      {found}\n" in told


def test_files_are_written_and_terminals_kept_apart(tmp_path: Path) -> None:
    page = """
.. code-block:: text
   :caption: ~/told.txt

   hello
     there

.. code-block:: console
   :caption: Elsewhere

   $ word=elsewhere
   $ echo $word; cat
   elsewhere

.. code-block:: console

   $ cat ~/told.txt; word=here; false
   hello
     there
   $ echo $? $word
   1 here
"""
    with first_hour.Hour(tmp_path, has_environment=False) as hour:
        assert hour.follow(page) == 4


def test_what_does_not_end_at_ctrl_c_is_killed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_hour, "END_S", 0.2)
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True)"
    page = f"""
.. code-block:: console
   :caption: Elsewhere

   $ exec python3 -c "{ignore}; signal.pause()"
   up
"""
    with (
        pytest.raises(first_hour.UntrueError, match=r"Ctrl\+C did not end .*Elsewhere"),
        first_hour.Hour(tmp_path, has_environment=False) as hour,
    ):
        hour.follow(page)


def test_what_is_left_running_ends_with_a_script_that_is_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    wait = (
        f"import signal; told = open({str(fifo)!r}, 'w'); print('up', flush=True); signal.pause()"
    )
    page = tmp_path / "page.rst"
    page.write_text(
        f"""
.. code-block:: console
   :caption: Elsewhere

   $ python3 -c "{wait}"
   up

.. code-block:: console

   $ kill -KILL $PPID
""",
        "utf-8",
    )
    command = [sys.executable, str(_TOOL), "--venv", sys.prefix, str(page)]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with (
        subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as script,
        fifo.open("rb") as held_open_by_it,
    ):
        assert script.wait() == -signal.SIGKILL
        assert held_open_by_it.read() == b""


def test_a_command_that_ends_the_terminal_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(first_hour.UntrueError, match=r"line 3: \$ exit 3\n  ended the shell"),
        first_hour.Hour(tmp_path, has_environment=False) as hour,
    ):
        hour.follow(_page("$ exit 3"))


def test_a_port_that_is_taken_is_replaced_everywhere() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = _page(f"$ serve --port {port}", f"at {port}, not {port}0")
        replaced = first_hour.with_free_port(page)
    other = replaced.split("--port ")[1].split("\n")[0]
    assert int(other) != port
    assert replaced == _page(f"$ serve --port {other}", f"at {other}, not {port}0")


def test_a_port_that_is_free_stays_as_it_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = _page(f"$ serve --port {port}")
    assert first_hour.with_free_port(page) == page
