"""The style sheet of a machine's picture, for a light and for a dark page."""

from __future__ import annotations

from spalloc_gevent.display.palette import DARK, JOB_COLOURS, LIGHT, Page
from spalloc_gevent.display.svg import MONOSPACE

_SHAPES = f"""\
text {{ font-family: {MONOSPACE}; white-space: pre; }}
.title {{ font-size: 20px; }}
.heading, .key {{ font-weight: bold; }}
.key, .at {{ text-anchor: middle; }}
.number {{ text-anchor: end; }}
.cell {{ stroke-width: 1; }}
.dead .cell {{ stroke-dasharray: 4 3; }}
.outline, .broken, .halo, .cross {{ fill: none; stroke-linecap: round; pointer-events: none; }}
.outline {{ stroke-width: 2.5; }}
.cross {{ stroke-width: 1.5; }}
.broken {{ stroke-width: 2.6; pointer-events: stroke; }}
.halo {{ stroke-width: 5.4; }}"""


def style_sheet() -> str:
    """Plain rules, no variables: what draws SVG without being a browser knows these."""
    jobs = "\n".join(
        f".job{index} .cell {{ fill: {colour.fill}; stroke: {colour.fill}; }}\n"
        f".job{index} text {{ fill: {colour.text}; }}"
        for index, colour in enumerate(JOB_COLOURS)
    )
    dark = f"@media (prefers-color-scheme: dark) {{\n{_page(DARK)}\n}}"
    return _scoped("\n".join([_SHAPES, _page(LIGHT), dark, jobs]))


def _page(page: Page) -> str:
    return f"""\
.paper {{ fill: {page.paper}; }}
.heading, .entry {{ fill: {page.ink}; }}
.line {{ fill: {page.muted}; }}
.free .cell {{ fill: {page.free}; stroke: {page.edge}; }}
.free .at {{ fill: {page.muted}; }}
.other .cell {{ fill: {page.other}; stroke: {page.edge}; }}
.other .at {{ fill: {page.ink}; }}
.dead .cell {{ fill: {page.dead}; stroke: {page.edge}; }}
.dead .at {{ fill: {page.muted}; }}
.cross {{ stroke: {page.muted}; }}
.outline {{ stroke: {page.ink}; }}
.broken {{ stroke: {page.broken}; }}
.halo {{ stroke: {page.paper}; }}"""


def _scoped(rules: str) -> str:
    """The rules for nothing outside the picture, should it become a part of another page."""
    return "\n".join(map(_scoped_rule, rules.split("\n")))


def _scoped_rule(rule: str) -> str:
    selectors, brace, rest = rule.partition("{")
    if not brace or selectors.startswith("@"):
        return rule
    return ", ".join(f".spalloc-map {one}" for one in selectors.split(", ")) + brace + rest
