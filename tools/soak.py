"""``python3 tools/soak.py --minutes 30``: hundreds of jobs on a real server behind a bad network.

From a bare Python: makes the environments first (kept for the next time), then runs
tools/_soak_main.py, which prints a table at the end. The exit code is 0 only if no answer was
wrong and no job was lost. Standard library only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import environments

_MAIN = Path(__file__).resolve().parent / "_soak_main.py"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Hold jobs on a real server while all goes wrong.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long faults are injected (default: 30)")
    length.add_argument("--seconds", type=float, help="the same, for a short run")
    parser.add_argument("--jobs", type=int, default=300, help="how many to hold (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' order (default: 0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    given = parser().parse_args(argv)
    seconds = given.seconds or 60.0 * (given.minutes or 30.0)
    try:
        python = environments.python_of("project")
        environments.python_of("real-server")
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    command = [str(python), str(_MAIN), f"--seconds={seconds}", f"--jobs={given.jobs}"]
    return subprocess.run([*command, f"--seed={given.seed}"], stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
