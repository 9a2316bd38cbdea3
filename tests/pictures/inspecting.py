"""Pictures looked at in a real browser: what is drawn, where, and how well it can be seen."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.browser import dom_of

_SCRIPT = Path(__file__).with_name("inspection.js")
_RESULT = re.compile(r'<pre id="result">(.*?)</pre>', re.DOTALL)


@dataclass(frozen=True)
class Inspected:
    """What one picture turned out to be.

    problems: what overlaps, leaves its place, is not rendered or can hardly be seen. keys: the
    letters on boards. entries: the texts of the legend. broken: edges marked as dead links.
    labels: what is read out to those who do not see it, a title and a description.
    """

    problems: Sequence[str]
    paper: str
    boards: int
    keys: Sequence[str]
    dead: int
    broken: int
    entries: Sequence[str]
    tooltips: Sequence[str]
    role: str
    labels: Sequence[str]


def inspected(
    pictures: Mapping[str, Path], folder: Path, *, dark: bool = False
) -> dict[str, Inspected]:
    """Every picture by its name, looked at on a page of its own in `folder`."""
    frames = "".join(
        f'<iframe title="{name}" src="{path.resolve().as_uri()}" width="800" height="600"></iframe>'
        for name, path in pictures.items()
    )
    page = folder / "page.html"
    page.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<body>{frames}<script>{_SCRIPT.read_text('utf-8')}</script></body>",
        "utf-8",
    )
    dom = dom_of(page, dark=dark)
    result = _RESULT.search(dom)
    assert result is not None, f"the page was not inspected:\n{dom[-2000:]}"
    found: dict[str, Any] = json.loads(html.unescape(result[1]))
    return {name: Inspected(**facts) for name, facts in found.items()}
