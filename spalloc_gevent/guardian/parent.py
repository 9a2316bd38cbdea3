"""The program that is guarded, as its guardian sees it; needs little, so that it is there soon."""

from __future__ import annotations

import os
import select


class Parent:
    """The program that started us; to be made before we are adopted by another process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file = _file_of(pid)

    @property
    def files(self) -> list[int]:
        """Descriptors that are readable once it has ended."""
        return [] if self._file is None else [self._file]

    @property
    def has_ended(self) -> bool:
        if self._file is not None:
            return bool(select.select([self._file], [], [], 0)[0])
        return not _is_alive(self._pid)


def _file_of(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None  # An old kernel, another system, or a sandbox has it not.


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether it has ended, and only its parent has not noticed."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[:1] == ["Z"]
    except OSError:
        return False
