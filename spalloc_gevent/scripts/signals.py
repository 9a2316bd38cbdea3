"""What a signal means at the moment: an end to waiting, news for a command, or nothing more.

All signals that end a program by default are handled here, unless whoever started us
had them ignored (``nohup``, a background job of a shell script): then they stay so.
Left out are those that tell of a fault in the program itself, and real-time signals.
"""

from __future__ import annotations

import math
import os
import select
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, TypeVar

from spalloc_gevent.deadline import waitable
from spalloc_gevent.scripts.common import ExitCode, ended_by

PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
"""For a running command: news, as of batch systems some time before the end. Else they end us."""

_ENDING = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM),
    *(signal.SIGXCPU, signal.SIGVTALRM, signal.SIGPROF),
    # Not every system has these, or ends a program with them.
    *(getattr(signal, name) for name in ("SIGPWR", "SIGSTKFLT") if hasattr(signal, name)),
    *PASSED_ON,
)
_WHILE_TIDYING = 1

T = TypeVar("T")


class Interrupted(KeyboardInterrupt):
    """A signal ended a wait."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum

    @property
    def reason(self) -> str:
        """Why the job was destroyed, in the words that users know."""
        if self.signum == signal.SIGINT:
            return "Keyboard interrupt."
        return f"Ended by {signal.Signals(self.signum).name}."

    @property
    def exit_code(self) -> int:
        is_ctrl_c = self.signum == signal.SIGINT
        return ExitCode.INTERRUPTED if is_ctrl_c else ended_by(self.signum)


class BrokenOffError(BaseException):
    """A signal ended a look at the job; no Exception, so that nothing takes it for its own."""


class Signals:
    """The signals of this process, while the block runs; to be used in its main thread.

    A signal either interrupts (raises :class:`Interrupted` wherever the main
    thread is) or is noted, for :meth:`take`. It begins with interrupting.

    also: more signals that are treated so.
    """

    def __init__(self, also: Sequence[int] = ()) -> None:
        self._treated = (*_ENDING, *also)
        self._noted: deque[int] = deque()
        self._spare: float = 0
        self.latest: int | None = None
        """The last signal that was noted and is to end a command, also when it was taken."""
        self._breaks_off = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # These two are news only in that they end a wait.
        for news in (signal.SIGCHLD, signal.SIGCONT):
            self._before[news] = signal.signal(news, self._on_news)
        for signum in self._treated:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                before = signal.signal(signum, self._on_signal)
                self._before.setdefault(signum, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)

    def interrupt(self) -> None:
        """From now on a signal raises Interrupted; so does one that was noted before."""
        self._spare = 0
        if self._noted:
            self._raise(self._noted.popleft())

    def note(self) -> None:
        """From now on signals are only noted, and end a :meth:`wait`."""
        self._spare = math.inf

    def tidy(self) -> None:
        """From now on one more signal is tolerated; the next interrupts even the tidying up."""
        self._spare = _WHILE_TIDYING

    @property
    def pending(self) -> bool:
        """Whether a signal is noted that nobody took."""
        return bool(self._noted)

    def take(self) -> list[int]:
        """The signals noted since the last time, in order."""
        taken = []
        # One by one: another may come between any two steps.
        while self._noted:
            taken.append(self._noted.popleft())
        return taken

    def wait(self, timeout_s: float | None, files: Sequence[int] = ()) -> list[int]:
        """Sleep until a signal (also a child's end), input or the time-out; the readable files.

        timeout_s: None for as long as it takes.
        """
        # select() knows no descriptors above 1023.
        poll = select.poll()
        for file in (self._reader, *files):
            poll.register(file, select.POLLIN)
        limit_s = waitable(timeout_s)
        ready = [
            file for file, _ in poll.poll(None if limit_s is None else math.ceil(limit_s * 1000))
        ]
        with suppress(BlockingIOError):
            while self._reader in ready and os.read(self._reader, 4096):
                pass
        return [file for file in ready if file != self._reader]

    def unless_signalled(self, look: Callable[[], T]) -> T | None:
        """What `look` returns, or None when a signal comes before it is done."""
        try:
            self._breaks_off = True
            try:
                return look()
            finally:
                self._breaks_off = False
        except BrokenOffError:
            return None

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self._spare > 0:
            self._noted.append(signum)
            if signum not in PASSED_ON:
                self._spare -= 1
                self.latest = signum
            self._on_news(signum, _frame)
        else:
            self._raise(signum)

    def _on_news(self, _signum: int, _frame: FrameType | None) -> None:
        if self._breaks_off:
            self._breaks_off = False
            raise BrokenOffError

    def _raise(self, signum: int) -> None:
        # Whoever is interrupted tidies up next: a second signal that comes
        # before tidy() is called must not keep it from doing so.
        self.tidy()
        raise Interrupted(signum)
