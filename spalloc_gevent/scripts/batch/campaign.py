"""A campaign: every case on boards of its own, until each has its verdict.

The executor's threads run the cases; what happens there is told to the main
thread, which alone decides, records and shows. It sleeps until there is a call
to be made, a signal, or a time is up.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import (
    IncompatibleServerError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
)
from spalloc_gevent.scripts.batch.call_queue import CallQueue
from spalloc_gevent.scripts.batch.cases import Case
from spalloc_gevent.scripts.batch.job_watch import JobWatch
from spalloc_gevent.scripts.batch.outputs import Outputs
from spalloc_gevent.scripts.batch.records import Verdict
from spalloc_gevent.scripts.batch.reporter import Reporter
from spalloc_gevent.scripts.batch.trial import (
    CaseLostError,
    CaseResult,
    CommandRun,
    Ending,
    Launcher,
    Trial,
    checker,
)
from spalloc_gevent.scripts.signals import PASSED_ON, Signals

LONGEST_PAUSE_S = 30.0
"""Between attempts to get boards from a server that cannot be reached; the first is a second."""
WATCH_AFTER_S = 1.0
"""What is over sooner need not be told that its job is gone."""
LOOK_AGAIN_S = 0.5

NOT_STARTED = CaseResult(Verdict.CANCELLED, None, "it was not started")
FOR_EXECUTOR = ("retries", "reuse", "reset", "attempts", "queue_timeout", "power_timeout")
"""The options that are the executor's own."""


