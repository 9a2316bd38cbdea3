"""SVG as text: elements, shapes, numbers that are short, and whatever text there is, escaped."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

from spalloc_gevent.display.hexagons import Point, corners
from spalloc_gevent.display.terminal import printable

NAMESPACE = "http://www.w3.org/2000/svg"
CHARACTER_EM = 0.62
"""The width of a character of a monospace font, in font sizes; real ones have up to 0.61."""
_FROM_MIDDLE_EM = 0.36
"""From the middle of a capital or digit to its foot, in font sizes."""
_CROSS_OF_BOARD = 5.0
_CROSS_OF_LINK = 3.0


def element(name: str, *inside: str, **attributes: object) -> str:
    """An element with these attributes (``class_`` is class, ``_`` a hyphen).

    inside: elements, and text that went through :func:`escaped`.
    """
    given = ""
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, float) else str(value)
        quoted = in_ascii(escape(shown, {'"': "&quot;", "\n": "&#10;"}))
        given += f' {key.rstrip("_").replace("_", "-")}="{quoted}"'
    return f"<{name}{given}>{''.join(inside)}</{name}>" if inside else f"<{name}{given}/>"


def escaped(lines: object) -> str:
    """Text as XML may hold it: nothing but line ends steers anything, all of it is ASCII."""
    return in_ascii(escape("\n".join(map(printable, str(lines).split("\n")))))


def in_ascii(text: str) -> str:
    """A document that is ASCII is right in whatever encoding it is taken to be."""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def number(value: float) -> str:
    """To a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def text_at(at: Point, words: object, kind: str, **attributes: object) -> str:
    """Text whose first line stands on a point."""
    return element("text", escaped(words), class_=kind, x=at[0], y=at[1], **attributes)


def label(around: Point, text: str, kind: str, most_px: float, room: float) -> str:
    """Text whose capitals are centred around a point, as large as there is room for."""
    size_px = min(most_px, room / (CHARACTER_EM * max(1, len(text))))
    foot = around[0], around[1] + _FROM_MIDDLE_EM * size_px
    return text_at(foot, text, kind, font_size=size_px)


def path_of(points: Iterable[Point], *, closed: bool = False) -> str:
    """The data of a path along the points, and back to the first one if it is closed."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"M{steps}z" if closed else f"M{steps}"


def cross(around: Point, reach: float = _CROSS_OF_BOARD) -> str:
    """The data of a path that crosses `around` twice, as an X."""
    x, y = around
    falling = path_of([(x - reach, y - reach), (x + reach, y + reach)])
    return falling + path_of([(x - reach, y + reach), (x + reach, y - reach)])


def hexagon(around: Point, radius: float) -> str:
    return element("path", class_="cell", d=path_of(corners(around, radius), closed=True))


def broken_edge(ends: tuple[Point, Point]) -> str:
    """The mark on an edge that stands for a dead link: a bar and a cross in its middle."""
    (x1, y1), (x2, y2) = ends
    shape = path_of(ends) + cross(((x1 + x2) / 2, (y1 + y2) / 2), _CROSS_OF_LINK)
    # The halo first: it parts the mark from whatever colour it lies upon.
    return "".join(element("path", class_=kind, d=shape) for kind in ("halo", "broken"))
