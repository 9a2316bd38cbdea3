"""What ``spalloc-batch`` says while it runs: news on standard error, output of cases as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.screen import Footer
from spalloc_gevent.display.terminal import Colour, Paint, Style, is_terminal, printable, write
from spalloc_gevent.scripts.batch_outputs import Files, pieces_of
from spalloc_gevent.scripts.batch_progress import STYLES, Progress, span_told
from spalloc_gevent.scripts.batch_records import Record, Verdict, places_told
from spalloc_gevent.scripts.batch_running import Running

if TYPE_CHECKING:
    from spalloc_gevent.scripts.batch_summary import Summary

SHORTEST_REST_S = 0.1
"""Bursts of news are one redraw."""
LONGEST_REST_S = 1.0
"""Times are shown, and pass."""

_WIDEST_VERDICT = max(len(verdict.text) for verdict in Verdict)
_OLDEST = 3


class Console:
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
        self._rest = Deadline(0.0)
        self._news = True

    # -- news ---------------------------------------------------------------------------

    def case(self, record: Record, progress: Progress) -> None:
        """Tell a case's verdict; one that has passed is only counted, where counts are shown.

        So is one that was never started: nobody wants a line for each.
        """
        self._news = True
        passed = record.verdict is Verdict.PASSED
        is_counted = self._footer is not None or self._quiet
        if not (record.was_left_out or (passed and is_counted)):
            self.line(self._told(record, progress))

    def _told(self, record: Record, progress: Progress) -> str:
        total = f"{progress.total:,}"
        count = self._paint(f"[{progress.done:>{len(total)},}/{total}]", Style.DIM)
        verdict = self._paint(
            f"{record.verdict.text:<{_WIDEST_VERDICT}}", *STYLES[record.verdict], Style.BRIGHT
        )
        parts = [printable(record.result)] if record.result else []
        if record.seconds is not None:
            parts.append(span_told(record.seconds))
        if record.attempts > 1:
            parts.append(f"run {record.attempts} times")
        if record.boards is not None:
            where = f"{printable(record.boards.machine)} {places_told(record.boards.boards)}"
            parts.append(f"job {record.boards.job_id} on {where}")
        if record.stderr is not None and record.verdict in (Verdict.FAILED, Verdict.TIMED_OUT):
            parts.append(f"see {printable(record.stderr)}")
        about = f": {', '.join(parts)}" if parts else ""
        return f"{count} {verdict}  {printable(record.case)}{about}"

    def remark(self, text: str) -> None:
        """A line that may be of use; shown even when quiet."""
        self.line(self._paint(" ".join(printable(text).split()), Style.YELLOW))

    def line(self, text: str) -> None:
        """A line of its own, above what is redrawn."""
        self.text(text + "\n")

    def text(self, text: str) -> None:
        """Whole lines, as they are."""
        if self._footer is None:
            write(self._stderr, text)
        else:
            self._footer.write_above(text.replace("\n", "\r\n"))

    def output(self, files: Files) -> None:
        """Pass on what a case has written, each stream whole."""
        for path, stream in ((files.stdout, self._stdout), (files.stderr, self._stderr)):
            if self._footer is not None and is_terminal(stream):
                self._show_above(path, self._footer)
            else:
                for piece in pieces_of(path):
                    _write_bytes(stream, piece)

    def _show_above(self, path: str, footer: Footer) -> None:
        """Show whole lines only, so that what is redrawn can follow."""
        rest = b""
        for piece in pieces_of(path):
            lines, end, rest = (rest + piece).rpartition(b"\n")
            if end:
                footer.write_above(_lines_of(lines))
        if rest:
            footer.write_above(_lines_of(rest))

    # -- what is redrawn ----------------------------------------------------------------

    def refresh(
        self, progress: Progress, running: Running, phases: Callable[[], Mapping[str, int]]
    ) -> None:
        """Redraw, if there is news or time has passed, and not too soon after the last time."""
        if self._footer is None or not self._rest.passed:
            return
        now_s = time.monotonic()
        oldest = [(run.case or "", now_s - run.began_s) for run in running.cases()[:_OLDEST]]
        slow = [(name, age_s) for name, age_s in oldest if age_s >= LONGEST_REST_S]
        columns = self._footer.columns
        self._footer.draw(progress.lines(now_s, columns, self._paint, phases(), slow))
        self._rest, self._news = Deadline(SHORTEST_REST_S), False

    def refresh_in_s(self) -> float | None:
        """When :meth:`refresh` has something to do; None where nothing is redrawn."""
        if self._footer is None:
            return None
        return self._rest.left() if self._news else LONGEST_REST_S

    def summary(self, summary: Summary) -> None:
        """Tell what became of it all."""
        # Tables are slow to import.
        from spalloc_gevent.scripts.batch_summary import rendered

        self.text(rendered(summary, self._paint))

    def close(self) -> None:
        """Take away what is redrawn: the end is told otherwise."""
        if self._footer is not None:
            self._footer.clear()


def _lines_of(text: bytes) -> str:
    return text.decode("utf-8", "replace").replace("\n", "\r\n") + "\r\n"


def _write_bytes(stream: TextIO | None, piece: bytes) -> None:
    """Bytes as they are, where the stream takes some."""
    if stream is None:
        return
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        write(stream, piece.decode("utf-8", "backslashreplace"))
        return
    stream.flush()
    buffer.write(piece)
    buffer.flush()
