"""What stands in a terminal window, as SVG: its characters on their grid, their colours, bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spalloc_gevent.display.palette import MONOSPACE
from spalloc_gevent.display.svg import NAMESPACE, element, escaped, number
from tools.emulator import Run

_PX = 14.0
_COLUMN = 8.4
_LINE = 20.0
_MARGIN = 16.0
_BAR = 34.0
"""The height of the window's bar, in which its command stands."""
_FOOT = 4.9
"""From the middle of a line to the foot of its text."""

Colours = Mapping[str, str]
"""By the names that the emulator has for them: yellow is brown."""

LIGHT: Colours = {
    "paper": "#ffffff",
    "bar": "#f0f2f4",
    "edge": "#d1d9e0",
    "default": "#1f2328",
    "red": "#cf222e",
    "green": "#116329",
    "brown": "#7d4e00",
    "blue": "#0550ae",
    "magenta": "#8250df",
    "cyan": "#0f6b73",
}
DARK: Colours = {
    "paper": "#0d1117",
    "bar": "#21262d",
    "edge": "#3d444d",
    "default": "#e6edf3",
    "red": "#ff7b72",
    "green": "#3fb950",
    "brown": "#d29922",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#39c5cf",
}


def drawn(rows: Sequence[Sequence[Run]], columns: int, command: str, described: str) -> str:
    """An SVG document with a window of so many columns, in which `command` was given."""
    width = 2 * _MARGIN + columns * _COLUMN
    height = _BAR + 2 * _MARGIN + len(rows) * _LINE
    inside = [
        element("title", escaped(command), id="screenshot-title"),
        element("desc", escaped(described), id="screenshot-desc"),
        element("style", _style_sheet()),
        element("rect", class_="paper", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=8.0),
        *_bar(width, command),
        *(_text(run, y) for y, row in enumerate(rows) for run in row),
    ]
    whole = element(
        "svg",
        "\n".join(["", *inside, ""]),
        xmlns=NAMESPACE,
        class_="spalloc-screenshot",
        width=width,
        height=height,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby="screenshot-title",
        aria_describedby="screenshot-desc",
    )
    return f"{whole}\n"


def _bar(width: float, command: str) -> list[str]:
    edge = f"M1 {_BAR}V8a7 7 0 0 1 7-7H{number(width - 8)}a7 7 0 0 1 7 7V{_BAR}z"
    text = element(
        "text", escaped(command), class_="default bold", x=width / 2, y=_BAR / 2 + _FOOT,
        text_anchor="middle",
    )  # fmt: skip
    return [element("path", class_="bar", d=edge), text]


def _text(run: Run, y: int) -> str:
    # Its length holds the text to the grid, whatever font the reader has.
    kind = f"{run.look.colour}{' bold' if run.look.is_bold else ''}"
    kind += " underlined" if run.look.is_underlined else ""
    return element(
        "text",
        escaped(run.text),
        class_=kind,
        x=_MARGIN + run.column * _COLUMN,
        y=_BAR + _MARGIN + (y + 0.5) * _LINE + _FOOT,
        textLength=run.columns * _COLUMN,
        lengthAdjust="spacingAndGlyphs",
    )


def _style_sheet() -> str:
    dark = f"@media (prefers-color-scheme: dark) {{\n{_rules(DARK)}\n}}"
    shapes = (
        f"{_SCOPE} text {{ font-family: {MONOSPACE}; font-size: {number(_PX)}px; "
        "white-space: pre; }\n"
        f"{_SCOPE} .bold {{ font-weight: bold; }}\n"
        f"{_SCOPE} .underlined {{ text-decoration: underline; }}"
    )
    return "\n".join([shapes, _rules(LIGHT), dark])


_SCOPE = ".spalloc-screenshot"


def _rules(colours: Colours) -> str:
    texts = {name: colour for name, colour in colours.items() if name not in ("bar", "edge")}
    fills = [f"{_SCOPE} .{name} {{ fill: {colour}; }}" for name, colour in texts.items()]
    return "\n".join(
        [
            *fills,
            f"{_SCOPE} .paper {{ stroke: {colours['edge']}; }}",
            f"{_SCOPE} .bar {{ fill: {colours['bar']}; }}",
        ]
    )
