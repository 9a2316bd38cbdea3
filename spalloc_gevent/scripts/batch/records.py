"""What becomes of a case, and how it is told to programs."""

from __future__ import annotations

import enum
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
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


MOST_PLACES = 3
"""More boards than this are counted rather than listed."""


@dataclass(frozen=True)
class CaseRecord:
    """A case and all that is known of its last run, by the names that it has in the joblog."""

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
    job_id: int | None = None
    machine: str | None = None
    boards: Sequence[tuple[int, int, int]] = ()
    """Logical (x, y, z) of those that it was run on."""
    hostnames: Sequence[str] = ()
    """Of their Ethernet-connected chips, that of (0, 0) first."""
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
        if self.reason or not self.exit_code:
            return self.reason or ""
        try:
            name = signal.Signals(self.exit_code - ExitCode.SIGNALLED).name
            return f"exit code {self.exit_code} ({name})"
        except ValueError:
            return f"exit code {self.exit_code}"

    @property
    def where(self) -> str:
        """The boards as people are told of them; empty where there are none."""
        if len(self.boards) > MOST_PLACES:
            return f"{self.machine} {len(self.boards)} boards from {self.boards[0]}"
        return f"{self.machine} {', '.join(map(str, self.boards))}" if self.boards else ""

    def as_json(self) -> dict[str, Any]:
        """The fields of its line in the joblog, by docs/reference/json/joblog.schema.json."""
        times = {"started": self.started, "ended": self.ended, "seconds": self.seconds}
        return {
            **vars(self),
            "verdict": self.verdict.value,
            **{name: at if at is None else round(at, 3) for name, at in times.items()},
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> CaseRecord:
        """What :meth:`as_json` made; raises KeyError, TypeError or ValueError for anything else."""
        values = {field.name: told[field.name] for field in fields(cls)}
        values["verdict"] = Verdict(values["verdict"])
        values["boards"] = tuple((x, y, z) for x, y, z in values["boards"])
        values["hostnames"] = tuple(values["hostnames"])
        return cls(**values)


def counted(records: Iterable[CaseRecord]) -> dict[Verdict, int]:
    """How many cases came to each verdict, all verdicts included."""
    counts = dict.fromkeys(Verdict, 0)
    for record in records:
        counts[record.verdict] += 1
    return counts


def exit_code_of(records: Sequence[CaseRecord], signum: int | None) -> int:
    """The command's; signum: the last signal that was to end it, None without one."""
    if signum is not None and any(record.verdict is Verdict.CANCELLED for record in records):
        return ended_by(signum)
    passed = all(record.verdict is Verdict.PASSED for record in records)
    return ExitCode.OK if passed else ExitCode.NOT_ALL_PASSED
