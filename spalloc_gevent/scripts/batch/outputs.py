"""Where the output of cases goes: files of the user's, or such as are gone once they are shown."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from spalloc_gevent.display.terminal import printable
from spalloc_gevent.scripts.batch.cases import file_name
from spalloc_gevent.scripts.common import CommandError, ExitCode

TAIL_BYTES = 8192
_PIECE_BYTES = 65_536


@dataclass(frozen=True)
class CaseFiles:
    """The names of the two files that a command's standard output and standard error go to."""

    stdout: str
    stderr: str

    def remove(self) -> None:
        for path in (self.stdout, self.stderr):
            with suppress(FileNotFoundError):
                os.remove(path)


class Outputs:
    """The files of all cases."""

    def __init__(self, folder: str, passing: str) -> None:
        """folder: where those of cases are; passing: where those are that nobody keeps."""
        self._folder = folder
        self._passing = passing

    @property
    def are_kept(self) -> bool:
        return self._folder != self._passing

    def of_case(self, name: str) -> CaseFiles:
        path = os.path.join(self._folder, file_name(name))
        return CaseFiles(f"{path}.out", f"{path}.err")

    def of_check(self, job_id: int) -> CaseFiles:
        path = os.path.join(self._passing, f".check-{job_id}")
        return CaseFiles(f"{path}.out", f"{path}.err")


@contextmanager
def outputs_in(folder: str | None) -> Iterator[Outputs]:
    """Files in a folder, which is made if need be; None: in one that is gone after the block.

    Raises CommandError when there can be no such folder.
    """
    if folder is not None:
        reason = "it may not be written to"
        try:
            os.makedirs(folder, exist_ok=True)
            is_writable = os.access(folder, os.W_OK | os.X_OK)
        except OSError as error:
            is_writable, reason = False, error.strerror or str(error)
        if not is_writable:
            message = f"--output {printable(folder)} cannot be used: {reason}"
            raise CommandError(message, ExitCode.NOT_RECORDED)
    with tempfile.TemporaryDirectory(
        prefix="spalloc_batch_", ignore_cleanup_errors=True
    ) as passing:
        yield Outputs(folder or passing, passing)


def pieces_of(path: str) -> Iterator[bytes]:
    """The content of a file, if there is one."""
    with suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def tail_of(path: str, most_bytes: int = TAIL_BYTES) -> str:
    """The end of a file's content as text; of nothing where there is no such file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
