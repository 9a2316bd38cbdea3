"""Follows a campaign: records each case, in the joblog too, and has it shown."""

from __future__ import annotations

import time

from spalloc_gevent.scripts.batch.console import BatchConsole
from spalloc_gevent.scripts.batch.joblog import JobLog
from spalloc_gevent.scripts.batch.outputs import Outputs, tail_of
from spalloc_gevent.scripts.batch.progress import CaseProgress
from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict
from spalloc_gevent.scripts.batch.trial import Trial


class Reporter:
    """Told of everything by the main thread."""

    def __init__(
        self,
        cases: int,
        console: BatchConsole,
        outputs: Outputs,
        log: JobLog | None,
        *,
        keeps_tails: bool,
    ) -> None:
        """cases: how many are run. keeps_tails: whether the ends of outputs are to be kept."""
        self.records: dict[str, CaseRecord] = {}
        self.tails: dict[str, tuple[str, str]] = {}
        """The ends of what cases that have not passed wrote, by name."""
        self.joblog_error: OSError | None = None
        """Why the joblog cannot be written any more."""
        self.output_error: OSError | None = None
        """Why what cases write can be shown no more: a reader that has left, a full disk."""
        self.console = console
        self.progress = CaseProgress(cases, time.monotonic())
        self._outputs = outputs
        self._log = log
        self._keeps_tails = keeps_tails

    def ended(self, record: CaseRecord, trial: Trial) -> None:
        """A case has its verdict."""
        self.records[record.case] = record
        if self._log is not None and self.joblog_error is None:
            try:
                self._log.append(record)
            except OSError as error:
                self.joblog_error = error
                self.console.remark(
                    f"the joblog cannot be written, no more cases are started: {error}"
                )
        if trial.attempts:
            self._pass_output_on(record, trial)
        self.progress.ended(record.verdict, time.monotonic())
        self.console.case(record, self.progress)

    def _pass_output_on(self, record: CaseRecord, trial: Trial) -> None:
        files = trial.files
        if self._keeps_tails and record.verdict is not Verdict.PASSED:
            self.tails[record.case] = tail_of(files.stdout), tail_of(files.stderr)
        if self._outputs.are_kept:
            return
        if self.output_error is None:
            try:
                self.console.output(files)
            except OSError as error:
                self.output_error = error
        files.remove()
