"""A program that does what it is told, line by line; for measuring what happens in it from outside.

The one half, :class:`Worker`, starts it and tells it; the other, :func:`obey`, is the program's.
Standard library only: one of the programs runs with the existing client's Python.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
END_S = 60.0


class WorkerError(RuntimeError):
    """A program ended, or failed, instead of doing what it was told."""


class Worker:
    """A program of this folder that obeys."""

    def __init__(self, python: str | Path, program: str, *arguments: object) -> None:
        self._program = program
        path = ROOT / "benchmarks" / f"{program}.py"
        self._process = subprocess.Popen(
            [str(python), str(path), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, order: str, *arguments: object) -> Any:
        """Have it done; what came of it. WorkerError when that was nothing."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([order, *arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(f"{self._program} has ended before {order!r}") from error
        return self.hear()

    def hear(self) -> Any:
        """The next thing that it says."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            raise WorkerError(f"{self._program} has ended without an answer")
        return json.loads(said)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let it end; it is killed when it does not."""
        with self._process as process:
            try:
                process.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise WorkerError(f"{self._program} did not end") from None
            except BaseException:
                process.kill()
                raise


def obey(orders: Mapping[str, Callable[..., object]]) -> None:
    """Carry out order after order until there are no more; one that fails ends the program."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        print(json.dumps(orders[order](*arguments)), file=answers, flush=True)
