"""The pictures of the README are what the commands show now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.environments import ROOT

MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    tool = [sys.executable, str(ROOT / "tools" / "pictures.py"), "--folder", str(folder)]
    subprocess.run(tool, check=True)
    return folder


@pytest.mark.parametrize("name", ["machine.svg", "ps-watch.svg"])
def test_the_picture_of_the_readme_is_as_it_would_be_made_again(made: Path, name: str) -> None:
    there = (ROOT / "docs" / name).read_text("ascii")
    again = (made / name).read_text("ascii")
    assert timeless(there) == timeless(again), "run python3 tools/pictures.py"


@pytest.mark.parametrize("name", ["machine.svg", "ps-watch.svg"])
def test_the_picture_is_small_enough_for_a_page(name: str) -> None:
    assert (ROOT / "docs" / name).stat().st_size < MOST_BYTES


def timeless(picture: str) -> str:
    """The picture with every time of day the same."""
    return re.sub(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d", "01/01/2000 00:00:00", picture)
