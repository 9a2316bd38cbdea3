"""All figures of a run: as a table, as JSON and as a picture."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import tabulate

from benchmarks import picture
from benchmarks.figures import Figure, Spread
from benchmarks.units import told
from spalloc_gevent import __version__

FORMAT = 1
_HEADINGS = ("figure", "ours", "floor", "ratio", "existing client", "its ratio", "to reach", "")


def tell(figures: Sequence[Figure], quick: bool, left: Path | None, drawn: Path | None) -> None:
    """Print the table; write the figures into the file `left`, and their picture into `drawn`."""
    on = machine()
    print(f"{on['cores']} cores, Python {on['python']}, {on['system']}; medians", end="")
    print(" (the middle half of the repeats)")
    print(table(figures))
    for figure in figures:
        if figure.note:
            print(f"{figure.name.strip()}: {figure.note}")
    if left is not None:
        left.write_text(json.dumps(document(figures, quick), indent=2) + "\n", "utf-8")
    if drawn is not None:
        drawn.write_text(picture.drawn(figures), "utf-8")


def table(figures: Sequence[Figure]) -> str:
    """Medians; in brackets, between what the middle half of the repeats lie."""
    return tabulate.tabulate(map(_cells, figures), _HEADINGS, disable_numparse=True)


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        re.sub("^ +", "- ", figure.name),
        _cell(figure.ours, figure.unit, with_spread=True),
        _cell(figure.floor, figure.unit),
        _cell(figure.ratio, "x", with_spread=True),
        _cell(figure.existing, figure.unit),
        _cell(figure.existing_ratio, "x"),
        "" if figure.goal is None else figure.goal.told(figure.unit),
        figure.verdict.value,
    )


def _cell(spread: Spread | None, unit: str, *, with_spread: bool = False) -> str:
    if spread is None:
        return ""
    median = told(spread.median, unit)
    if not with_spread or spread.low == spread.high:
        return median
    return f"{median} ({told(spread.low, unit)} - {told(spread.high, unit)})"


def machine() -> dict[str, Any]:
    """What the figures were measured on, and with."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "gevent": metadata.version("gevent"),
        "spalloc_gevent": __version__,
    }


def document(figures: Sequence[Figure], quick: bool) -> dict[str, Any]:
    """The whole run as one JSON document."""
    found = [figure.as_json() for figure in figures]
    return {"format": FORMAT, "quick": quick, "machine": machine(), "figures": found}
