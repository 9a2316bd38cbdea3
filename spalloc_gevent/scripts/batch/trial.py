"""One case on its boards, in the native thread of a worker."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.errors import JobDestroyedError, SpallocError
from spalloc_gevent.scripts.batch.cases import CASE_VARIABLE, Case
from spalloc_gevent.scripts.batch.outputs import CaseFiles, Outputs, tail_of
from spalloc_gevent.scripts.batch.process import Process
from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict
from spalloc_gevent.scripts.child import KILL_AFTER_S
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.substitution import Command, Facts, csv_file, environment_of
from spalloc_gevent.states import JobState

if TYPE_CHECKING:
    from spalloc_gevent.batch import Allocation
    from spalloc_gevent.job import Job


class Ending(enum.Enum):
    """Why a command was ended before it ended by itself."""

    TIMEOUT = "it took too long"
    LOST = "its job was destroyed"
    SIGNAL = "a signal was to end all"


class CommandRun:
    """A command that runs on a job's boards; ended and signalled by the main thread."""

    def __init__(
        self, process: Process, job_id: int, case: str | None, timeout_s: float | None
    ) -> None:
        """case: the name; None for a check."""
        self.process = process
        self.job_id = job_id
        self.case = case
        self.began_s = time.monotonic()
        self.limit = Deadline(timeout_s)
        """When it is ended, or killed if it was told to end."""
        self.ending: Ending | None = None
        """Set before it is told to end."""

    def end(self, why: Ending) -> None:
        """Have it end; it is killed when it refuses."""
        if self.ending is None:
            self.ending = why
            self.limit = Deadline(KILL_AFTER_S)
            self.process.end()

    def end_if_lost(self, asked_s: float, job_ids: Collection[int]) -> None:
        """End it if the server, asked since it began, does not have its job any more."""
        if self.began_s < asked_s and self.job_id not in job_ids:
            self.end(Ending.LOST)

    def check_limit(self) -> None:
        """End it when it has run too long, kill it when it has refused to end."""
        if not self.limit.passed:
            return
        if self.ending is None:
            self.end(Ending.TIMEOUT)
        else:
            self.limit = Deadline(None)
            self.process.kill()


class CaseLostError(Exception):
    """The job was destroyed while the command ran."""


class CheckError(Exception):
    """The user's test says that boards are of no use."""


@dataclass(frozen=True)
class CaseResult:
    """What a case came to."""

    verdict: Verdict
    exit_code: int | None
    reason: str | None = None


class Launcher:
    """Runs commands, in whichever thread, and knows those that run."""

    def __init__(
        self,
        environ: Mapping[str, str],
        outputs: Outputs,
        timeout_s: float | None,
        on_start: Callable[[CommandRun], object],
        on_end: Callable[[CommandRun], object],
    ) -> None:
        """timeout_s: how long each may take; None for ever."""
        self.outputs = outputs
        self._environ = environ
        self._timeout_s = timeout_s
        self._on_start = on_start
        self._on_end = on_end
        self._is_closed = False
        self._runs: dict[CommandRun, None] = {}

    @property
    def running(self) -> list[CommandRun]:
        """Those that have not been forgotten, the oldest first."""
        return list(self._runs)

    def forget(self, run: CommandRun) -> None:
        """Nobody signals a command any more that has ended; for the main thread."""
        del self._runs[run]
        run.process.forget()

    def close(self) -> None:
        """Kill what runs, and what is started from now on."""
        self._is_closed = True
        for run in self.running:
            run.process.kill()

    def run(
        self, command: Command, boards: Allocation, files: CaseFiles, case: str | None = None
    ) -> tuple[int, Ending | None]:
        """Run it to its end.

        Returns:
            The exit code, and why it was ended if it was.

        Raises:
            OSError: it cannot be started.
        """
        with csv_file(boards.connections) as ethernet_ips:
            facts = Facts(ethernet_ips=ethernet_ips, **vars(boards))
            environ = environment_of(facts, self._environ)
            if case is not None:
                environ[CASE_VARIABLE[0]] = case
            process = Process(command.argv(facts), environ, files.stdout, files.stderr)
            run = CommandRun(process, boards.id, case, self._timeout_s)
            self._runs[run] = None
            self._on_start(run)
            if self._is_closed:
                process.kill()
            try:
                return process.wait(), run.ending
            finally:
                self._on_end(run)


