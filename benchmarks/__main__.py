"""Measures the parts, each a module ``bench_*``, and tells all figures: ``tools/bench.py`` runs it.

The exit code is 0 only when all went well and every goal was reached.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import report
from benchmarks.figures import Figure, Verdict
from benchmarks.orders import WorkerError
from benchmarks.units import told
from tools.environments import EnvironmentBuildError
from tools.real_server import RealServerError

EXIT_MISSED = 1
EXIT_FAILED = 2
FAILURES = (
    BrokenProcessPool,
    EnvironmentBuildError,
    OSError,
    RealServerError,
    WorkerError,
    subprocess.SubprocessError,
)


def names() -> list[str]:
    """The parts that there are."""
    here = Path(__file__).parent
    return sorted(path.stem.removeprefix("bench_") for path in here.glob("bench_*.py"))


def measured_apart(name: str, quick: bool) -> list[Figure]:
    """The figures of a part, measured in a new process, which has no memory or thread of others."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measured, name, quick).result()


def measured(name: str, quick: bool) -> list[Figure]:
    """The figures of a part, each told on standard error as soon as it is there."""
    part = import_module(f"benchmarks.bench_{name}")
    return list(progress(part.measure(part.QUICK if quick else part.FULL), quick))


def progress(figures: Iterable[Figure], quick: bool) -> Iterator[Figure]:
    for found in figures:
        figure = found.of_a_quick_run() if quick else found
        value = told(figure.ours.median, figure.unit)
        print(f"{figure.name}: {value} {figure.verdict.value}", file=sys.stderr, flush=True)
        yield figure


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py", description="Measure, next to raw sockets and the existing client."
    )
    parser.add_argument("--quick", action="store_true", help="small scale, judges outcomes alone")
    parser.add_argument("--only", action="append", choices=names(), metavar="NAME",
                        help=f"a part: {', '.join(names())}; may be repeated")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them, too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    given = parser().parse_args(argv)
    figures: list[Figure] = []
    failed: list[str] = []
    for name in given.only or names():
        print(f"== {name}", flush=True)
        try:
            figures += measured_apart(name, given.quick)
        except FAILURES as error:
            print(f"failed: {error}", file=sys.stderr)
            failed.append(name)
    report.tell(figures, given.quick, given.json, given.svg)
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
        return EXIT_FAILED
    return EXIT_MISSED if any(figure.verdict is Verdict.MISSED for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
