"""Keys and values, one pair a line, the keys flush right at their colons."""

from __future__ import annotations

from collections.abc import Iterable


def render_definitions(pairs: Iterable[tuple[str, object]]) -> str:
    """The pairs as lines without a last line end; a value of several lines stays in its column."""
    listed = [(key, str(value)) for key, value in pairs]
    width = max((len(key) for key, _ in listed), default=0)
    below = "\n" + " " * (width + 2)
    return "\n".join(
        f"{key:>{width}}: {value.replace(chr(10), below)}".rstrip() for key, value in listed
    )
