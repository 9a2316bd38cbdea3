"""A command in a process group of its own: every signal reaches all of it, exactly once.

In our own group the command would get Ctrl+C from the terminal and again from
us; and what is passed on to a shell alone leaves the shell's children running.
A group of its own is in the terminal's background. When something in it wants
to read, or to set the terminal's modes, the system stops it; then, as a shell's
``fg`` does, the terminal is lent to it, and it goes on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.scripts.common import ended_by
from spalloc_gevent.scripts.controlling_terminal import (
    ControllingTerminal,
    stop_our_group,
    stop_ourselves,
)
from spalloc_gevent.scripts.orphan_watch import OrphanWatch
from spalloc_gevent.scripts.signals import PASSED_ON, Signals

KILL_AFTER_S = 5.0
"""How long a command may take to end after a second signal, and its children after it."""

LOOK_EVERY_S = 2.0
"""How often the job is looked at while something else is waited for."""

_CHECK_LEFTOVERS_EVERY_S = 0.02

# Python ignores these two, and what is ignored stays so in a new program.
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)

_ENDED = (b"Z", b"X")
"""States of a process in /proc: a zombie, and one about to vanish."""

_WANTS_TERMINAL = (signal.SIGTTIN, signal.SIGTTOU)


class Child:
    """One command, running; to be waited for with :meth:`poll` and closed after.

    Raises OSError when the program cannot be found or executed.
    """

    def __init__(self, argv: list[str], environ: Mapping[str, str]) -> None:
        self._orphan_watch = OrphanWatch()
        self._terminal = ControllingTerminal()
        self._stopped_by: int | None = None
        self._suspend_asked = False
        # Before there is a command: a stop that comes in its first moment is meant for it, too.
        self._tstp_before = signal.getsignal(signal.SIGTSTP)
        if self._tstp_before is not signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, self._on_ctrl_z)
        try:
            self.group = self._pid = os.posix_spawnp(
                argv[0], argv, environ, setpgroup=0, setsigdef=_PYTHON_IGNORES
            )
            self._orphan_watch.watch(self.group)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back what was borrowed."""
        signal.signal(signal.SIGTSTP, self._tstp_before)
        self._terminal.close()
        self._orphan_watch.close()

    def send(self, signum: int) -> None:
        """Signal the command and all of its children."""
        # EPERM: all that is left has become another user's (sudo), out of our reach.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signum)

    def end(self, signum: int) -> None:
        """Pass on a signal that means to end the command, also when it is stopped."""
        self.send(signum)
        self.send(signal.SIGCONT)

    def poll(self) -> int | None:
        """The exit code as a shell gives it, None while it runs; stops are dealt with."""
        if self._suspend_asked:
            # Whoever stopped us did not stop the command: stop together, go on together.
            self._suspend_asked = False
            self.send(signal.SIGSTOP)
            stop_ourselves()
            self._continue()
        pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            self._stopped_by = os.WSTOPSIG(status)
            self._on_stop(self._stopped_by)
        elif pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else ended_by(-code)
        elif self._stopped_by in _WANTS_TERMINAL:
            self._lend_terminal()
        return None

    def _on_stop(self, signum: int) -> None:
        if signum in _WANTS_TERMINAL and self._terminal.exists:
            if not self._lend_terminal():
                # We are in the background: let our shell say so; its `fg` continues us.
                stop_our_group()
                self._lend_terminal()
        elif signum == signal.SIGTSTP and self._terminal.take_back():
            # Ctrl+Z has reached the command's group, and is meant for ours as well.
            stop_our_group()
            self._terminal.lend(self.group)
            self._continue()

    def _lend_terminal(self) -> bool:
        lent = self._terminal.lend(self.group)
        if lent:
            self._continue()
        return lent

    def _continue(self) -> None:
        self._stopped_by = None
        self.send(signal.SIGCONT)

    def _on_ctrl_z(self, _signum: int, _frame: FrameType | None) -> None:
        self._suspend_asked = True

    def wait_for_leftovers(self, timeout_s: float) -> None:
        """Wait for what the command has left running; it is killed after `timeout_s`."""
        if not self.is_gone_within(timeout_s):
            self.send(signal.SIGKILL)
            self.is_gone_within(timeout_s)

    def is_gone_within(self, timeout_s: float) -> bool:
        """Wait until nothing of the command is left; returns whether that came in time."""
        deadline = Deadline(timeout_s)
        while is_alive(self.group):
            if deadline.passed:
                return False
            time.sleep(_CHECK_LEFTOVERS_EVERY_S)
        return True


def is_alive(group: int) -> bool:
    """Whether anything runs in a process group."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    # What has ended stays in its group until its parent, by now the system's
    # first process, takes notice; some of those take seconds.
    states = []
    # Only Linux shows them there.
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            # Ended while we looked.
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                # The second field is a file name in brackets and may hold anything.
                state, _parent, its_group = stat.read().rpartition(b")")[2].split()[:3]
                if int(its_group) == group:
                    states.append(state)
    return not states or any(state not in _ENDED for state in states)


class TimeLimitError(Exception):
    """The time is up; whatever ran has ended."""


class Patience:
    """When a command is told to end, and when that becomes what it cannot refuse."""

    def __init__(self, limit: Deadline) -> None:
        """limit: when it is told to end."""
        self.signals_seen = 0
        self.is_time_up = False
        """True once it was told to end because of the limit."""
        self._limit = limit
        self._deadline = Deadline(None)

    def pass_on(self, signum: int, child: Child) -> None:
        """Send the signal to the command; the third is one that it cannot refuse."""
        if signum in PASSED_ON:
            child.send(signum)
            return
        self.signals_seen += 1
        child.end(signum if self.signals_seen <= 2 else signal.SIGKILL)
        if self.signals_seen == 2:
            self._deadline = Deadline(KILL_AFTER_S)

    def next_look_s(self) -> float:
        """How long nothing has to be done."""
        next_one = self._deadline if self.is_time_up else min(self._deadline, self._limit, key=_at)
        left_s = next_one.left_or(LOOK_EVERY_S)
        return LOOK_EVERY_S if left_s is None else left_s

    def check(self, child: Child) -> None:
        """Have a command end whose time is up; kill one that has not ended in time."""
        if self._limit.passed and not self.is_time_up:
            self.is_time_up = True
            child.end(signal.SIGTERM)
            self._deadline = min(self._deadline, Deadline(KILL_AFTER_S), key=_at)
        if self._deadline.passed:
            self._deadline = Deadline(None)
            child.end(signal.SIGKILL)


def _at(deadline: Deadline) -> float:
    return deadline.at


def wait_for_child(
    child: Child, signals: Signals, look: Callable[[], object], limit: Deadline | None = None
) -> int:
    """The exit code of a command once it has ended, 128 + n when signal n ended it.

    Signals that `signals` notes are passed on. A second one that is to end the
    command gives it KILL_AFTER_S more, a third one nothing. `look` is called at
    least every LOOK_EVERY_S.

    Args:
        limit: when the command is told to end (SIGTERM); it is killed KILL_AFTER_S later.

    Raises:
        TimeLimitError: it has ended after the limit.
    """
    patience = Patience(Deadline(None) if limit is None else limit)
    try:
        while (code := child.poll()) is None:
            for signum in signals.take():
                patience.pass_on(signum, child)
            signals.wait(patience.next_look_s())
            patience.check(child)
            look()
        if patience.signals_seen or patience.is_time_up:
            child.wait_for_leftovers(KILL_AFTER_S)
        if patience.is_time_up:
            raise TimeLimitError
        return code
    finally:
        child.close()
