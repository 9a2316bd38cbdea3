"""A command in a session of its own, waited for by one native thread and ended by another.

A session of its own has no terminal: Ctrl+C reaches us alone, and who asks for a
password fails at once instead of being stopped. Whatever the command leaves
running is killed at its end: its boards are another one's soon.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from spalloc_gevent.scripts.common import ended_by
from spalloc_gevent.scripts.orphan_watch import OrphanWatch

# Python ignores these two, and what is ignored stays so in a new program.
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)

_CAN_LOOK = hasattr(os, "waitid")
"""Whether a process's end can be waited for without forgetting the process (not on old macOS)."""


class Process:
    """A command that runs; its process stays until :meth:`forget`, so that no signal goes astray.

    Raises OSError when it cannot be started.
    """

    def __init__(
        self, argv: list[str], environ: Mapping[str, str], stdout: str, stderr: str
    ) -> None:
        """stdout, stderr: names of files, whose content is replaced."""
        to_write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._is_forgotten = False
        self._orphan_watch = OrphanWatch()
        try:
            self.pid = os.posix_spawn(
                argv[0],
                argv,
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, stdout, to_write, 0o666),
                    (os.POSIX_SPAWN_OPEN, 2, stderr, to_write, 0o666),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_PYTHON_IGNORES,
            )
            self._orphan_watch.watch(self.pid)
        except BaseException:
            self._orphan_watch.close()
            raise

    def wait(self) -> int:
        """The exit code, 128 + n when signal n ended it; nothing of it runs any more."""
        if _CAN_LOOK:
            end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            assert end is not None
            code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.kill()
        self._orphan_watch.close()
        self._is_forgotten = not _CAN_LOOK
        return code if code >= 0 else ended_by(-code)

    def end(self) -> None:
        """Ask the command, and all that it has started, to end."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End all that is left of it."""
        self.send(signal.SIGKILL)

    def send(self, signum: int) -> None:
        """Signal the command, and all that it has started, unless its end is known."""
        if not self._is_forgotten:
            # EPERM: all that is left has become another user's (sudo), out of our reach.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signum)

    def forget(self) -> None:
        """Its end is known; to be called by the one thread that may still send it signals."""
        if not self._is_forgotten:
            self._is_forgotten = True
            os.waitpid(self.pid, 0)
