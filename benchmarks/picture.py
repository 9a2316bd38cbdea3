"""The figures that have a goal, drawn: how far from it we are, and how far the existing client is.

Every row has the same scale, in powers of ten: on the line is the goal, to its right is better.
Standard library only. The colours are ones that can be read on light and on dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from benchmarks.figures import Figure, Goal, Spread, Verdict
from benchmarks.units import told

TEXT = "#7b818a"
RULE = "#8b949e"
OURS = "#1f8f4e"
MISSED = "#d9534f"
EXISTING = "#b87d10"
COLOURS = (TEXT, RULE, OURS, MISSED, EXISTING)

WIDTH = 1020
ROW = 26
TOP = 62
BOTTOM = 34
_PLOT_LEFT, _PLOT_RIGHT = 430, 820
_LONGEST_NAME = 60


def drawn(figures: Sequence[Figure]) -> str:
    """An SVG document."""
    rows = [figure for figure in figures if _can_be_drawn(figure)]
    axis = _Axis(rows)
    height = TOP + ROW * len(rows) + BOTTOM
    body = [*_legend(), *_grid(axis, height)]
    for number, figure in enumerate(rows):
        body += _row(figure, axis, TOP + ROW * number + ROW / 2)
    return "\n".join([_head(height), *body, "</svg>", ""])


def _can_be_drawn(figure: Figure) -> bool:
    """A scale of powers of ten has no place for a goal of none at all."""
    return figure.goal is not None and figure.goal.limit > 0 and figure.judged_value > 0


def goodness(value: float, goal: Goal) -> float:
    """How many times as good as asked for: 1 is just reached."""
    return value / goal.limit if goal.sign == ">=" else goal.limit / value


def _ours(figure: Figure) -> Spread:
    of_ratio = figure.goal is not None and figure.goal.of_ratio
    return figure.ratio if of_ratio and figure.ratio is not None else figure.ours


def _existing(figure: Figure) -> Spread | None:
    of_ratio = figure.goal is not None and figure.goal.of_ratio
    return figure.existing_ratio if of_ratio else figure.existing


class _Axis:
    """Where on the line a figure is."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        decades = [
            math.log10(goodness(spread.median, figure.goal))
            for figure in figures
            for spread in filter(None, (_ours(figure), _existing(figure)))
            if figure.goal is not None and spread.median > 0
        ]
        self.least = min(-1, math.floor(min(decades, default=0.0)))
        self.most = max(1, math.ceil(max(decades, default=0.0)))

    def x(self, good: float) -> float:
        place = (math.log10(good) - self.least) / (self.most - self.least)
        return _PLOT_LEFT + min(1.0, max(0.0, place)) * (_PLOT_RIGHT - _PLOT_LEFT)


def _head(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" '
        f'role="img" aria-label="How far each figure is from its goal">'
    )


def _legend() -> Iterator[str]:
    for x, colour, what in (
        (16, OURS, "spalloc_gevent"),
        (150, MISSED, "spalloc_gevent, goal missed"),
        (372, EXISTING, "the existing client"),
    ):
        yield _dot(x, 18, colour, what)
        yield _text(x + 10, 22, what)


def _grid(axis: _Axis, height: int) -> Iterator[str]:
    for decade in range(axis.least, axis.most + 1):
        x = axis.x(10.0**decade)
        is_goal = decade == 0
        dashes = "" if is_goal else ' stroke-dasharray="2 4"'
        yield (
            f'<line x1="{x:.1f}" y1="{TOP - 10}" x2="{x:.1f}" y2="{height - BOTTOM + 4}" '
            f'stroke="{RULE}" stroke-width="{1.5 if is_goal else 0.7}"{dashes}/>'
        )
        name = "goal" if is_goal else f"{10 ** abs(decade):,}x"
        yield _text(x, TOP - 16, name, anchor="middle")
    yield _text(_PLOT_RIGHT, height - 10, "better →", anchor="end")
    yield _text(_PLOT_LEFT, height - 10, "← worse")


def _row(figure: Figure, axis: _Axis, y: float) -> Iterator[str]:
    assert figure.goal is not None
    ours, existing = _ours(figure), _existing(figure)
    colour = MISSED if figure.verdict is Verdict.MISSED else OURS
    unit = "x" if figure.goal.of_ratio else figure.unit
    name = figure.name
    name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    yield _text(_PLOT_LEFT - 16, y + 4, name, anchor="end", title=figure.name)
    if existing is not None and existing.median > 0:
        told_by = f"the existing client: {told(existing.median, unit)}"
        yield _dot(axis.x(goodness(existing.median, figure.goal)), y, EXISTING, told_by)
    yield _whisker(axis, ours, figure.goal, y, colour)
    place = axis.x(goodness(ours.median, figure.goal))
    yield _dot(place, y, colour, f"ours: {told(ours.median, unit)}")
    words = f"{told(ours.median, unit)}  ({figure.goal.sign} {told(figure.goal.limit, unit)})"
    yield _text(_PLOT_RIGHT + 16, y + 4, words)


def _whisker(axis: _Axis, spread: Spread, goal: Goal, y: float, colour: str) -> str:
    if spread.low <= 0:
        return ""
    ends = [axis.x(goodness(value, goal)) for value in (spread.low, spread.high)]
    return (
        f'<line x1="{ends[0]:.1f}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}" '
        f'stroke="{colour}" stroke-width="3"/>'
    )


def _dot(x: float, y: float, colour: str, title: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}"><title>{escape(title)}</title></circle>'  # noqa: E501


def _text(x: float, y: float, text: str, *, anchor: str = "start", title: str = "") -> str:
    told_more = f"<title>{escape(title)}</title>" if title and title != text else ""
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{TEXT}" text-anchor={quoteattr(anchor)}>'
        f"{told_more}{escape(text)}</text>"
    )
