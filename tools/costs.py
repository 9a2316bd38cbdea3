"""What a process costs: memory, threads, processes and connections, as Linux's /proc tells it."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.environments import ROOT

PROC = Path("/proc")

LASTING_S = 5.0
_ESTABLISHED = "01"
_GUARDIAN_PROGRAM = ROOT / "spalloc_gevent" / "guardian" / "__main__.py"
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """pss_kib: memory, shared pages counted in part; processes: this one and its descendants."""

    pss_kib: int
    threads: int
    processes: int
    connections: int


def own_cost(port: int) -> Cost:
    """What this process costs now; `connections` are its own to TCP `port` of any host."""
    gc.collect()
    return Cost(
        pss_kib=own_pss_kib(),
        threads=len(os.listdir(PROC / "self" / "task")),
        processes=1 + len(_lasting_descendants(os.getpid())),
        connections=own_connections(port),
    )


def _lasting_descendants(pid: int) -> set[int]:
    """Descendants that are there for long: what only starts the guardian ends soon."""
    until = time.monotonic() + LASTING_S
    while (found := descendants(pid)) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def own_pss_kib() -> int:
    return pss_kib(os.getpid())


def own_heap_kib() -> int:
    """What this process itself has filled, whoever else uses the interpreter's files just now."""
    return pss_kib(os.getpid(), "Anonymous")


def pss_kib(pid: int, kind: str = "Pss") -> int:
    """The memory of a process, shared pages counted in part; "Pss_Anon": of no file's pages.

    "Anonymous": those too, but shared ones in full.
    """
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    raise OSError(f"smaps_rollup of this system tells no {kind}")


def family(pid: int) -> set[int]:
    """A process, its descendants, and the guardian of each, which is nobody's descendant."""
    members = {pid} | descendants(pid)
    return members | {guardian for guardian, of in _guardians() if of in members}


def _guardians() -> Iterator[tuple[int, int]]:
    """Every guardian process there is, and the program that it serves."""
    for process in _processes():
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")[:-1]
            if words[-2:-1] == [os.fsencode(_GUARDIAN_PROGRAM)]:
                yield int(process.name), int(words[-1])


def _processes() -> list[Path]:
    return [path for path in PROC.iterdir() if path.name.isdigit()]


def descendants(pid: int) -> set[int]:
    """The children of process `pid`, their children, and so on."""
    parents = {int(path.name): _parent(path) for path in _processes()}
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest}
        found |= newest
    return found


def _parent(process: Path) -> int | None:
    fields = _stat(process)
    return int(fields[1]) if fields else None


def cpu_s(pid: int) -> float:
    """The CPU time that process `pid` has used so far; 0.0 when there is no such process."""
    fields = _stat(PROC / str(pid))
    return sum(map(int, fields[11:13])) / _TICKS_A_SECOND if fields else 0.0


def fine_cpu_s(pid: int) -> float:
    """As :func:`cpu_s`, in nanoseconds instead of ticks, of the threads that it has now."""
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
        spent_ns = [int((thread / "schedstat").read_text().split()[0]) for thread in threads]
    except (FileNotFoundError, ProcessLookupError):  # No such process, or no such count.
        return cpu_s(pid)
    return sum(spent_ns) / 1e9


def _stat(process: Path) -> list[str]:
    """What follows the command's name, which may hold anything; empty when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return []


def own_connections(port: int) -> int:
    """How many established TCP connections of this process lead to `port`."""
    return connections([os.getpid()], port)


def connections(pids: Iterable[int], port: int) -> int:
    """How many established TCP connections of these processes lead to `port`."""
    theirs = {inode for pid in pids for inode in _sockets(pid)}
    return sum(inode in theirs for inode in _established_to(port))


def _sockets(pid: int) -> Iterator[str]:
    for descriptor in (PROC / str(pid) / "fd").iterdir():
        # Our own that lists the folder is closed by the time it is looked at.
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]


def _established_to(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        path = PROC / "self" / "net" / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            remote, state, inode = fields[2], fields[3], fields[9]
            if state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port:
                yield inode
