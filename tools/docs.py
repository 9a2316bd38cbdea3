"""``python3 tools/docs.py``: the documentation, made by Sphinx into ``build/docs``.

A warning is an error, a link inside that leads nowhere too. Standard library only; Sphinx is in
the environment called project, which is made first if need be.
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

SOURCE = environments.ROOT / "docs"
BUILDERS = ("html", "man")


def build(python: Path, builder: str, target: Path) -> int:
    """Run Sphinx with `python`; its exit code. The pages are in `target` afterwards."""
    # Each has its own: what is read for one builder has other quotation marks than for the next.
    doctrees = target.parent / f"doctrees-{builder}"
    options = ("-W", "--keep-going", "-q", "-b", builder, "-d", str(doctrees))
    command = [str(python), "-m", "sphinx", *options, str(SOURCE), str(target)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, cwd=environments.ROOT).returncode


def main(argv: Sequence[str] | None = None) -> int:
    environments.check_python()
    parser = argparse.ArgumentParser(description="Make the documentation with Sphinx.")
    parser.add_argument("builder", nargs="?", choices=BUILDERS, default="html")
    arguments = parser.parse_args(argv)
    target = environments.ROOT / "build" / "docs" / arguments.builder
    try:
        python = environments.python_of("project")
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return 1
    code = build(python, arguments.builder, target)
    if code == 0:
        print(target)
    return code


if __name__ == "__main__":
    sys.exit(main())
