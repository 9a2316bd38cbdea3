"""One case on its boards, in the native thread of a worker."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.errors import JobDestroyedError, SpallocError
from spalloc_gevent.scripts.batch_cases import CASE_VARIABLE, Case
from spalloc_gevent.scripts.batch_outputs import Files, Outputs, tail_of
from spalloc_gevent.scripts.batch_process import Process
from spalloc_gevent.scripts.batch_records import Boards, Verdict
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.substitution import Command, Facts, csv_file, environment_of
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.batch import Allocation
    from spalloc_gevent.job import Job

_GONE = (JobState.destroyed, JobState.unknown)


class Ending(enum.Enum):
    """Why a command was ended before it ended by itself."""

    TIMEOUT = "it took too long"
    LOST = "its job was destroyed"
    SIGNAL = "a signal was to end all"


class Run:
    """A command that runs on a job's boards."""

    def __init__(self, process: Process, job_id: int, case: str | None) -> None:
        """case: the name; None for a check."""
        self.process = process
        self.job_id = job_id
        self.case = case
        self.began_s = time.monotonic()
        self.ending: Ending | None = None
        """Set before it is told to end."""


@dataclass(frozen=True)
class Started:
    run: Run


@dataclass(frozen=True)
class Stopped:
    run: Run


Tell = Callable[["Started | Stopped"], object]


class LostError(Exception):
    """The job was destroyed while the command ran."""


class CheckError(Exception):
    """The user's test says that boards are of no use."""


@dataclass(frozen=True)
class Outcome:
    """What a case that had boards came to."""

    verdict: Verdict
    exit_code: int | None
    reason: str | None = None


class Desk:
    """What every command needs, whichever thread runs it."""

    def __init__(self, environ: Mapping[str, str], outputs: Outputs, tell: Tell) -> None:
        self.outputs = outputs
        self._environ = environ
        self._tell = tell
        self._is_closed = False

    def close(self) -> None:
        """From now on nobody hears what is told: what is started all the same is killed."""
        self._is_closed = True

    def run(
        self,
        command: Command,
        allocation: Allocation,
        files: Files,
        case: str | None = None,
    ) -> tuple[int, Ending | None]:
        """Run it to its end: the exit code, and why it was ended if it was. Raises OSError."""
        with csv_file(allocation.connections) as ethernet_ips:
            facts = _facts(allocation, ethernet_ips)
            environ = environment_of(facts, self._environ)
            if case is not None:
                environ[CASE_VARIABLE[0]] = case
            process = Process(command.argv(facts), environ, files.stdout, files.stderr)
            run = Run(process, facts.id, case)
            self._tell(Started(run))
            if self._is_closed:
                process.kill()
            try:
                return process.wait(), run.ending
            finally:
                self._tell(Stopped(run))


def _allocation_of(job: Job) -> Allocation:
    # Not needed for --help, and slow to import.
    from spalloc_gevent.batch import Allocation

    try:
        return Allocation.of(job)
    except JobDestroyedError:
        raise LostError(_why_gone(job)) from None


def _facts(allocation: Allocation, ethernet_ips: str) -> Facts:
    return Facts(
        id=allocation.id,
        hostname=allocation.hostname,
        width=allocation.width,
        height=allocation.height,
        machine=allocation.machine,
        connections=allocation.connections,
        boards=allocation.boards,
        ethernet_ips=ethernet_ips,
    )


class Trial:
    """A case, run once, or again on other boards when it lost those that it had."""

    def __init__(self, case: Case, desk: Desk) -> None:
        self.case = case
        self.files = desk.outputs.of_case(case.name)
        self.attempts = 0
        self.started: float | None = None
        self.ended: float | None = None
        """Unix times of its last run; None while there is none."""
        self.boards: Boards | None = None
        self.patience: Deadline | None = None
        """Until when it waits for a server that is gone; None while none was."""
        self.refusals = 0
        """How often no boards could be asked for."""
        self._desk = desk

    def run(self, job: Job) -> Outcome:
        """Run the command once. Raises LostError when the job was destroyed under it."""
        allocation = _allocation_of(job)
        self.boards = _boards(allocation)
        self.attempts += 1
        self.started, self.ended = time.time(), None
        try:
            code, ending = self._desk.run(self.case.command, allocation, self.files, self.case.name)
        except OSError as error:
            reason = f"it cannot be started: {error.strerror}"
            return Outcome(Verdict.FAILED, ExitCode.CANNOT_EXECUTE, reason)
        finally:
            self.ended = time.time()
        return _outcome(code, ending, job)


def _boards(allocation: Allocation) -> Boards:
    names = [name for _, name in sorted(allocation.connections.items())]
    return Boards(allocation.id, allocation.machine, allocation.boards, names)


def _outcome(code: int, ending: Ending | None, job: Job) -> Outcome:
    if ending is Ending.SIGNAL:
        return Outcome(Verdict.CANCELLED, code, "it was ended")
    if ending is None and code == 0:
        return Outcome(Verdict.PASSED, code)
    if ending is Ending.LOST or _is_gone(job):
        raise LostError(_why_gone(job))
    if ending is Ending.TIMEOUT:
        return Outcome(Verdict.TIMED_OUT, code, "it was ended after its time was up")
    return Outcome(Verdict.FAILED, code)


def _is_gone(job: Job) -> bool:
    """Whether somebody has destroyed the job; False while the server does not say so."""
    try:
        return job.state in _GONE
    except (SpallocError, ValueError):
        return False


def _why_gone(job: Job) -> str:
    try:
        reason = job.reason
    except SpallocError:
        reason = None
    told = f": {printable(reason)}" if reason else ""
    return f"job {job.id} was destroyed under it{told}"


def checker(command: Command, desk: Desk) -> Callable[[Job], None]:
    """The user's test as a function of a job; it raises CheckError for boards that are bad."""

    def check(job: Job) -> None:
        allocation = _allocation_of(job)
        files = desk.outputs.of_check(allocation.id)
        try:
            code, ending = desk.run(command, allocation, files)
            if ending is not None:
                raise CheckError(ending.value)
            if code:
                raise CheckError(f"exit code {code}{_last_words(files)}")
        finally:
            files.remove()

    return check


def _last_words(files: Files) -> str:
    for path in (files.stderr, files.stdout):
        if said := tail_of(path).strip().split("\n")[-1]:
            return f" ({printable(said)})"
    return ""