class Campaign:
    """All cases, from the first to the last; run once, and closed after that."""

    def __init__(
        self,
        cases: Sequence[Case],
        options: argparse.Namespace,
        outputs: Outputs,
        environ: Mapping[str, str],
        reporter: Reporter,
    ) -> None:
        # Not needed for --help, and slow to import.
        from spalloc_gevent.batch import SpallocExecutor

        self._options = options
        self._reporter = reporter
        self._console = reporter.console
        self._calls = CallQueue()
        self._launcher = Launcher(
            environ,
            outputs,
            options.case_timeout,
            on_start=lambda run: self._calls.add(partial(self._started, run)),
            on_end=lambda run: self._calls.add(partial(self._launcher.forget, run)),
        )
        self._trials = [Trial(case, self._launcher) for case in cases]
        self._left = 0
        """How many have begun to be seen to, and have no verdict yet."""
        self._watch = JobWatch(options.job_options)
        self._held_back: list[tuple[Deadline, Trial]] = []
        self._is_server_gone = False
        self._latest_remark = ""
        self._is_stopping = False
        self._is_ending = False
        self.signum: int | None = None
        """The last signal that was to end it."""
        check = options.check
        self._executor = SpallocExecutor(
            *options.what,
            max_jobs=max(1, min(options.jobs, len(cases))),
            check=None if check is None else checker(check, self._launcher),
            **{name: getattr(options, name) for name in FOR_EXECUTOR},
            **options.job_options,
        )

    def close(self) -> None:
        """To be called when nobody has anything to tell any more."""
        self._calls.close()

    def tell(self, text: str) -> None:
        """Have a remark passed on to the reporter, from any thread."""
        self._calls.add(partial(self._remark, text))

    def run(self, signals: Signals) -> None:
        """Until each case has its verdict, and all boards are given back."""
        signals.note()
        with closing(self._watch):
            try:
                for trial in self._trials:
                    self._left += 1
                    self._submit(trial)
                while self._left or self._launcher.running:
                    self._sleep(signals)
                    self._handle_events(signals)
            finally:
                # There is nothing to be killed, unless it is an error that ends it.
                self._launcher.close()
                self._executor.shutdown(cancel_futures=True)
            # The last to go has only just said so.
            self._calls.make_calls()

    # -- the loop -------------------------------------------------------------------

    def _sleep(self, signals: Signals) -> None:
        """Until something has happened; commands whose jobs are gone are ended."""
        running = self._launcher.running
        if running and time.monotonic() - running[0].began_s >= WATCH_AFTER_S:
            self._watch.open()
        watched = self._watch.files
        limits = [when.left() for when, _ in self._held_back]
        limits += [run.limit.left() for run in running]
        limits += [self._console.refresh_in_s(), LOOK_AGAIN_S if running and not watched else None]
        limit_s = min((limit_s for limit_s in limits if limit_s is not None), default=None)
        ready = signals.wait(limit_s, [self._calls.fileno(), *watched])
        if set(watched) & set(ready) and (seen := self._watch.take()) is not None:
            for run in running:
                run.end_if_lost(*seen)

    def _handle_events(self, signals: Signals) -> None:
        """See to all that has happened."""
        # Before signals, which are for all that runs by now.
        self._calls.make_calls()
        for signum in signals.take():
            self._signalled(signum)
        for run in self._launcher.running:
            run.check_limit()
        held_back, self._held_back = self._held_back, []
        for when, trial in held_back:
            if when.passed:
                self._submit(trial)
            else:
                self._held_back.append((when, trial))
        if self._reporter.joblog_error is not None:
            self._stop()
        if self._reporter.output_error is not None and not self._is_ending:
            self._end()
        progress, counts = self._reporter.progress, lambda: self._executor.counts
        self._console.refresh(progress, self._launcher.running, counts)

    def _stop(self) -> None:
        """Start no more cases; what runs is finished."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        for run in self._launcher.running:
            if run.case is None:
                run.end(Ending.SIGNAL)
        held_back, self._held_back = self._held_back, []
        for _, trial in held_back:
            self._settle(trial, NOT_STARTED)

    def _end(self) -> None:
        """End what runs, too."""
        self._stop()
        self._is_ending = True
        for run in self._launcher.running:
            run.end(Ending.SIGNAL)

    def _signalled(self, signum: int) -> None:
        running = self._launcher.running
        cases = sum(run.case is not None for run in running)
        name = signal.Signals(signum).name
        if signum in PASSED_ON:
            for run in running:
                run.process.send(signum)
            self._console.remark(f"{name}: passed on to {len(running)} commands")
            return
        self.signum = signum
        if self._is_ending:
            for run in running:
                run.process.kill()
        elif signum == signal.SIGINT and not self._is_stopping:
            self._stop()
            told = "Ctrl+C: no more cases are started"
            if cases:
                told += f"; waiting for the {cases} that run (Ctrl+C again ends them)"
            self._console.remark(told)
        else:
            self._end()
            self._console.remark(f"{name}: ending {cases} running cases")

    def _remark(self, text: str) -> None:
        # Everybody who waits for a server says the same while it is away.
        if text != self._latest_remark:
            self._latest_remark = text
            self._console.remark(text)

    def _started(self, run: CommandRun) -> None:
        self._is_server_gone, self._latest_remark = False, ""
        if self._is_ending or (self._is_stopping and run.case is None):
            run.end(Ending.SIGNAL)

    # -- cases ------------------------------------------------------------------------

    def _submit(self, trial: Trial) -> None:
        if self._is_stopping:
            self._settle(trial, NOT_STARTED)
            return
        try:
            future = self._executor.submit(trial.run)
        except SpallocError as error:  # The system gives no more threads at present.
            self._hold_back(trial, error)
            return
        future.add_done_callback(
            lambda future: self._calls.add(partial(self._ended, trial, future))
        )

    def _ended(self, trial: Trial, future: Any) -> None:
        """The executor is done with a case."""
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or (self._is_stopping and is_out_of_reach(error)):
            self._settle(trial, NOT_STARTED)
        elif error is None:
            self._settle(trial, future.result())
        elif is_out_of_reach(error):
            self._hold_back(trial, error)
        elif isinstance(error, CaseLostError):
            would_run_again = self._is_stopping and trial.attempts <= self._options.retries
            verdict = Verdict.CANCELLED if would_run_again else Verdict.LOST
            self._settle(trial, CaseResult(verdict, None, str(error)))
        else:
            known = isinstance(error, SpallocError)
            told = str(error) if known else f"{type(error).__name__}: {error}"
            self._settle(trial, CaseResult(Verdict.NO_BOARDS, None, told))

    def _hold_back(self, trial: Trial, trouble: BaseException) -> None:
        """Have the case wait for the server's return."""
        if trial.patience is None:
            trial.patience = Deadline(self._options.queue_timeout)
        if trial.patience.passed:
            self._settle(trial, CaseResult(Verdict.NO_BOARDS, None, str(trouble)))
            return
        if not self._is_server_gone:
            self._is_server_gone = True
            self._console.remark(f"no boards can be asked for, trying again: {trouble}")
        pause_s = min(2.0**trial.refusals, LONGEST_PAUSE_S)
        trial.refusals += 1
        self._held_back.append((Deadline(trial.patience.left_or(pause_s)), trial))

    def _settle(self, trial: Trial, result: CaseResult) -> None:
        self._left -= 1
        self._reporter.ended(trial.record(result), trial)


def is_out_of_reach(error: BaseException | None) -> bool:
    """Whether a server could not be asked for boards: that is no case's fault."""
    out_of_reach = isinstance(error, (ProtocolError, ProtocolTimeoutError))
    return out_of_reach and not isinstance(error, IncompatibleServerError)
