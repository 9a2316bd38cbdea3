"""The ledger: what was asked for, what was granted, and what became of it, line by line in a file.

Each line is one JSON object, added with one write, so that many programs may share a file:
``docs/reference/ledger.rst`` describes it. What is written is read again by :func:`read_ledger`.
"""

from __future__ import annotations

import enum
import errno
import json
import logging
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.errors import ConfigError

_log = logging.getLogger(__name__)

__all__ = ["Entered", "JobOutcome", "read_ledger", "used_board"]

FORMAT = 1
Board = tuple[int, int, int]


class JobOutcome(enum.Enum):
    """What became of an allocation, as the program that had it knows."""

    GIVEN_BACK = "given back"
    """Destroyed by the program itself."""
    NOT_TOLD = "not told"
    """The program had done with it, but the server could not be told: it ends by its keepalive."""
    CLOSED = "closed"
    """The program let go of it without destroying it."""
    DESTROYED = "destroyed"
    """By somebody else, or by the server."""
    LOST = "lost"
    """The server does not know it any more, or its number is another job's."""


class Ledger:
    """A file that allocations are entered in."""

    def __init__(self, path: str) -> None:
        """Raises ConfigError when the file cannot be written to."""
        # As it is meant now: the program may change its folder.
        self.path = os.path.abspath(os.path.expanduser(path))
        self._is_written = True
        try:
            if os.path.exists(self.path) and stat.S_ISFIFO(os.stat(self.path).st_mode):
                raise OSError(errno.EINVAL, "it is a named pipe")
            os.close(self._open(os.O_WRONLY))
        except OSError as error:
            raise ConfigError(f"the ledger {path!r} cannot be written: {error.strerror}") from None

    def _open(self, access: int) -> int:
        # A named pipe that takes the file's place must not keep a job waiting.
        flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self.path, access | flags, 0o666)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a line; that it cannot be is logged, once, and harms no job."""
        line = json.dumps({"format": FORMAT, "time": round(time.time(), 3), **record}) + "\n"
        try:
            self._write(line.encode("ascii"))
            self._is_written = True
        except OSError as error:
            if self._is_written:
                _log.warning("the ledger %r is not written any more: %s", self.path, error.strerror)
            self._is_written = False

    def _write(self, line: bytes) -> None:
        if self._ends_in_half_a_line():
            line = b"\n" + line
        descriptor = self._open(os.O_WRONLY)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def _ends_in_half_a_line(self) -> bool:
        """Whether a killed program or a full disk has left one, which would spoil the next line."""
        try:
            with open(self._open(os.O_RDONLY), "rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:  # There is nothing in it, or it may only be written to.
            return False


class LedgerEntry:
    """One allocation in a ledger; each event is written once. For one thread at a time."""

    def __init__(self, ledger: Ledger, job_id: int, server: str, asked: Mapping[str, Any]) -> None:
        """`server`: host and port; `asked`: owner, label, what and options, or what was resumed."""
        self._ledger = ledger
        self._process = os.getpid()
        self._name = {"entry": os.urandom(8).hex(), "server": server, "job_id": job_id}
        self._unwritten = {"granted", "ended"}
        self._add("asked", asked)

    @property
    def is_granted(self) -> bool:
        """True once its boards are in the ledger."""
        return "granted" not in self._unwritten

    def granted(self, boards: Mapping[str, Any], start_time: float | None) -> None:
        """It has boards: what ``get_job_machine_info`` tells; and when the job began, if known."""
        self._once(
            "granted",
            {
                "start_time": start_time,
                "machine": boards["machine_name"],
                "boards": sorted(list(board) for board in boards["boards"] or ()),
                "width": boards["width"],
                "height": boards["height"],
                "connections": sorted([list(at), host] for at, host in boards["connections"] or ()),
            },
        )

    def ended(self, fate: JobOutcome, reason: str | None) -> None:
        """It is this program's no more."""
        self._once("ended", {"fate": fate.value, "reason": reason})

    def _once(self, event: str, details: Mapping[str, Any]) -> None:
        if event in self._unwritten:
            self._unwritten.remove(event)
            self._add(event, details)

    def _add(self, event: str, details: Mapping[str, Any]) -> None:
        # A forked child knows nothing of its parent's jobs.
        if os.getpid() == self._process:
            self._ledger.add({"event": event, **self._name, **details})


# -- reading ------------------------------------------------------------------


@dataclass
class Entered:
    """One allocation as a ledger tells of it; None for what it does not tell.

    Times are Unix times; ``what`` are the arguments of ``Job``; ``boards`` are logical
    (x, y, z); ``fate`` is the value of a :class:`JobOutcome`.
    """

    entry: str
    server: str
    job_id: int
    owner: str | None = None
    label: str | None = None
    what: tuple[int, ...] | None = None
    asked_at: float | None = None
    granted_at: float | None = None
    start_time: float | None = None
    machine: str | None = None
    boards: tuple[Board, ...] = ()
    ended_at: float | None = None
    fate: str | None = None
    reason: str | None = None


def read_ledger(lines: Iterable[bytes]) -> tuple[list[Entered], int]:
    """What the lines of a ledger tell, in the order of asking, and how many lines tell nothing.

    A program that was killed may have left half of a line; others may have
    written to the file.
    """
    found: dict[str, Entered] = {}
    strange = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            _take_in(json.loads(line), found)
        except (ValueError, KeyError, TypeError):
            strange += 1
    return list(found.values()), strange


def _take_in(told: dict[str, Any], found: dict[str, Entered]) -> None:
    name = str(told["entry"])
    entered = found.setdefault(name, Entered(name, str(told["server"]), int(told["job_id"])))
    at = float(told["time"])
    _READERS[told["event"]](entered, told, at)


def _asked(entered: Entered, told: Mapping[str, Any], at: float) -> None:
    entered.owner, entered.label, entered.asked_at = told["owner"], told["label"], at
    entered.what = None if told["what"] is None else tuple(told["what"])


def _granted(entered: Entered, told: Mapping[str, Any], at: float) -> None:
    entered.machine, entered.granted_at = told["machine"], at
    entered.start_time = told["start_time"]
    entered.boards = tuple((x, y, z) for x, y, z in told["boards"])


def _ended(entered: Entered, told: Mapping[str, Any], at: float) -> None:
    entered.fate, entered.reason, entered.ended_at = told["fate"], told["reason"], at


_READERS = {"asked": _asked, "granted": _granted, "ended": _ended}


def used_board(entered: Sequence[Entered], machine: str, board: Board) -> list[Entered]:
    """Those that had this board of this machine."""
    return [one for one in entered if one.machine == machine and board in one.boards]
