"""A campaign: every case on boards of its own, until each has its verdict.

The executor's threads run the cases; what happens there is told to the main
thread, which alone decides, records and shows. It sleeps until there is news, a
signal, or a time is up.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.scripts.batch_cases import Case
from spalloc_gevent.scripts.batch_channel import Channel
from spalloc_gevent.scripts.batch_outputs import Outputs
from spalloc_gevent.scripts.batch_records import Record, Verdict
from spalloc_gevent.scripts.batch_running import Running
from spalloc_gevent.scripts.batch_trial import (
    Desk,
    Ending,
    Outcome,
    Started,
    Stopped,
    Trial,
    checker,
)
from spalloc_gevent.scripts.batch_verdicts import NOT_STARTED, Future, TryAgain, outcome_of
from spalloc_gevent.scripts.batch_watch import JobWatch
from spalloc_gevent.scripts.signals import PASSED_ON, Signals
from spalloc_gevent.scripts.substitution import Command

LONGEST_PAUSE_S = 30.0
"""Between attempts to get boards from a server that cannot be reached; the first is a second."""

_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Terms:
    """How a campaign is run: the arguments of the executor and of Job, and limits of its own."""

    what: tuple[int, ...]
    most_jobs: int
    retries: int
    executor_options: Mapping[str, Any]
    job_options: Mapping[str, Any]
    check: Command | None
    timeout_s: float | None
    """How long a case, or a check, may take; None for ever."""
    patience_s: float | None
    """How long a case waits for a server that cannot be reached; None for ever."""


@dataclass(frozen=True)
class Ended:
    """The executor is done with a case."""

    trial: Trial
    future: Future


@dataclass(frozen=True)
class Remark:
    """The library has something to say."""

    text: str


Phases = Callable[[], Mapping[str, int]]
"""How many cases are in each phase, as the executor counts them."""


class Audience(Protocol):
    """Who follows a campaign, in the main thread."""

    @property
    def has_enough(self) -> bool:
        """Whether no more cases are to be started."""

    @property
    def has_left(self) -> bool:
        """Whether what runs is of no use to anybody any more."""

    def ended(self, record: Record, trial: Trial) -> None:
        """A case has its verdict."""

    def remark(self, text: str) -> None:
        """Something that may be of use."""

    def refresh(self, running: Running, phases: Phases) -> None:
        """Things may have changed; called whenever something has happened."""

    def refresh_in_s(self) -> float | None:
        """When it wants to be called next; None: when something has happened."""


class _Nobody:
    """An audience that has left."""

    has_enough = has_left = True

    def ended(self, record: Record, trial: Trial) -> None: ...

    def remark(self, text: str) -> None: ...

    def refresh(self, running: Running, phases: Phases) -> None: ...

    def refresh_in_s(self) -> None: ...


class Campaign(AbstractContextManager["Campaign"]):
    """All cases, from the first to the last; run once, within a block."""

    def __init__(
        self,
        cases: Sequence[Case],
        terms: Terms,
        outputs: Outputs,
        environ: Mapping[str, str],
        audience: Audience,
    ) -> None:
        # Not needed for --help, and slow to import.
        from spalloc_gevent.batch import SpallocExecutor

        self._channel: Channel[Started | Stopped | Ended | Remark] = Channel()
        self._desk = Desk(environ, outputs, self._channel.post)
        self._trials = [Trial(case, self._desk) for case in cases]
        self._left = 0
        """How many have begun to be seen to, and have no verdict yet."""
        self._outputs = outputs
        self._audience = audience
        self._running = Running(terms.timeout_s)
        self._watch = JobWatch(terms.job_options)
        self._patience_s = terms.patience_s
        self._retries = terms.retries
        self._held_back: list[tuple[Deadline, Trial]] = []
        self._is_server_gone = False
        self._latest_remark = ""
        self._is_stopping = False
        self._is_ending = False
        self.signum: int | None = None
        """The last signal that was to end it."""
        self._executor = SpallocExecutor(
            *terms.what,
            max_jobs=max(1, min(terms.most_jobs, len(cases))),
            retries=terms.retries,
            check=None if terms.check is None else checker(terms.check, self._desk),
            **terms.executor_options,
            **terms.job_options,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def tell(self, text: str) -> None:
        """Have a remark passed on to the audience, from any thread."""
        self._channel.post(Remark(text))

    def run(self, signals: Signals) -> None:
        """Until each case has its verdict, and all boards are given back."""
        signals.note()
        with self._watch:
            try:
                for trial in self._trials:
                    self._left += 1
                    self._submit(trial)
                self._see_to_all(signals)
            except BaseException:
                self._audience = _Nobody()
                self._end()
                self._see_to_all(signals)
                raise
            finally:
                self._desk.close()
                self._executor.shutdown()
                # The last to go has only just said so.
                self._take_news()

    def stop(self) -> None:
        """Start no more cases; what runs is finished."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._running.end_checks()
        held_back, self._held_back = self._held_back, []
        for _, trial in held_back:
            self._settle(trial, NOT_STARTED)

    def _end(self) -> None:
        """End what runs, too."""
        self.stop()
        self._is_ending = True
        self._running.end_all(Ending.SIGNAL)

    # -- the loop -------------------------------------------------------------------

    def _see_to_all(self, signals: Signals) -> None:
        while self._left or self._running:
            self._sleep(signals)
            # Before signals, which are for all that runs by now.
            self._take_news()
            for signum in signals.take():
                self._signalled(signum)
            self._running.end_late()
            self._try_again()
            if self._audience.has_enough:
                self.stop()
            if self._audience.has_left and not self._is_ending:
                self._end()
            self._audience.refresh(self._running, lambda: self._executor.counts)

    def _sleep(self, signals: Signals) -> None:
        if self._running.is_any_old:
            self._watch.open()
        watched = self._watch.files
        ready = signals.wait(self._longest_sleep_s(), [self._channel.fileno(), *watched])
        if set(watched) & set(ready) and (seen := self._watch.take()) is not None:
            self._running.end_lost(seen)

    def _longest_sleep_s(self) -> float | None:
        limits = [self._running.next_limit_s(), self._audience.refresh_in_s()]
        limits += [when.left() for when, _ in self._held_back]
        if self._running and not self._watch.files:
            limits.append(_LOOK_AGAIN_S)
        return min((limit_s for limit_s in limits if limit_s is not None), default=None)

    def _signalled(self, signum: int) -> None:
        if signum in PASSED_ON:
            running = self._running.send_all(signum)
            self._audience.remark(f"{signal.Signals(signum).name}: passed on to {running} commands")
            return
        self.signum = signum
        if self._is_ending:
            self._running.kill_all()
        elif signum == signal.SIGINT and not self._is_stopping:
            self.stop()
            self._audience.remark(_told_of_stop(len(self._running.cases())))
        else:
            self._end()
            running = len(self._running.cases())
            self._audience.remark(f"{signal.Signals(signum).name}: ending {running} running cases")

    def _take_news(self) -> None:
        for news in self._channel.take():
            if isinstance(news, Started):
                self._started(news)
            elif isinstance(news, Stopped):
                self._running.remove(news.run)
            elif isinstance(news, Ended):
                self._ended(news.trial, news.future)
            elif news.text != self._latest_remark:
                # Everybody who waits for a server says the same while it is away.
                self._latest_remark = news.text
                self._audience.remark(news.text)

    def _started(self, news: Started) -> None:
        run = news.run
        self._is_server_gone, self._latest_remark = False, ""
        self._running.add(run)
        if self._is_ending or (self._is_stopping and run.case is None):
            self._running.end(run, Ending.SIGNAL)

    # -- cases ------------------------------------------------------------------------

    def _submit(self, trial: Trial) -> None:
        if self._is_stopping:
            self._settle(trial, NOT_STARTED)
            return
        try:
            future = self._executor.submit(trial.run)
        except SpallocError as error:  # The system gives no more threads at present.
            self._hold_back(trial, TryAgain(str(error)))
            return
        future.add_done_callback(lambda future: self._channel.post(Ended(trial, future)))

    def _ended(self, trial: Trial, future: Future) -> None:
        try:
            outcome = outcome_of(
                future,
                is_stopping=self._is_stopping,
                may_run_again=trial.attempts <= self._retries,
            )
        except TryAgain as trouble:
            self._hold_back(trial, trouble)
        else:
            self._settle(trial, outcome)

    def _hold_back(self, trial: Trial, trouble: TryAgain) -> None:
        """Have the case wait for the server's return."""
        if trial.patience is None:
            trial.patience = Deadline(self._patience_s)
        if trial.patience.passed:
            self._settle(trial, Outcome(Verdict.NO_BOARDS, None, str(trouble)))
            return
        if not self._is_server_gone:
            self._is_server_gone = True
            self._audience.remark(f"no boards can be asked for, trying again: {trouble}")
        pause_s = min(2.0**trial.refusals, LONGEST_PAUSE_S)
        trial.refusals += 1
        self._held_back.append((Deadline(trial.patience.left_or(pause_s)), trial))

    def _try_again(self) -> None:
        # Looked at once each: the time of one may come between two looks.
        held_back, self._held_back = self._held_back, []
        for when, trial in held_back:
            if when.passed:
                self._submit(trial)
            else:
                self._held_back.append((when, trial))

    def _settle(self, trial: Trial, outcome: Outcome) -> None:
        self._left -= 1
        files = trial.files if self._outputs.are_kept and trial.attempts else None
        record = Record(
            case=trial.case.name,
            line=trial.case.line,
            command=trial.case.text,
            verdict=outcome.verdict,
            exit_code=outcome.exit_code,
            reason=outcome.reason,
            attempts=trial.attempts,
            started=trial.started,
            ended=trial.ended or time.time(),
            boards=trial.boards,
            stdout=None if files is None else files.stdout,
            stderr=None if files is None else files.stderr,
        )
        self._audience.ended(record, trial)


def _told_of_stop(running: int) -> str:
    told = "Ctrl+C: no more cases are started"
    if not running:
        return told
    return told + f"; waiting for the {running} that run (Ctrl+C again ends them)"
