"""``python3 tools/pictures.py``: the pictures of the README, made from what the commands show.

Makes the environment first (kept for the next time), then runs tools/_pictures_main.py in it.
Standard library only.
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

_MAKE = Path(__file__).resolve().parent / "_pictures_main.py"


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument(
        "--folder",
        type=Path,
        default=environments.ROOT / "docs",
        help="where they go (default: docs)",
    )
    given = parser.parse_args(argv)
    try:
        python = environments.python_of("project")
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    return subprocess.run([str(python), str(_MAKE), str(given.folder)]).returncode


if __name__ == "__main__":
    sys.exit(main())
