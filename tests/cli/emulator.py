"""Windows in which commands are seen and used as a person does it, and the keys that are pressed.

A test module gets the fixture ``windows`` by importing the function that makes it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Shell
from tools.emulator import Window
from tools.terminal import Terminal

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
PAGE_DOWN = "\x1b[6~"
CTRL_C, CTRL_Z = "\x03", "\x1a"


class Windows:
    """Opens windows, and closes them after the test."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._opened: list[Terminal] = []

    def open(
        self,
        command: str,
        *arguments: object,
        columns: int = 80,
        lines: int = 24,
        wrapper: str = 'exec "$@"',
        **environ: str,
    ) -> Window:
        """Run a command in a window of its own; `wrapper`: the shell script that runs it."""
        argv = self.shell.argv(command, *map(str, arguments))
        terminal = Terminal(
            ["sh", "-c", wrapper, "sh", *argv],
            {**self.shell.environ, **environ},
            columns=columns,
            lines=lines,
        )
        self._opened.append(terminal)
        return Window(terminal, columns, lines)

    def close(self) -> None:
        for terminal in self._opened:
            terminal.close()


@pytest.fixture(name="windows")
def windows_fixture(shell: Shell) -> Iterator[Windows]:
    windows = Windows(shell)
    yield windows
    windows.close()
