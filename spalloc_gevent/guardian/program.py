"""The program that is guarded, as its guardian sees it."""

from __future__ import annotations

import contextlib
import os


class Program:
    """The process that started this one; to be made before another one adopts us."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.descriptor: int | None = None
        """Readable once it has ended; None where the system has no such thing."""
        # An old kernel, another system, or a sandbox has it not.
        with contextlib.suppress(AttributeError, OSError):
            self.descriptor = os.pidfd_open(pid)
        # Only now: its number may have become another's before.
        self._had_ended = os.getppid() != pid
        if self._had_ended and self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def is_alive(self) -> bool:
        """False once it has ended, unless another process has got its number since."""
        if self._had_ended:
            return False
        try:
            os.kill(self._pid, 0)
            with open(f"/proc/{self._pid}/stat", errors="replace") as stat:
                # A zombie has ended, and only its parent has not noticed.
                return stat.read().rpartition(")")[2].split()[:1] != ["Z"]
        except ProcessLookupError:
            return False
        except OSError:
            return True  # Another user's by now, or there is no /proc.
