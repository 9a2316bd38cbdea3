"""``spalloc-batch``: what boards of its own cost a case, over starting its command alone.

1,000 cases whose command is ``true``, 100 at once, on a simulated server in a process of its own;
the floor are the same commands, started by as many threads, without boards, records or files. What
the executor alone takes is told beside it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.at_rest import live_jobs
from benchmarks.figures import Figure, Spread, at_most, one, outcome, over
from benchmarks.orders import ROOT
from benchmarks.raw_sockets import RawSockets
from benchmarks.simulated import simulated_server
from benchmarks.threads import Threads
from benchmarks.turns import in_turns
from spalloc_gevent.batch import SpallocExecutor

SPARE_BOARDS = 50
MOST_S = 0.005
COMMAND = "true"


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    cases: int = 1000
    at_once: int = 100
    repeats: int = 5


FULL = Scale()
QUICK = Scale(cases=40, at_once=10, repeats=1)


class Campaigns:
    """The same cases, run in one way or another; each way tells seconds a case."""

    def __init__(self, where: tuple[str, int], folder: Path, scale: Scale) -> None:
        self._scale = scale
        self._folder = folder
        self._server: dict[str, Any] = {"hostname": where[0], "port": where[1], "owner": "bench"}
        lines = [f"case-{number} {COMMAND}\n" for number in range(scale.cases)]
        (folder / "cases").write_text("".join(lines))
        self.not_passed = 0
        """How many cases have not passed, of all that were run by spalloc-batch."""

    def by_the_command(self, *options: str) -> float:
        """The whole process, with its start, its end and its joblog."""
        code = "import sys; from spalloc_gevent.scripts.batch import main; sys.exit(main())"
        command = [sys.executable, "-c", code, str(self._folder / "cases"), "--json", *options]
        command += [f"--{name}={value}" for name, value in self._server.items()]
        command += [f"--jobs={self._scale.at_once}", f"--joblog={self._folder / 'log'}"]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        took_s = time.perf_counter() - began
        if not done.stdout:
            raise subprocess.SubprocessError(f"spalloc-batch has failed: {done.stderr}")
        counts = json.loads(done.stdout)["counts"]
        self.not_passed += self._scale.cases - counts["passed"]
        return took_s / self._scale.cases

    def by_the_executor(self, **options: Any) -> float:
        """Tasks that do nothing."""
        began = time.perf_counter()
        with SpallocExecutor(max_jobs=self._scale.at_once, **options, **self._server) as executor:
            for _ in executor.map(_nothing, range(self._scale.cases)):
                pass
        return (time.perf_counter() - began) / self._scale.cases

    def without_boards(self) -> float:
        """The commands alone, started by threads that are there already."""
        with Threads(self._scale.at_once) as threads:
            took_s, _ = threads.each(self._run_some, self._scale.cases // self._scale.at_once)
        return took_s / self._scale.cases

    def _run_some(self, count: int) -> None:
        for _ in range(count):
            argv = ["/bin/sh", "-c", COMMAND]
            os.waitpid(os.posix_spawn(argv[0], argv, os.environ, setsid=True), 0)


def _nothing(_job: object, _number: int) -> None:
    """What a case does that takes no time."""


def measure(scale: Scale) -> Iterator[Figure]:
    with (
        simulated_server(scale.at_once + SPARE_BOARDS) as where,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        campaigns = Campaigns(where, Path(folder), scale)
        ways: dict[str, Callable[[], float]] = {
            "floor": campaigns.without_boards,
            "new": campaigns.by_the_command,
            "reused": partial(campaigns.by_the_command, "--reuse"),
            "task": campaigns.by_the_executor,
            "task, reused": partial(campaigns.by_the_executor, reuse=True),
        }
        took_s = in_turns(ways, scale.repeats)
        with RawSockets(*where, 1) as sockets:
            left = len(live_jobs(sockets))
    yield from _figures(took_s, scale)
    yield Figure("  cases that have not passed", "", one(campaigns.not_passed),
                 goal=outcome("==", 0))  # fmt: skip
    yield Figure("  jobs that are left at the end", "", one(left), goal=outcome("==", 0))


def _figures(took_s: dict[str, list[float]], scale: Scale) -> Iterator[Figure]:
    what = f"spalloc-batch, {scale.cases:,} cases, {scale.at_once} at once"
    note = "the floor's commands are started without boards; simulated server"
    for name, who in ((what, "new"), (f"{what}, boards reused", "reused")):
        more = over(f"{name}: overhead of a case", who, "floor", took_s, at_most(MOST_S))
        yield dataclasses.replace(more, floor=Spread.of(took_s["floor"]), note=note)
    yield Figure("  a task of SpallocExecutor that does nothing", "s", Spread.of(took_s["task"]))
    yield Figure("  the same, boards reused", "s", Spread.of(took_s["task, reused"]))
