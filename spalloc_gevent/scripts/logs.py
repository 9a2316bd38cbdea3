"""The library's log, as a user of a command gets to see it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

_LIBRARY = "spalloc_gevent"


@contextmanager
def handled_by(handler: logging.Handler, level: int = logging.NOTSET) -> Iterator[None]:
    """Have `handler` get what the library logs while the block runs, from this level on if any."""
    logger = logging.getLogger(_LIBRARY)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level or before)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def everything_shown(stream: TextIO) -> AbstractContextManager[None]:
    """Write all that the library logs while the block runs to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    return handled_by(handler, logging.DEBUG)


def nothing_shown() -> AbstractContextManager[None]:
    """Show nothing of what the library logs while the block runs: its errors say it all."""
    return handled_by(logging.NullHandler())


def warnings_shown(show: Callable[[str], object]) -> AbstractContextManager[None]:
    """Have `show` called with each warning of the library while the block runs.

    Errors are left out: they are about the end of a job, which the command tells itself.
    """
    return handled_by(_Warnings(show))


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


class _Warnings(logging.Handler):
    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            self._show(f"warning: {record.getMessage()}")
