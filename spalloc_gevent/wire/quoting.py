"""A short, printable quotation of bytes that somebody else sent."""

from __future__ import annotations

QUOTED_CHARACTERS = 80


def quoted(line: bytes) -> str:
    """The first 80 characters of `line`, escaped, with dots where more was cut."""
    # A UTF-8 character takes four bytes at most: the rest need not be decoded.
    text = line[: 4 * QUOTED_CHARACTERS + 4].decode("utf-8", "backslashreplace")
    dots = "..." if len(text) > QUOTED_CHARACTERS else ""
    return repr(text[:QUOTED_CHARACTERS]) + dots
