"""What every benchmark's program does: measure, tell, and end with a code that says how it went."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.figures import Figure, Verdict
from benchmarks.orders import WorkerError
from benchmarks.report import table
from benchmarks.units import told
from tools.environments import EnvironmentBuildError
from tools.real_server import RealServerError

EXIT_MISSED = 1
EXIT_FAILED = 2

ScaleT = TypeVar("ScaleT")
_FAILURES = (
    EnvironmentBuildError,
    OSError,
    RealServerError,
    WorkerError,
    subprocess.SubprocessError,
)


def run(
    about: str,
    measure: Callable[[ScaleT], Iterable[Figure]],
    full: ScaleT,
    quick: ScaleT,
    argv: Sequence[str] | None,
) -> int:
    """Measure on one scale or the other; the exit code of the program."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="small scale, judges outcomes alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to put the figures too")
    given = parser.parse_args(argv)
    try:
        figures = list(_measured(measure(quick if given.quick else full), given.quick))
    except _FAILURES as error:
        print(f"failed: {error}", file=sys.stderr)
        return EXIT_FAILED
    if given.json is not None:
        given.json.write_text(json.dumps([figure.as_json() for figure in figures]), "utf-8")
    print(table(figures))
    return exit_code(figures)


def _measured(figures: Iterable[Figure], quick: bool) -> Iterator[Figure]:
    for found in figures:
        figure = found.of_a_quick_run() if quick else found
        value = told(figure.ours.median, figure.unit)
        print(f"{figure.name}: {value} {figure.verdict.value}", file=sys.stderr, flush=True)
        yield figure


def exit_code(figures: Iterable[Figure]) -> int:
    return EXIT_MISSED if any(figure.verdict is Verdict.MISSED for figure in figures) else 0
