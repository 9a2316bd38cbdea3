"""The guardians of a program, found in the table of processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from spalloc_gevent.transport.guardian import PROGRAM
from tests.cli.terminal import eventually, is_alive


def guardians_of(pid: int) -> list[int]:
    """The guardians of a program, whoever is their parent."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if words[-3:-1] == [os.fsencode(PROGRAM), str(pid).encode()]:
                    found.append(int(process.name))
    return found


def guardian_of(pid: int, others: Collection[int] = ()) -> int:
    """The program's guardian, once it runs, but for `others`."""

    # What only starts it is called the same, and may be there a moment longer.
    def leaders() -> list[int]:
        return [one for one in guardians_of(pid) if one not in others and is_leader(one)]

    eventually(leaders, "a guardian")
    (only,) = leaders()
    return only


def is_leader(pid: int) -> bool:
    """Whether it has a session of its own by now, which is the last of its preparations."""
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid and is_alive(pid)
    return False
