"""The pages of the reference as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

from spalloc_gevent import __file__ as _package

REFERENCE = Path(_package).parent.parent / "docs" / "reference"


def read(page: str) -> str:
    return (REFERENCE / page).read_text("utf-8")


def entries_of(page: str) -> list[str]:
    """The terms of the lists of definitions: a line that is a literal and nothing else."""
    return re.findall(r"^``(.+)``$\n(?=    \S)", read(page), re.MULTILINE)
