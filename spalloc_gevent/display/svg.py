"""SVG as text: elements, numbers that are short, and whatever text there is, escaped."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

from spalloc_gevent.display.terminal import printable

Point = tuple[float, float]
"""To the right, and down, in pixels."""

NAMESPACE = "http://www.w3.org/2000/svg"
MONOSPACE = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'
"""Fonts whose characters are all of one width."""
CHARACTER_EM = 0.62
"""The width of a character of :data:`MONOSPACE`, in font sizes; real ones have up to 0.61."""


def element(name: str, *inside: str, **attributes: object) -> str:
    """An element with these attributes (``class_`` is class, ``_`` a hyphen; not those of None).

    inside: elements, and text that went through :func:`text_of`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(inside)}</{name}>" if inside else f"<{name}{given}/>"


def text_of(lines: object) -> str:
    """Text as XML may hold it: nothing but line ends steers anything, all of it is ASCII."""
    shown = "\n".join(map(printable, str(lines).split("\n")))
    return _ascii(escape(shown))


def number(value: float) -> str:
    """To a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def path_of(points: Iterable[Point], *, closed: bool = False) -> str:
    """The data of a path along the points, and back to the first one if it is closed."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"M{steps}z" if closed else f"M{steps}"


def cross(around: Point, reach: float) -> str:
    """The data of a path that crosses `around` twice, as an X."""
    x, y = around
    falling = path_of([(x - reach, y - reach), (x + reach, y + reach)])
    return falling + path_of([(x - reach, y + reach), (x + reach, y - reach)])


def fitting_px(text: str, most_px: float, room: float) -> float:
    """The size of a monospace font in which the text has room."""
    return min(most_px, room / (CHARACTER_EM * max(1, len(text))))


def _attribute(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return _ascii(escape(str(value), {'"': "&quot;", "\n": "&#10;"}))


def _ascii(text: str) -> str:
    # A document that is ASCII is right in whatever encoding it is taken to be.
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
