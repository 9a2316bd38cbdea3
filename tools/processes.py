"""Child processes that announce when they serve, and that never outlive who started them.

The parent's half is :class:`Child`. The child's half is :func:`announce` and :func:`orphaned`:
end-of-file on a pipe would not do, because a forked child of the parent holds the other end open.
Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ORPHAN_CHECK_S = 0.25
_TAIL_BYTES = 16_384


class ChildError(RuntimeError):
    """A child process did not start, or did not stop, as it should."""


class Child:
    """One child process, its log file, and the line it announced when it was ready.

    The command gets ``--parent-pid N --announce-fd N`` appended. It runs in a session of its
    own, so that Ctrl+C in a terminal reaches the parent alone, which then stops it in order.
    """

    def __init__(self, argv: Sequence[str], *, log_path: Path, cwd: Path | None = None) -> None:
        self.log_path = log_path
        self._owner_pid = os.getpid()
        self._log_start = log_path.stat().st_size if log_path.exists() else 0
        read_fd, write_fd = os.pipe()
        try:
            self._process = self._spawn(argv, write_fd, cwd)
        except OSError as error:
            os.close(read_fd)
            raise ChildError(f"cannot run {argv[0]}: {error}") from error
        finally:
            os.close(write_fd)
        self._announce_fd: int | None = read_fd

    def _spawn(
        self, argv: Sequence[str], write_fd: int, cwd: Path | None
    ) -> subprocess.Popen[bytes]:
        handshake = ["--parent-pid", str(os.getpid()), "--announce-fd", str(write_fd)]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*argv, *handshake],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                pass_fds=[write_fd],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.poll()

    def announcement(self, timeout_s: float) -> str:
        """The one line that the child announces when it serves.

        Raises ChildError, with the log's tail, when the child ends or stays silent instead.
        """
        assert self._announce_fd is not None, "a child announces itself once"
        try:
            line = _read_line(self._announce_fd, timeout_s)
        finally:
            os.close(self._announce_fd)
            self._announce_fd = None
        if line is None:
            raise ChildError(self._why_silent(timeout_s))
        return line

    def _why_silent(self, timeout_s: float) -> str:
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            what = f"was not ready after {timeout_s:g} s"
        else:
            what = f"ended with exit code {code} before it was ready"
        return f"process {self.pid} {what}; its log says:\n{self.log_tail()}"

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of what this child wrote, and nothing of what its predecessors did."""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"

    def terminate(self, timeout_s: float) -> None:
        """Ask it to end, and wait until it has; ChildError (and SIGKILL) when it takes too long."""
        if not self._mine():
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ChildError(
                f"process {self.pid} did not end within {timeout_s:g} s and was killed; "
                f"its log says:\n{self.log_tail()}"
            ) from None
        finally:
            self._forget_announcement()

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait until it is gone; harmless when it is already."""
        if not self._mine():
            return
        self._process.kill()
        self._process.wait()
        self._forget_announcement()

    def _mine(self) -> bool:
        # A forked copy of this object must not end what belongs to the process it came from.
        return os.getpid() == self._owner_pid

    def _forget_announcement(self) -> None:
        if self._announce_fd is not None:
            os.close(self._announce_fd)
            self._announce_fd = None


def _read_line(fd: int, timeout_s: float) -> str | None:
    """One line from a pipe; None when it is closed first or the time is up."""
    gives_up_at = time.monotonic() + timeout_s
    line = bytearray()
    while not line.endswith(b"\n"):
        left_s = gives_up_at - time.monotonic()
        if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
            return None
        piece = os.read(fd, 65_536)
        if not piece:
            return None
        line += piece
    return line.decode("utf-8").rstrip("\n")


def announce(fd: int, line: str) -> None:
    """The child's half: tell the parent that it may begin."""
    try:
        os.write(fd, line.encode("utf-8") + b"\n")
    finally:
        os.close(fd)


def serve_until_stopped(parent_pid: int, stop: threading.Event) -> bool:
    """Wait until `stop` is set or the parent is gone; True when it was `stop`."""
    while not stop.wait(ORPHAN_CHECK_S):
        if os.getppid() != parent_pid:
            return False
    return True


def stop_on_signals(*numbers: signal.Signals) -> threading.Event:
    """An event that the given signals (SIGTERM when none is given) set. Main thread only."""
    stop = threading.Event()
    for number in numbers or (signal.SIGTERM,):
        signal.signal(number, lambda *_: stop.set())
    return stop
