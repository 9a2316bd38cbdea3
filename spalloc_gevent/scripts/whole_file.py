"""Files that are there whole, or as they were before."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time


def write_whole(path: str, content: bytes) -> None:
    """Have `path` hold `content`; where that fails, with OSError, it is what it was.

    What is no file, as a terminal or a pipe is, cannot be replaced: it is written to.
    """
    target = os.path.realpath(path)
    mode = _mode_of(target)
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb", opener=open_now) as there:
            there.write(content)
        return
    beside = os.path.join(os.path.dirname(target), f".{os.getpid()}-{time.time_ns():x}.part")
    with contextlib.ExitStack() as undoing, open(beside, "xb") as part:
        undoing.callback(os.remove, beside)
        part.write(content)
        part.flush()
        if mode is not None:
            os.fchmod(part.fileno(), stat.S_IMODE(mode))
        os.replace(beside, target)
        undoing.pop_all()


def make_sure_of(path: str) -> None:
    """See now, by OSError, that a file can be written that is written later.

    What is no file is not opened: whoever reads a pipe would take the close for its end.
    """
    mode = _mode_of(path)
    if mode is None or stat.S_ISREG(mode):
        with open(path, "ab"):
            pass


def open_now(path: str, flags: int) -> int:
    """Fail for a pipe that nobody reads, instead of waiting for somebody."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(errno.ENXIO, "it is a pipe that nobody reads", path) from None
    os.set_blocking(descriptor, True)
    return descriptor


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
