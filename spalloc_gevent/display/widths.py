"""How many columns of a terminal text takes, and what is in view of a line that is wider.

Styled text holds SGR sequences, which take no room; East Asian characters take
two columns, combining ones and joiners none, and an emoji that is joined of several
as much as one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_STYLING = re.compile("(\x1b\\[[0-9;]*m)")


def width_of(line: str) -> int:
    """The columns that a line takes, its styling left out."""
    text = _STYLING.sub("", line)
    return len(text) if text.isascii() else sum(_columns(text))


def cut(line: str, left: int, columns: int) -> str:
    """The part of a styled line that stands in `columns` columns from `left` on.

    A wide character of which half is in view is a blank there. Styles that are
    on at either end are switched as in the whole line.
    """
    if not left and width_of(line) <= columns:
        return line
    if line.isascii() and "\x1b" not in line:
        return line[left : left + columns]
    return "".join(_parts_in_view(line, left, left + columns))


def _parts_in_view(line: str, left: int, right: int) -> Iterator[str]:
    place, is_seen = 0, not left
    for part in _STYLING.split(line):
        if part.startswith("\x1b"):
            yield part
            continue
        for character, columns in zip(part, _columns(part), strict=True):
            end = place + columns
            # What takes no room stands on the character before it, and is seen with that.
            if end > place:
                is_seen = left <= place and end <= right
            if is_seen:
                yield character
            elif max(left, place) < min(right, end):
                yield " "
            place = end


_JOINER = "\u200d"
_TAKE_NO_ROOM = ("Mn", "Me", "Cf")
"""Categories: marks on the character before, and what joins or parts characters."""


def _columns(text: str) -> Iterator[int]:
    """The columns that each character takes."""
    before = ""
    for character in text:
        if unicodedata.category(character) in _TAKE_NO_ROOM:
            yield 0
        elif unicodedata.east_asian_width(character) in "WF":
            yield 0 if before == _JOINER else 2
        else:
            yield 1
        before = character
