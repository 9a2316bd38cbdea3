"""News from any thread for one that sleeps on file descriptors."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

News = TypeVar("News")


class Channel(Generic[News]):
    """First in, first out; its end that is slept on is readable when there is some."""

    def __init__(self) -> None:
        self._news: deque[News] = deque()
        self._rung = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        return self._reader

    def post(self, news: News) -> None:
        """Tell, from any thread."""
        self._news.append(news)
        if not self._rung:
            self._rung = True
            # A full pipe wakes as well as one more byte does.
            with suppress(BlockingIOError):
                os.write(self._writer, b"!")

    def take(self) -> Iterator[News]:
        """All that has been told, the oldest first."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        # Before anything is taken: what comes from now on rings again.
        self._rung = False
        while self._news:
            yield self._news.popleft()

    def close(self) -> None:
        """To be called when nobody posts any more."""
        os.close(self._reader)
        os.close(self._writer)
