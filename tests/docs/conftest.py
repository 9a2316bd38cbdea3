"""The pages as Sphinx makes them, once for all tests that look at them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.environments import ROOT


class Built(NamedTuple):
    """How a build has ended."""

    code: int
    complaints: str
    folder: Path


def build(builder: str, folder: Path) -> Built:
    """Make the documentation in a folder of its own, as ``tools/docs.py`` does."""
    program = (
        "import sys; from pathlib import Path; from tools.docs import build;"
        "sys.exit(build(Path(sys.executable), sys.argv[1], Path(sys.argv[2])))"
    )
    target = folder / builder
    done = subprocess.run(
        [sys.executable, "-c", program, builder, str(target)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return Built(done.returncode, done.stderr, target)


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build("html", tmp_path_factory.mktemp("docs"))
