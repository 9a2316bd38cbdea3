"""The standard streams of ``spalloc``: status on standard error, the result on standard output."""

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


class Streams:
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

    def summary(self, facts: Facts) -> None:
        """The machine, as users know it."""
        pairs: list[tuple[str, object]] = [
            ("Hostname", self._paint(printable(facts.hostname), Style.BRIGHT)),
            ("Width", facts.width),
            ("Height", facts.height),
        ]
        if len(facts.connections) > 1:
            pairs.append(("Num boards", len(facts.connections)))
            pairs.append(("All hostnames", facts.ethernet_ips))
        pairs.append(("Running on", printable(facts.machine)))
        write(self._stdout, render_definitions(pairs) + "\n")

    def wait_for_enter(self, signals: Signals, every_s: float, look: Callable[[], bool]) -> None:
        """Prompt, and wait for a line, the end of input, a signal, or `look` to return True.

        `look` is called every `every_s` seconds. Signals stay with `signals`.
        """
        write(self._stdout, self._paint(_PROMPT, Style.DIM))
        while not (signals.pending or look() or self._stdin is None or self._stdin.closed):
            if signals.wait(every_s, [self._stdin.fileno()]):
                typed = read(self._stdin.fileno())
                if b"\n" in typed:
                    return
                if not typed:
                    break
        write(self._stdout, "\n")


def read(file: int) -> bytes:
    """What has been typed; nothing at the end of input, and on a terminal that has been closed."""
    try:
        return os.read(file, 4096)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise
