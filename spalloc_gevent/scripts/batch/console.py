"""What ``spalloc-batch`` says while it runs: news on standard error, output of cases as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.screen import Footer
from spalloc_gevent.display.terminal import (
    Colour,
    Paint,
    Style,
    Telling,
    is_terminal,
    printable,
    write,
)
from spalloc_gevent.scripts.batch.outputs import CaseFiles, pieces_of
from spalloc_gevent.scripts.batch.progress import STYLES, CaseProgress, span_told
from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict
from spalloc_gevent.scripts.batch.summary import Summary, rendered
from spalloc_gevent.scripts.batch.trial import CommandRun

SHORTEST_REST_S = 0.1
"""Bursts of news are one redraw."""
LONGEST_REST_S = 1.0
"""Times are shown, and pass."""

_WIDEST_VERDICT = max(len(verdict.text) for verdict in Verdict)
_OLDEST = 3


class BatchConsole:
    """The standard streams (None: closed), and how much is said."""

    def __init__(
        self,
        stdout: TextIO | None,
        stderr: TextIO | None,
        *,
        quiet: bool = False,
        in_place: bool = True,
        colour: Colour = Colour.AUTO,
        environ: Mapping[str, str],
    ) -> None:
        """quiet: only what went wrong; in_place: with lines at the bottom that are redrawn."""
        self._stdout = stdout
        self._stderr = stderr
        self._quiet = quiet
        self._paint = Paint.for_stream(stderr, colour, environ)
        self._footer: Footer | None = None
        if stderr is not None and in_place and not quiet and is_terminal(stderr, environ):
            self._footer = Footer(stderr)
        self.telling = Telling()
        """Whether anything can still be told."""
        self._rest = Deadline(0.0)
        self._news = True

    # -- news ---------------------------------------------------------------------------

    def case(self, record: CaseRecord, progress: CaseProgress) -> None:
        """Tell a case's verdict; one that has passed is only counted, where counts are shown.

        So is one that was never started: nobody wants a line for each.
        """
        self._news = True
        passed = record.verdict is Verdict.PASSED
        if record.was_left_out or (passed and (self._quiet or self._footer is not None)):
            return
        total = f"{progress.total:,}"
        count = self._paint(f"[{progress.done:>{len(total)},}/{total}]", Style.DIM)
        verdict = self._paint(
            f"{record.verdict.text:<{_WIDEST_VERDICT}}", *STYLES[record.verdict], Style.BRIGHT
        )
        parts = [record.result] if record.result else []
        if record.seconds is not None:
            parts.append(span_told(record.seconds))
        if record.attempts > 1:
            parts.append(f"run {record.attempts} times")
        if record.boards:
            parts.append(f"job {record.job_id} on {record.where}")
        if record.stderr is not None and record.verdict in (Verdict.FAILED, Verdict.TIMED_OUT):
            parts.append(f"see {record.stderr}")
        about = f": {printable(', '.join(parts))}" if parts else ""
        self.text(f"{count} {verdict}  {printable(record.case)}{about}\n")

    def remark(self, text: str) -> None:
        """A line that may be of use; shown even when quiet."""
        self.text(self._paint(" ".join(printable(text).split()), Style.YELLOW) + "\n")

    def text(self, text: str) -> None:
        """Whole lines, as they are."""
        if (footer := self._footer) is None:
            self.telling(lambda: write(self._stderr, text))
        else:
            self.telling(lambda: footer.write_above(text.replace("\n", "\r\n")))

    def output(self, files: CaseFiles) -> None:
        """Pass on what a case has written, each stream whole."""
        for path, stream in ((files.stdout, self._stdout), (files.stderr, self._stderr)):
            if self._footer is not None and is_terminal(stream):
                show_lines_above(path, self._footer)
            elif stream is not None:
                # A stream that takes nothing more is no trouble for a case that wrote nothing.
                for piece in pieces_of(path):
                    stream.flush()
                    stream.buffer.write(piece)
                    stream.buffer.flush()

    # -- what is redrawn ----------------------------------------------------------------

    def refresh(
        self,
        progress: CaseProgress,
        running: Sequence[CommandRun],
        phases: Callable[[], Mapping[str, int]],
    ) -> None:
        """Redraw, if there is news or time has passed, and not too soon after the last time."""
        if (footer := self._footer) is None or not self._rest.passed:
            return
        now_s = time.monotonic()
        cases = [(run.case, now_s - run.began_s) for run in running if run.case is not None]
        slow = [(name, age_s) for name, age_s in cases[:_OLDEST] if age_s >= LONGEST_REST_S]
        lines = progress.lines(now_s, footer.columns, self._paint, phases(), slow)
        self.telling(lambda: footer.draw(lines))
        self._rest, self._news = Deadline(SHORTEST_REST_S), False

    def refresh_in_s(self) -> float | None:
        """When :meth:`refresh` has something to do; None where nothing is redrawn."""
        if self._footer is None or self.telling.trouble is not None:
            return None
        return self._rest.left() if self._news else LONGEST_REST_S

    def summary(self, summary: Summary) -> None:
        """Tell what became of it all."""
        self.text(rendered(summary, self._paint))

    def close(self) -> None:
        """Take away what is redrawn: the end is told otherwise."""
        if self._footer is not None:
            self.telling(self._footer.clear)


def show_lines_above(path: str, footer: Footer) -> None:
    """Show a file in whole lines, so that what is redrawn can follow."""
    rest = b""
    for piece in pieces_of(path):
        lines, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            footer.write_above(_on_terminal(lines))
    if rest:
        footer.write_above(_on_terminal(rest))


def _on_terminal(lines: bytes) -> str:
    return lines.decode("utf-8", "replace").replace("\n", "\r\n") + "\r\n"
