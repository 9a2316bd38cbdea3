"""How a tool that starts with a bare Python goes on in an environment. Standard library only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import environments

FAILED = 1


def launch(program: str, environment: str, argv: Sequence[str], *servers: str) -> int:
    """Run a program beside this file in an environment, which is made first if need be.

    Args:
        program: The name of its file.
        environment: The name of a recipe of :mod:`tools.environments`.
        argv: Its arguments.
        servers: Environments that the program starts other programs in.

    Returns:
        The program's exit code; FAILED when an environment cannot be made.
    """
    environments.check_python()
    try:
        python = environments.python_of(environment)
        for name in servers:
            environments.python_of(name)
    except environments.EnvironmentBuildError as error:
        print(error, file=sys.stderr)
        return FAILED
    command = [str(python), str(Path(__file__).resolve().parent / program), *argv]
    return subprocess.run(command).returncode
