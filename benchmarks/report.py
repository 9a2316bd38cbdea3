"""All figures of a run: as a table, as JSON and as a picture.

``python benchmarks/report.py FIGURES.json... [--json FILE] [--svg FILE]`` puts together what the
benchmarks have left. The exit code is 1 when a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import tabulate

from benchmarks import picture
from benchmarks.figures import Figure, Goal, Spread, Verdict
from benchmarks.units import told
from spalloc_gevent import __version__

FORMAT = 1
_HEADINGS = ("figure", "ours", "floor", "ratio", "existing client", "its ratio", "to reach", "")


def table(figures: Sequence[Figure]) -> str:
    """Medians; in brackets, between what the middle half of the repeats lie."""
    return tabulate.tabulate(
        [_cells(figure) for figure in figures], _HEADINGS, disable_numparse=True
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        re.sub("^ +", "- ", figure.name),
        _with_spread(figure.ours, figure.unit),
        _alone(figure.floor, figure.unit),
        _with_spread(figure.ratio, "x"),
        _alone(figure.existing, figure.unit),
        _alone(figure.existing_ratio, "x"),
        goal_told(figure.goal, figure.unit),
        figure.verdict.value,
    )


def _alone(spread: Spread | None, unit: str) -> str:
    return "" if spread is None else told(spread.median, unit)


def _with_spread(spread: Spread | None, unit: str) -> str:
    median = _alone(spread, unit)
    if spread is None or spread.low == spread.high:
        return median
    return f"{median} ({told(spread.low, unit)} - {told(spread.high, unit)})"


def goal_told(goal: Goal | None, unit: str) -> str:
    if goal is None:
        return ""
    value = told(goal.limit, "x" if goal.of_ratio else unit)
    return value if goal.sign == "==" else f"{goal.sign} {value}"


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
    return {
        "format": FORMAT,
        "quick": quick,
        "machine": machine(),
        "figures": [figure.as_json() for figure in figures],
    }


def notes(figures: Iterable[Figure]) -> str:
    return "\n".join(f"{figure.name.strip()}: {figure.note}" for figure in figures if figure.note)


def _read(path: Path) -> list[Figure]:
    return [Figure.from_json(fields) for fields in json.loads(path.read_text("utf-8"))]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tell the figures of a run.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FIGURES")
    parser.add_argument("--quick", action="store_true", help="they are of a quick run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write them as one document")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them")
    given = parser.parse_args(argv)
    figures = [figure for path in given.files for figure in _read(path)]
    on = machine()
    print(f"{on['cores']} cores, Python {on['python']}, {on['system']}; medians", end="")
    print(" (the middle half of the repeats)")
    print(table(figures))
    print(notes(figures))
    if given.json is not None:
        text = json.dumps(document(figures, given.quick), indent=2)
        given.json.write_text(text + "\n", "utf-8")
    if given.svg is not None:
        given.svg.write_text(picture.drawn(figures), "utf-8")
    return 1 if any(figure.verdict is Verdict.MISSED for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
