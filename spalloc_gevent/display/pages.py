"""What a command shows: lines, of which as many are made as somebody looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Page(Protocol):
    """Lines without line ends; the first `pinned` of them stay in view when the rest scrolls."""

    @property
    def pinned(self) -> int: ...

    def __len__(self) -> int:
        """How many lines there are, those that are pinned included."""

    def lines(self, start: int, stop: int) -> Sequence[str]:
        """The lines from number `start` up to, not including, `stop`."""


class Text:
    """A page that is there as a whole, from one or several blocks of lines.

    Empty blocks are left out; a blank line stands between the others.
    """

    pinned = 0

    def __init__(self, *blocks: str) -> None:
        self._lines = "\n\n".join(filter(None, blocks)).split("\n")

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self, start: int, stop: int) -> Sequence[str]:
        return self._lines[start:stop]


def text_of(page: Page) -> str:
    """All lines of a page, without a last line end."""
    return "\n".join(page.lines(0, len(page)))
