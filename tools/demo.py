"""``python3 tools/demo.py``: the main job shown on a simulated server, from a bare Python.

Makes the environment first (kept for the next time), then runs tools/_demo_main.py in it. The
exit code is 0 only when everything went well. Standard library only.
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

_SHOW = Path(__file__).resolve().parent / "_demo_main.py"


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    parser = argparse.ArgumentParser(description="Show the main job on a simulated server.")
    parser.add_argument("--jobs", type=int, default=200, help="how many to hold (default: 200)")
    parser.add_argument("--here", action="store_true", help="in this Python, not in an environment")
    given = parser.parse_args(argv)
    try:
        python = sys.executable if given.here else environments.python_of("project")
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    return subprocess.run([str(python), str(_SHOW), f"--jobs={given.jobs}"]).returncode


if __name__ == "__main__":
    sys.exit(main())
