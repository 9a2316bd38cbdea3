"""What tests of commands on terminals wait for."""

from __future__ import annotations

import time
from collections.abc import Callable

from tools.terminal import PATIENCE_S


def eventually(condition: Callable[[], object], what: str) -> None:
    """Return once `condition` holds; AssertionError if it never does."""
    gives_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < gives_up_at, f"never: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
