"""The terminal that this process was started from, and who may read from it.

A terminal has one process group in its foreground: that one may read, and
gets what Ctrl+C and Ctrl+Z send. A command in a group of its own is in the
background until the terminal is lent to it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


class ControllingTerminal:
    """The controlling terminal of this process, if it has one."""

    def __init__(self) -> None:
        self._lent = False
        try:
            self._file: int | None = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            self._file = None

    def close(self) -> None:
        """Take back what was lent; this may be done twice."""
        self.take_back()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def exists(self) -> bool:
        return self._file is not None

    @property
    def is_ours(self) -> bool:
        """Whether our process group is in the foreground."""
        try:
            return self._file is not None and os.tcgetpgrp(self._file) == os.getpgrp()
        except OSError:  # The terminal has been closed.
            return False

    def lend(self, group: int) -> bool:
        """Put `group` into the foreground if we are there; returns whether that was done."""
        if self.is_ours:
            self._lent = self._set_foreground(group)
        return self._lent

    def take_back(self) -> bool:
        """Put ourselves into the foreground if we lent it; returns whether we had."""
        had_lent, self._lent = self._lent, False
        if had_lent:
            self._set_foreground(os.getpgrp())
        return had_lent

    def _set_foreground(self, group: int) -> bool:
        assert self._file is not None
        # From the background this call stops its caller with SIGTTOU, unless blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        try:
            os.tcsetpgrp(self._file, group)
        except OSError:  # The terminal, or the last process of the group, is gone.
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return True


def stop_ourselves() -> None:
    """Stop this process alone, as SIGTSTP does; returns when continued.

    Nothing happens in a group that no shell looks after: nobody could continue it.
    """
    _stop(lambda: signal.raise_signal(signal.SIGTSTP))


def stop_our_group() -> None:
    """As :func:`stop_ourselves`, with our whole process group, as Ctrl+Z does."""
    _stop(lambda: os.killpg(os.getpgrp(), signal.SIGTSTP))


def _stop(send: Callable[[], object]) -> None:
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        send()
    finally:
        signal.signal(signal.SIGTSTP, before)
