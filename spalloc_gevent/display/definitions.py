"""Keys and values, one pair a line, the keys flush right at their colons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def render_definitions(pairs: Iterable[tuple[str, object]]) -> str:
    """The pairs as lines without a last line end; a value of several lines stays in its column."""
    listed = [(key, str(value)) for key, value in pairs]
    width = max((len(key) for key, _ in listed), default=0)
    return "\n".join(
        line.rstrip() for key, value in listed for line in _lines(f"{key:>{width}}: ", value)
    )


def _lines(key: str, value: str) -> Iterator[str]:
    first, *others = value.split("\n")
    yield key + first
    for other in others:
        yield " " * len(key) + other