class Trial:
    """A case, run once, or again on other boards when it lost those that it had."""

    def __init__(self, case: Case, launcher: Launcher) -> None:
        self.case = case
        self.files = launcher.outputs.of_case(case.name)
        self.attempts = 0
        self.started: float | None = None
        self.ended: float | None = None
        """Unix times of its last run; None while there is none."""
        self.boards: dict[str, Any] = {}
        """What its record tells of the boards of its last run."""
        self.patience: Deadline | None = None
        """Until when it waits for a server that is gone; None while none was."""
        self.refusals = 0
        """How often no boards could be asked for."""
        self._launcher = launcher

    def run(self, job: Job) -> CaseResult:
        """Run the command once. Raises CaseLostError when the job was destroyed under it."""
        boards = boards_for(job)
        self.boards = {
            "job_id": boards.id,
            "machine": boards.machine,
            "boards": boards.boards,
            "hostnames": tuple(name for _, name in sorted(boards.connections.items())),
        }
        self.attempts += 1
        self.started, self.ended = time.time(), None
        command, name = self.case.command, self.case.name
        try:
            code, ending = self._launcher.run(command, boards, self.files, name)
        except OSError as error:
            reason = f"it cannot be started: {error.strerror}"
            return CaseResult(Verdict.FAILED, ExitCode.CANNOT_EXECUTE, reason)
        finally:
            self.ended = time.time()
        if ending is Ending.SIGNAL:
            return CaseResult(Verdict.CANCELLED, code, "it was ended")
        if ending is None and code == 0:
            return CaseResult(Verdict.PASSED, code)
        if ending is Ending.LOST or is_gone(job):
            raise CaseLostError(why_gone(job))
        if ending is Ending.TIMEOUT:
            return CaseResult(Verdict.TIMED_OUT, code, "it was ended after its time was up")
        return CaseResult(Verdict.FAILED, code)

    def record(self, result: CaseResult) -> CaseRecord:
        """What is known of it when it has come to its end."""
        are_kept = self._launcher.outputs.are_kept and self.attempts
        return CaseRecord(
            case=self.case.name,
            line=self.case.line,
            command=self.case.text,
            verdict=result.verdict,
            exit_code=result.exit_code,
            reason=result.reason,
            attempts=self.attempts,
            started=self.started,
            ended=self.ended or time.time(),
            **self.boards,
            **(vars(self.files) if are_kept else {}),
        )


def boards_for(job: Job) -> Allocation:
    """What a command is told of its boards; raises CaseLostError if the job has none any more."""
    # Not needed for --help, and slow to import.
    from spalloc_gevent.batch import Allocation

    try:
        return Allocation.of(job)
    except JobDestroyedError:
        raise CaseLostError(why_gone(job)) from None


def is_gone(job: Job) -> bool:
    """Whether somebody has destroyed the job; False while the server does not say so."""
    try:
        return job.state in (JobState.destroyed, JobState.unknown)
    except (SpallocError, ValueError):
        return False


def why_gone(job: Job) -> str:
    """That a job was destroyed, and why if that is known."""
    try:
        reason = job.reason
    except SpallocError:
        reason = None
    told = f": {printable(reason)}" if reason else ""
    return f"job {job.id} was destroyed under it{told}"


def checker(command: Command, launcher: Launcher) -> Callable[[Job], None]:
    """The user's test as a function of a job; it raises CheckError for boards that are bad."""

    def check(job: Job) -> None:
        boards = boards_for(job)
        files = launcher.outputs.of_check(boards.id)
        try:
            code, ending = launcher.run(command, boards, files)
            if ending is not None:
                raise CheckError(ending.value)
            if code:
                said = tail_of(files.stderr).strip() or tail_of(files.stdout).strip()
                last = f" ({printable(said.splitlines()[-1])})" if said else ""
                raise CheckError(f"exit code {code}{last}")
        finally:
            files.remove()

    return check
