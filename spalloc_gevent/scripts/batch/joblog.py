"""The joblog: a line of JSON for each case that was run, written as it ends, and read to resume."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from spalloc_gevent.display.terminal import printable
from spalloc_gevent.scripts.batch.cases import Case
from spalloc_gevent.scripts.batch.records import BY_ITSELF, CaseRecord, Verdict
from spalloc_gevent.scripts.common import CommandError, ExitCode
from spalloc_gevent.scripts.views import FORMAT

_BEGINNING = b'{"format": '


class JobLog:
    """The file, to be written to by one program at a time; what is in it stays."""

    def __init__(self, path: str, file: int) -> None:
        self._path = path
        self._file = file

    def read(self) -> dict[str, CaseRecord]:
        """The last line of each case, by its name.

        A last line that is half written, by a program that was killed, is cut off.
        Raises CommandError for a file that is no joblog.
        """
        os.lseek(self._file, 0, os.SEEK_SET)
        with open(self._file, "rb", closefd=False) as file:
            *lines, last = file.read().split(b"\n")
        is_broken_off = bool(last) and _is_broken_off(last)
        if last and not is_broken_off:
            lines.append(last)
        records: dict[str, CaseRecord] = {}
        for number, line in enumerate(lines, 1):
            try:
                record = CaseRecord.from_json(json.loads(line)) if line else None
            except (ValueError, KeyError, TypeError) as error:
                raise CommandError(
                    f"{printable(self._path)}, line {number}: this is no line of a joblog: "
                    "give another file",
                    ExitCode.USAGE,
                ) from error
            if record is not None:
                records[record.case] = record
        # Only now is it known to be a joblog.
        if is_broken_off:
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(last))
        elif last:
            os.write(self._file, b"\n")
        return records

    def append(self, record: CaseRecord) -> None:
        """Write a line at the end, whole; raises OSError."""
        line = line_of(record)
        while line:
            line = line[os.write(self._file, line) :]


def line_of(record: CaseRecord) -> bytes:
    """The line of a record, its end included."""
    return json.dumps({"format": FORMAT, **record.as_json()}).encode("ascii") + b"\n"


def _is_broken_off(line: bytes) -> bool:
    """Whether it is the beginning of a line of ours, and no more."""
    if not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


@contextmanager
def opened(path: str) -> Iterator[JobLog]:
    """The joblog of that name, new or as it is; CommandError when it cannot be, or is in use."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        message = f"the joblog {printable(path)} cannot be opened: {error.strerror}"
        raise CommandError(message, ExitCode.NOT_RECORDED) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            # A device may have no end, and a pipe nothing to read.
            message = f"the joblog {printable(path)} is no ordinary file: give another one"
            raise CommandError(message, ExitCode.NOT_RECORDED)
        # A file system may have no locks: whoever uses one has to take care.
        with suppress(OSError):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = (
                    f"the joblog {printable(path)} is being written to by another spalloc-batch"
                )
                raise CommandError(message, ExitCode.NOT_RECORDED) from None
        yield JobLog(path, file)
    finally:
        os.close(file)


def done_before(
    cases: Sequence[Case], logged: Mapping[str, CaseRecord], *, again: bool
) -> dict[str, CaseRecord]:
    """What need not be run again: the records of cases that came to a result of their own.

    again: those that have not passed are run again all the same. A case whose
    command is another one than it was then is a new one.
    """
    enough = (Verdict.PASSED,) if again else BY_ITSELF
    found = ((case, logged.get(case.name)) for case in cases)
    return {
        case.name: record
        for case, record in found
        if record is not None and record.verdict in enough and record.command == case.text
    }
