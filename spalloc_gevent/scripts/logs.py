"""The library's log, as a user of a command gets to see it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_LIBRARY = "spalloc_gevent"


@contextmanager
def everything_shown(stream: TextIO) -> Iterator[None]:
    """Write all that the library logs while the block runs to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    logger = logging.getLogger(_LIBRARY)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with _handled_by(handler):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def warnings_shown(show: Callable[[str], object]) -> Iterator[None]:
    """Have `show` called with each warning of the library while the block runs.

    Errors are left out: they are about the end of a job, which the command tells itself.
    """
    with _handled_by(_Warnings(show)):
        yield


@contextmanager
def warnings_held(show: Callable[[str], object]) -> Iterator[None]:
    """As :func:`warnings_shown`, once the block has come to its end: else its error says it all."""
    held: list[str] = []
    with warnings_shown(held.append):
        yield
    for text in held:
        show(text)


def nobody(_text: str) -> None:
    """Show nothing: whoever sees the whole log sees warnings there."""


@contextmanager
def nothing_shown() -> Iterator[None]:
    """Show nothing of what the library logs while the block runs: its errors say it all."""
    with _handled_by(logging.NullHandler()):
        yield


@contextmanager
def _handled_by(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger(_LIBRARY)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            self._show(f"warning: {record.getMessage()}")
