"""What becomes of a case, and how it is told to programs."""

from __future__ import annotations

import enum
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.scripts.common import ExitCode, ended_by


class Verdict(enum.Enum):
    """What a case came to; each has exactly one. The values are those of the joblog."""

    PASSED = "passed"
    """Its exit code was 0."""
    FAILED = "failed"
    """It had another exit code, or could not be executed."""
    TIMED_OUT = "timed_out"
    """It was ended after --timeout."""
    NO_BOARDS = "no_boards"
    """It was not run: there were no (good) boards for it."""
    LOST = "lost"
    """Its job was destroyed under it by somebody else, as often as it was run."""
    CANCELLED = "cancelled"
    """It was not run, or ended, because of a signal."""

    @property
    def text(self) -> str:
        return self.value.replace("_", " ")


BY_ITSELF = (Verdict.PASSED, Verdict.FAILED, Verdict.TIMED_OUT)
"""What is a result of the case's own, which --resume takes as it is."""


@dataclass(frozen=True)
class Boards:
    """Those that a case was run on.

    boards: logical (x, y, z); hostnames: of the Ethernet-connected chips, that of (0, 0) first.
    """

    job_id: int
    machine: str
    boards: Sequence[tuple[int, int, int]]
    hostnames: Sequence[str]


@dataclass(frozen=True)
class Record:
    """A case and all that is known of its last run."""

    case: str
    line: int
    command: str
    verdict: Verdict
    exit_code: int | None
    """128 + n when signal n ended it; None when it did not run to an end."""
    reason: str | None
    """Why it was not run to its own end, in words."""
    attempts: int
    """How often it was started."""
    started: float | None
    """Unix time of the last start; None when there was none."""
    ended: float
    """Unix time."""
    boards: Boards | None = None
    stdout: str | None = None
    """The file that has its standard output; None without --output."""
    stderr: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long its last run has taken."""
        return None if self.started is None else max(0.0, self.ended - self.started)

    @property
    def was_left_out(self) -> bool:
        """Whether it was never started, for a signal came first."""
        return self.verdict is Verdict.CANCELLED and self.started is None

    @property
    def result(self) -> str:
        """What is to be said of it besides its verdict; empty where there is nothing."""
        if self.verdict is Verdict.TIMED_OUT:
            return ""
        return self.reason or (exit_code_told(self.exit_code) if self.exit_code else "")

    def as_json(self) -> dict[str, Any]:
        """The fields of its line in the joblog, by docs/reference/json/joblog.schema.json."""
        boards = self.boards
        return {
            "case": self.case,
            "line": self.line,
            "command": self.command,
            "verdict": self.verdict.value,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "attempts": self.attempts,
            "started": _time(self.started),
            "ended": _time(self.ended),
            "seconds": _time(self.seconds),
            "job_id": None if boards is None else boards.job_id,
            "machine": None if boards is None else boards.machine,
            "boards": [] if boards is None else [list(board) for board in boards.boards],
            "hostnames": [] if boards is None else list(boards.hostnames),
            "stdout": self.stdout,
            "stderr": self.stderr,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Record:
        """What :meth:`as_json` made; raises KeyError, TypeError or ValueError for anything else."""
        boards = None
        if fields["job_id"] is not None:
            places = [(x, y, z) for x, y, z in fields["boards"]]
            boards = Boards(fields["job_id"], fields["machine"], places, fields["hostnames"])
        names = ("case", "line", "command", "exit_code", "reason", "attempts", "started", "ended")
        return cls(
            verdict=Verdict(fields["verdict"]),
            boards=boards,
            stdout=fields["stdout"],
            stderr=fields["stderr"],
            **{name: fields[name] for name in names},
        )


def exit_code_told(code: int) -> str:
    """An exit code, with the signal that it stands for where it does."""
    try:
        return f"exit code {code} ({signal.Signals(code - ExitCode.SIGNALLED).name})"
    except ValueError:
        return f"exit code {code}"


def _time(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


MOST_PLACES = 3
"""More boards than this are counted rather than listed."""


def places_told(boards: Sequence[tuple[int, int, int]]) -> str:
    """The boards as people are told of them."""
    if len(boards) > MOST_PLACES:
        return f"{len(boards)} boards from {boards[0]}"
    return ", ".join(map(str, boards))


def counted(records: Iterable[Record]) -> dict[Verdict, int]:
    """How many cases came to each verdict, all verdicts included."""
    counts = dict.fromkeys(Verdict, 0)
    for record in records:
        counts[record.verdict] += 1
    return counts


def exit_code_of(records: Sequence[Record], signum: int | None) -> int:
    """The command's; signum: the last signal that was to end it, None without one."""
    if signum is not None and any(record.verdict is Verdict.CANCELLED for record in records):
        return ended_by(signum)
    passed = all(record.verdict is Verdict.PASSED for record in records)
    return ExitCode.OK if passed else ExitCode.NOT_ALL_PASSED
