"""Calls that any thread has made by one that sleeps on file descriptors."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class CallQueue:
    """First in, first out; its descriptor is readable while there are some."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()
        self._is_signalled = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        return self._reader

    def add(self, call: Callable[[], object]) -> None:
        """Have ``call()`` made, from any thread."""
        self._calls.append(call)
        if not self._is_signalled:
            self._is_signalled = True
            # A full pipe wakes as well as one more byte does.
            with suppress(BlockingIOError):
                os.write(self._writer, b"!")

    def make_calls(self) -> None:
        """Make all calls, the oldest first."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        # Before any call is made: those that come from now on signal again.
        self._is_signalled = False
        while self._calls:
            self._calls.popleft()()

    def close(self) -> None:
        """To be called when nobody adds any more."""
        os.close(self._reader)
        os.close(self._writer)
