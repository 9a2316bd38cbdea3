"""How much there is to read: lines of the client's core, and how far an operation travels in it.

``benchmarks/journeys.py --list`` names the functions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Spread, at_most, one
from benchmarks.orders import ROOT

PACKAGE = ROOT / "spalloc_gevent"
CORE = (
    "transport",
    "engine",
    "job",
    "wire",
    "client.py",
    "protocol_client.py",
    "plain_client.py",
    "server_commands.py",
)
"""Folders and modules, of which there need not be all."""
MOST_LINES = 4300
MOST_CALLS_AND_FILES = {
    "job.state": (40, 10),
    "a keepalive": (40, 10),
    "Job(3)": (140, 17),
    "spalloc-ps": (120, 15),
}


@dataclass(frozen=True)
class Scale:
    repeats: int = 3


FULL = Scale()
QUICK = Scale(repeats=1)


def lines_of(package: Path, parts: Iterable[str]) -> int:
    """All lines, empty ones and comments included, of those parts that there are."""
    paths = [package / part for part in parts]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return sum(len(file.read_text("utf-8").splitlines()) for file in files if file.exists())


def measure(scale: Scale) -> Iterator[Figure]:
    yield Figure("lines of the core", "", one(lines_of(PACKAGE, CORE)), goal=at_most(MOST_LINES),
                 note=f"those of {', '.join(CORE)} that there are")  # fmt: skip
    # What the background does before the caller has its answer is chance: hence the repeats.
    found = [_journeys() for _ in range(scale.repeats)]
    for name, (most_calls, most_files) in MOST_CALLS_AND_FILES.items():
        calls, files = (Spread.of(counts[name][which] for counts in found) for which in (0, 1))
        yield Figure(f"{name}: functions called", "", calls, goal=at_most(most_calls))
        yield Figure(f"{name}: files they are in", "", files, goal=at_most(most_files))


def _journeys() -> dict[str, list[int]]:
    # A program of its own: threads are recorded only where the package is not yet imported.
    command = [sys.executable, str(ROOT / "benchmarks" / "journeys.py"), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    counts: dict[str, list[int]] = json.loads(done.stdout)
    return counts
