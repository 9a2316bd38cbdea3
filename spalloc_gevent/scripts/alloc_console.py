"""What ``spalloc`` says: status on standard error, the result on standard output."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from spalloc_gevent.display.tables import render_definitions
from spalloc_gevent.display.terminal import Paint, StatusLine, Style, Telling, printable, write
from spalloc_gevent.scripts.signals import Signals
from spalloc_gevent.scripts.substitution import Facts

_PROMPT = "<Press enter when done>"


class Console:
    """The three standard streams (None: this process's), and how much may be said."""

    def __init__(
        self,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        # A standard stream is None where the shell closed it.
        self._stdin: TextIO | None = sys.stdin if stdin is None else stdin
        self._stdout = sys.stdout if stdout is None else stdout
        self.stderr = sys.stderr if stderr is None else stderr
        self.environ = os.environ if environ is None else environ
        self.telling = Telling()
        """Whether standard error still takes what is told."""
        self._paint = Paint.for_stream(self._stdout, environ=self.environ)
        self.talk(quiet=False, in_place=True)

    def talk(self, *, quiet: bool, in_place: bool) -> None:
        """`quiet`: only errors and results; `in_place`: status lines may replace each other."""
        self._quiet = quiet
        overwrite = None if in_place else False
        self._line = StatusLine(self.stderr, overwrite=overwrite, environ=self.environ)

    def status(self, text: str) -> None:
        """What is being waited for."""
        if not self._quiet:
            self.telling(lambda: self._line.show(text, Style.YELLOW))

    def success(self, text: str) -> None:
        """The end of the waiting."""
        if not self._quiet:
            self.telling(lambda: self._line.finish(text, Style.GREEN))

    def failure(self, text: str) -> None:
        """The end of the waiting, and of more; shown even when quiet."""
        self.telling(lambda: self._line.finish(printable(text), Style.RED))

    def interject(self, text: str) -> None:
        """A line above what is being waited for; shown even when quiet."""
        line = " ".join(printable(text).split())
        self.telling(lambda: self._line.interject(line, Style.YELLOW))

    def remark(self, text: str) -> None:
        """What somebody has to know in the end; shown even when quiet."""
        self.telling(lambda: self._line.finish(text))

    def end_line(self) -> None:
        """Let what is written next begin on a line of its own."""
        self.telling(self._line.finish)

    def print(self, text: object) -> None:
        """A result."""
        write(self._stdout, f"{text}\n")

    def summary(self, facts: Facts) -> None:
        """The machine, as users know it."""
        self.print(render_definitions(_summary(facts, self._paint)))

    def wait_for_enter(self, signals: Signals, every_s: float, look: Callable[[], bool]) -> None:
        """Prompt, and wait for a line, the end of input, a signal, or `look` to return True.

        `look` is called every `every_s` seconds. Signals stay with `signals`.
        """
        write(self._stdout, self._paint(_PROMPT, Style.DIM))
        entered = False
        while not (entered or signals.pending or look()):
            entered = self._line_entered(signals, every_s)
        if not entered:
            self.print("")

    def _line_entered(self, signals: Signals, timeout_s: float) -> bool:
        if self._stdin is None or self._stdin.closed:
            return self._end_of_input()
        file = self._stdin.fileno()
        return bool(signals.wait(timeout_s, [file])) and self._read_line(file)

    def _read_line(self, file: int) -> bool:
        """Whether there is no more to wait for: a whole line, or the end."""
        typed = _read(file)
        return self._end_of_input() if not typed else b"\n" in typed

    def _end_of_input(self) -> bool:
        self.print("")
        return True


def _read(file: int) -> bytes:
    try:
        return os.read(file, 4096)
    except OSError as error:
        if error.errno == errno.EIO:  # The terminal has been closed.
            return b""
        raise


def _summary(facts: Facts, paint: Paint) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("Hostname", paint(printable(facts.hostname), Style.BRIGHT)),
        ("Width", facts.width),
        ("Height", facts.height),
    ]
    if len(facts.connections) > 1:
        pairs += [("Num boards", len(facts.connections)), ("All hostnames", facts.ethernet_ips)]
    return [*pairs, ("Running on", printable(facts.machine))]
