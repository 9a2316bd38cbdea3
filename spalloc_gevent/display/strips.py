"""A picture that is wider than where it is shown, cut into strips one below another."""

from __future__ import annotations

import math
from collections.abc import Iterator

from spalloc_gevent.display.sheet import Sheet, Window
from spalloc_gevent.display.terminal import Paint, Style


def render_in_strips(sheet: Sheet, columns: int | None, paint: Paint, *, pitch: int = 1) -> str:
    """The whole sheet as lines without a last line end, none longer than `columns` characters.

    What is wider is cut into strips, about equally wide, each under a heading. Cuts are made at
    multiples of `pitch` characters from the left end and belong to both strips, so that a hexagon
    is whole in one of them. columns: None, or fewer than a hexagon needs, for as many as it takes.
    """
    bounds = sheet.bounds
    if bounds is None:
        return ""
    strips = [
        strip
        for left, right in _cuts(bounds, columns, pitch)
        if (strip := sheet.bounds_within(left, right)) is not None
    ]
    if len(strips) == 1:
        return "\n".join(sheet.lines(strips[0], paint))
    return "\n\n".join(
        "\n".join([_heading(number, len(strips), paint), *sheet.lines(strip, paint)])
        for number, strip in enumerate(strips, 1)
    )


def _cuts(bounds: Window, columns: int | None, pitch: int) -> Iterator[tuple[int, int]]:
    pieces = math.ceil((bounds.columns - 1) / pitch)
    fitting = (bounds.columns if columns is None else columns) - 1
    strips = math.ceil(pieces / max(1, fitting // pitch)) or 1
    per_strip = math.ceil(pieces / strips) * pitch
    for left in range(bounds.left, max(bounds.right, bounds.left + 1), per_strip or 1):
        yield left, min(left + per_strip, bounds.right)


def _heading(number: int, strips: int, paint: Paint) -> str:
    return paint(f"(part {number} of {strips}, from the left)", Style.DIM)
