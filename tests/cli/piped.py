"""What a command writes into a pipe, read as it comes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO, Any

from tools.terminal import PATIENCE_S


class Piped:
    """A command of :meth:`Shell.start`, and what came through its pipes so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._pieces: dict[IO[str], bytes] = {process.stdout: b"", process.stderr: b""}

    @property
    def out(self) -> str:
        assert self.process.stdout is not None
        return self._pieces[self.process.stdout].decode()

    @property
    def err(self) -> str:
        assert self.process.stderr is not None
        return self._pieces[self.process.stderr].decode()

    @property
    def blocks(self) -> list[str]:
        """The whole blocks that were written."""
        return self.out.split("\n\n")[:-1]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The whole lines that were written, as JSON."""
        return [json.loads(line) for line in self.out.split("\n")[:-1]]

    def read_until(self, condition: Callable[[Piped], object], what: str) -> None:
        """Return once `condition` holds; AssertionError if it never does."""
        gives_up_at = time.monotonic() + PATIENCE_S
        while not condition(self):
            told = f"{self.out}\n--- standard error:\n{self.err}"
            assert time.monotonic() < gives_up_at, f"no {what}:\n{told}"
            assert self._read() or condition(self), f"ended without {what}:\n{told}"

    def _read(self) -> bool:
        """Wait a little for more; False when there will not be any."""
        open_ends = [pipe for pipe in self._pieces if not pipe.closed]
        for pipe in select.select(open_ends, [], [], 0.05)[0]:
            piece = os.read(pipe.fileno(), 65_536)
            self._pieces[pipe] += piece
            if not piece:
                pipe.close()
        return any(not pipe.closed for pipe in self._pieces)

    def interrupt(self) -> int:
        """Press Ctrl+C; the exit code once it has ended."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once it has ended and all that it wrote is read."""
        self.read_until(
            lambda piped: all(pipe.closed for pipe in piped._pieces), "end of what is written"
        )
        return self.process.wait(PATIENCE_S)
