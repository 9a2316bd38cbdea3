"""A command on a pseudo-terminal of its own, as a user starts it and types into it."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PATIENCE_S = 20.0
"""How long a test waits for what has to come; nothing is asserted about how long it took."""

# A session leader without a terminal gets the first one that it opens as its controlling one.
_TAKE_TERMINAL = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A command whose standard streams and controlling terminal are a new pseudo-terminal."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdout: int | None = None,
        columns: int = 80,
        lines: int = 24,
    ) -> None:
        """`stdout`: a file to use as standard output instead of the terminal."""
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *argv],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            env={"TERM": "xterm", **environ},
            start_new_session=True,
        )
        os.close(slave)
        self.pid = self._process.pid
        self.screen = ""
        """All that was written so far, escape sequences and all."""

    def read_until(self, text: str) -> str:
        """Everything written, once `text` is part of it; AssertionError if it never is."""
        self._read_while(lambda: text not in self.screen, f"{text!r} on the screen")
        return self.screen

    def read_match(self, pattern: str) -> str:
        """The first group of `pattern` (^ and $ as on lines), once it is found."""
        self._read_while(lambda: not self._find(pattern), f"{pattern!r} on the screen")
        found = self._find(pattern)
        assert found is not None
        return found[1]

    def _find(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.screen.replace("\r\n", "\n"), re.MULTILINE)

    def type(self, text: str) -> None:
        """Press keys; ``\\x03`` is Ctrl+C, ``\\x04`` the end of input, ``\\x1a`` Ctrl+Z."""
        os.write(self._master, text.encode())

    def signal(self, signum: int) -> None:
        """Signal the command itself, not its process group."""
        os.kill(self.pid, signum)

    def resize(self, columns: int, lines: int) -> None:
        """Change the window's size; the system tells the command with SIGWINCH."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def modes(self) -> list[Any]:
        """The terminal's modes, as :func:`termios.tcgetattr` gives them."""
        return termios.tcgetattr(self._master)

    def read_on_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once `condition` holds for what has been read; AssertionError if it never does."""
        self._read_while(lambda: not condition(), what)

    @property
    def is_hung_up(self) -> bool:
        return self._master < 0

    def hang_up(self) -> None:
        """Close the terminal, as a window manager does."""
        os.close(self._master)
        self._master = -1

    def wait(self) -> int:
        """The exit code, as :mod:`subprocess` gives it, once the command has ended."""
        if self._master >= 0:
            self._read_while(lambda: self._process.poll() is None, "the end")
            self._read_available(0.0)
        return self._process.wait(PATIENCE_S)

    def close(self) -> None:
        if self._master >= 0:
            self.hang_up()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _read_while(self, wanting: Callable[[], bool], what: str) -> None:
        gives_up_at = time.monotonic() + PATIENCE_S
        while wanting():
            assert time.monotonic() < gives_up_at, f"no {what}:\n{self.screen}"
            if not self._read_available(0.05) and self._process.poll() is not None:
                assert not wanting(), f"ended without {what}:\n{self.screen}"

    def _read_available(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            piece = os.read(self._master, 65_536)
        except OSError:  # Nobody has the terminal open any more.
            time.sleep(0.01)
            return False
        self.screen += self._decoder.decode(piece)
        return bool(piece)
