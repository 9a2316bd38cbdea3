"""How many columns of a terminal text takes, and what is in view of a line that is wider.

Styled text holds SGR sequences, which take no room. What other characters take is known to
:mod:`wcwidth`; it is slow to import, and plain text does without.
"""

from __future__ import annotations

import re

_STYLING = re.compile("\x1b\\[[0-9;]*m")


def width_of(line: str) -> int:
    """The columns that a line takes, its styling left out."""
    if line.isascii():
        return len(_STYLING.sub("", line))
    from wcwidth import width

    return width(line)


def cut(line: str, left: int, columns: int) -> str:
    """The part of a styled line that stands in `columns` columns from `left` on.

    A wide character of which half is in view is a blank there. Styles that are
    on at either end are switched as in the whole line.
    """
    if not left and width_of(line) <= columns:
        return line
    if line.isascii() and "\x1b" not in line:
        return line[left : left + columns]
    from wcwidth import clip

    return clip(line, left, left + columns, propagate_sgr=False)


def shortened(text: str, columns: int) -> str:
    """Text that takes at most `columns`, with an ellipsis where something is left out."""
    return text if width_of(text) <= columns else cut(text, 0, columns - 1) + "…"
