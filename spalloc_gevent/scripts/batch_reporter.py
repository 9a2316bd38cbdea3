"""Follows a campaign: records each case, in the joblog too, and has it shown."""

from __future__ import annotations

import time

from spalloc_gevent.display.terminal import Telling
from spalloc_gevent.scripts.batch_campaign import Phases
from spalloc_gevent.scripts.batch_console import Console
from spalloc_gevent.scripts.batch_log import JobLog
from spalloc_gevent.scripts.batch_outputs import Files, Outputs, tail_of
from spalloc_gevent.scripts.batch_progress import Progress
from spalloc_gevent.scripts.batch_records import Record, Verdict
from spalloc_gevent.scripts.batch_running import Running
from spalloc_gevent.scripts.batch_trial import Trial


class Reporter:
    """An audience of :class:`~spalloc_gevent.scripts.batch_campaign.Campaign`."""

    def __init__(
        self,
        cases: int,
        console: Console,
        outputs: Outputs,
        log: JobLog | None,
        *,
        keeps_tails: bool,
    ) -> None:
        """cases: how many are run. keeps_tails: whether the ends of outputs are to be kept."""
        self.records: dict[str, Record] = {}
        self.tails: dict[str, tuple[str, str]] = {}
        """The ends of what cases that have not passed wrote, by name."""
        self.trouble: OSError | None = None
        """Why the joblog cannot be written any more."""
        self.unshown: OSError | None = None
        """Why what cases write can be shown no more: a reader that has left, a full disk."""
        self.telling = Telling()
        """Whether the progress can still be told."""
        self._progress = Progress(cases, time.monotonic())
        self._console = console
        self._outputs = outputs
        self._log = log
        self._keeps_tails = keeps_tails

    @property
    def has_enough(self) -> bool:
        """Whether no more cases are to be started: what comes of them could not be recorded."""
        return self.trouble is not None

    @property
    def has_left(self) -> bool:
        return self.unshown is not None

    def ended(self, record: Record, trial: Trial) -> None:
        self.records[record.case] = record
        self._write_log(record)
        if trial.attempts:
            self._see_to_output(record, trial)
        self._progress.ended(record.verdict, time.monotonic())
        self.telling(lambda: self._console.case(record, self._progress))

    def _write_log(self, record: Record) -> None:
        if self._log is None or self.trouble is not None:
            return
        try:
            self._log.append(record)
        except OSError as error:
            self.trouble = error
            self.remark(f"the joblog cannot be written, no more cases are started: {error}")

    def _see_to_output(self, record: Record, trial: Trial) -> None:
        files = trial.files
        if self._keeps_tails and record.verdict is not Verdict.PASSED:
            self.tails[record.case] = tail_of(files.stdout), tail_of(files.stderr)
        if not self._outputs.are_kept:
            self._show(files)
            files.remove()

    def remark(self, text: str) -> None:
        self.telling(lambda: self._console.remark(text))

    def refresh(self, running: Running, phases: Phases) -> None:
        self.telling(lambda: self._console.refresh(self._progress, running, phases))

    def refresh_in_s(self) -> float | None:
        return None if self.telling.trouble else self._console.refresh_in_s()

    def close(self) -> None:
        """The campaign is over."""
        self.telling(self._console.close)

    def _show(self, files: Files) -> None:
        """Pass on what a case has written, unless nobody takes it; it is recorded all the same."""
        if self.unshown is None:
            try:
                self._console.output(files)
            except OSError as error:
                self.unshown = error
