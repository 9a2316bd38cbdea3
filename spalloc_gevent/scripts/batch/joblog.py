"""The joblog: a line of JSON for each case that was run, written as it ends, and read to resume."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from spalloc_gevent.display.terminal import printable
from spalloc_gevent.scripts.batch_cases import Case
from spalloc_gevent.scripts.batch_records import BY_ITSELF, Record, Verdict
from spalloc_gevent.scripts.common import CommandError, ExitCode
from spalloc_gevent.scripts.views import FORMAT

_BEGINNING = b'{"format": '


class JobLog:
    """The file, to be written to by one program at a time; what is in it stays."""

    def __init__(self, path: str, file: int) -> None:
        self._path = path
        self._file = file

    def read(self) -> dict[str, Record]:
        """The last line of each case, by its name.

        A last line that is half written, by a program that was killed, is cut off.
        Raises CommandError for a file that is no joblog.
        """
        os.lseek(self._file, 0, os.SEEK_SET)
        with open(self._file, "rb", closefd=False) as file:
            *lines, last = file.read().split(b"\n")
        if last and not _is_broken_off(last):
            lines.append(last)
        records = [self._record(number, line) for number, line in enumerate(lines, 1) if line]
        # Only now is it known to be a joblog.
        self._mend(last)
        return {record.case: record for record in records}

    def _mend(self, last: bytes) -> None:
        """Have the file end with a whole line."""
        if last and _is_broken_off(last):
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(last))
        elif last:
            os.write(self._file, b"\n")

    def _record(self, number: int, line: bytes) -> Record:
        try:
            return Record.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            path = printable(self._path)
            raise CommandError(
                f"{path}, line {number}: this is no line of a joblog: give another file",
                ExitCode.USAGE,
            ) from error

    def append(self, record: Record) -> None:
        """Write a line at the end, whole; raises OSError."""
        line = line_of(record)
        while line:
            line = line[os.write(self._file, line) :]


def line_of(record: Record) -> bytes:
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
        raise CommandError(
            f"the joblog {printable(path)} cannot be opened: {error.strerror}",
            ExitCode.NOT_RECORDED,
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            # A device may have no end, and a pipe nothing to read.
            raise CommandError(
                f"the joblog {printable(path)} is no ordinary file: give another one",
                ExitCode.NOT_RECORDED,
            )
        _lock(file, path)
        yield JobLog(path, file)
    finally:
        os.close(file)


def _lock(file: int, path: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandError(
            f"the joblog {printable(path)} is being written to by another spalloc-batch",
            ExitCode.NOT_RECORDED,
        ) from None
    except OSError:
        return  # A file system without locks: whoever uses one has to take care.


def done_before(
    cases: Sequence[Case], logged: Mapping[str, Record], *, again: bool
) -> dict[str, Record]:
    """What need not be run again: the records of cases that came to a result of their own.

    again: those that have not passed are run again all the same. A case whose
    command is another one than it was then is a new one.
    """
    enough: Sequence[Any] = (Verdict.PASSED,) if again else BY_ITSELF
    found = {case.name: logged[case.name] for case in cases if case.name in logged}
    texts = {case.name: case.text for case in cases}
    return {
        name: record
        for name, record in found.items()
        if record.verdict in enough and record.command == texts[name]
    }
