"""``python3 tools/bench.py``: every figure, next to its floor and the existing client's.

Makes the environments first (kept for the next time). ``--quick`` sees that everything works, on
a small scale, and judges no speed; ``--only calls --only scale`` measures a part. The figures come
as a table at the end, with ``--json FILE`` as JSON and with ``--svg FILE`` as a picture. The exit
code is 0 only when all went well and every goal was reached. Standard library only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import environments

BENCHMARKS = environments.ROOT / "benchmarks"
EXIT_FAILED = 2

_PREFIX = "bench_"


def names(folder: Path = BENCHMARKS) -> list[str]:
    """The benchmarks that there are."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*.py"))


def run(
    python: Path, chosen: Sequence[str], results: Path, quick: bool, folder: Path = BENCHMARKS
) -> list[str]:
    """Run the benchmarks, which leave their figures in `results`; the names of those that failed.

    One that misses a goal has not failed.
    """
    return [name for name in chosen if not _has_run(python, name, results, quick, folder)]


def _has_run(python: Path, name: str, results: Path, quick: bool, folder: Path) -> bool:
    print(f"== {name}", flush=True)
    left = results / f"{name}.json"
    command = [str(python), str(folder / f"{_PREFIX}{name}.py"), f"--json={left}"]
    command += ["--quick"] * quick
    # The table is told at the end, of all figures; the progress on standard error is for now.
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return left.exists()


def report(python: Path, results: Sequence[Path], arguments: Sequence[str]) -> int:
    """Tell the figures; the exit code says whether a goal was missed."""
    program = BENCHMARKS / "report.py"
    return subprocess.run([str(python), str(program), *map(str, results), *arguments]).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure, next to raw sockets and the existing client."
    )
    parser.add_argument("--quick", action="store_true", help="small scale, judges outcomes alone")
    parser.add_argument("--only", action="append", choices=names(), metavar="NAME",
                        help=f"a part: {', '.join(names())}; may be repeated")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them, too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    given = _parser().parse_args(argv)
    try:
        project = environments.python_of("project")
        # Made now, so that no measurement waits for an installation.
        for name in ("real-server", "existing-client", "runtime"):
            environments.python_of(name)
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    chosen = given.only or names()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        results = Path(folder)
        failed = run(project, chosen, results, given.quick)
        told = [results / f"{name}.json" for name in chosen if name not in failed]
        code = report(project, told, _report_arguments(given))
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
        return EXIT_FAILED
    return code


def _report_arguments(given: argparse.Namespace) -> list[str]:
    arguments = ["--quick"] * given.quick
    for option in ("json", "svg"):
        path = getattr(given, option)
        arguments += [] if path is None else [f"--{option}={path}"]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
