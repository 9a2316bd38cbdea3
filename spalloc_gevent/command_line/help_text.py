"""How the end of --help looks."""

from __future__ import annotations

from collections.abc import Iterable


def described(title: str, rows: Iterable[tuple[object, str]]) -> str:
    """A titled list for the end of --help: names flush left, then what they mean."""
    named = [(str(name), meaning) for name, meaning in rows]
    width = max((len(name) for name, _ in named), default=0)
    return f"{title}:\n" + "\n".join(f"  {name:<{width}}  {what}" for name, what in named)
