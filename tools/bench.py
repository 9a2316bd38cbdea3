"""``python3 tools/bench.py``: every benchmark, next to its floor, from a bare Python.

Makes the environments first (kept for the next time). Arguments go to the benchmarks:
``python3 tools/bench.py --quick``. The exit code is 0 only when all went well. Standard library
only.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import environments

BENCHMARKS = environments.ROOT / "benchmarks"


def run(python: Path, arguments: Sequence[str], folder: Path = BENCHMARKS) -> list[str]:
    """Run every ``bench_*.py`` of the folder; the names of those that failed."""
    failed = []
    for benchmark in sorted(folder.glob("bench_*.py")):
        print(f"== {benchmark.stem}", flush=True)
        command = [str(python), str(benchmark), *arguments]
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
            failed.append(benchmark.stem)
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        project = environments.python_of("project")
        # Made now, so that no measurement waits for an installation.
        for name in ("real-server", "existing-client", "runtime"):
            environments.python_of(name)
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    failed = run(project, arguments)
    if failed:
        print(f"FAILED: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
