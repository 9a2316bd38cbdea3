"""How far an operation travels through the source: what is called for it, in which files.

``python benchmarks/journeys.py`` counts the package's Python functions that run, in all threads,
while one operation is done on a simulated server; ``--list`` names them in order, ``--json`` is for
:mod:`benchmarks.bench_size`.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.orders import ROOT
from benchmarks.simulated import simulated_server

PACKAGE = ROOT / "spalloc_gevent"
BOARDS = 48
KEEPALIVE_S = 4.0
ONE_KEEPALIVE_S = 2.3
"""Keepalives go out after 40 to 50 % of KEEPALIVE_S: one in this time, and no second."""

SETTLE_S = 0.5
"""What the operation before has left to the background is done by then."""

_PARTS_OF_A_FUNCTION = {"<genexpr>", "<listcomp>", "<dictcomp>", "<lambda>"}


@dataclass(frozen=True)
class Journey:
    """The calls of one operation in order, each as the file and the name of the function."""

    calls: Sequence[tuple[str, str]]

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.calls}


class Recorder:
    """Notes calls in every thread that it is set for, and in those started from then on."""

    def __init__(self, package: Path, leave_out: Sequence[str] = ()) -> None:
        self._root = f"{package}{os.sep}"
        self._left_out = tuple(f"{self._root}{name}" for name in leave_out)
        self._calls: list[tuple[str, str]] = []
        self._is_on = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if (
            self._is_on
            and event == "call"
            and code.co_filename.startswith(self._root)
            and not code.co_filename.startswith(self._left_out)
            and code.co_name not in _PARTS_OF_A_FUNCTION
        ):
            self._calls.append((code.co_filename[len(self._root) :], code.co_name))

    def journey(self, operate: Callable[[], object]) -> Journey:
        """What is called while `operate` runs, in its own thread and in all others."""
        self._calls = []
        self._is_on = True
        operate()
        self._is_on = False
        return Journey(self._calls)

    def start_thread(
        self, target: Callable[..., object], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> int:
        """``_thread.start_new_thread``, which everybody is to use who starts one."""

        def run() -> None:
            sys.setprofile(self)
            target(*args, **(kwargs or {}))

        return _START_THREAD(run, ())


_START_THREAD = _thread.start_new_thread


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Entered before the package is imported, which keeps what it starts threads with."""
    _thread.start_new_thread = recorder.start_thread
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        _thread.start_new_thread = _START_THREAD


def journeys() -> dict[str, Journey]:
    """Of each operation, in a program that has held a job before and so has all it needs."""
    recorder = Recorder(PACKAGE, leave_out=(f"simulator{os.sep}",))
    # Powered on only after Job() has returned: what is told of that is no part of making a job.
    with simulated_server(BOARDS, "--power-seconds=1") as (host, port), recording(recorder):
        return _journeys(recorder, host, port)


def _journeys(recorder: Recorder, host: str, port: int) -> dict[str, Journey]:
    from spalloc_gevent import Job, ProtocolClient
    from spalloc_gevent.scripts import ps

    options: dict[str, Any] = {
        "hostname": host,
        "port": port,
        "owner": "bench",
        "config_filenames": [],
    }
    found: dict[str, Journey] = {}
    jobs: list[Job] = []
    with Job(1, **options) as first:
        first.wait_until_ready()
        time.sleep(SETTLE_S)
        found["Job(3)"] = recorder.journey(
            lambda: jobs.append(Job(3, keepalive=KEEPALIVE_S, **options))
        )
        with jobs[0] as job:
            job.wait_until_ready()
            time.sleep(SETTLE_S)
            found["job.state"] = recorder.journey(lambda: job.state)
            # That was an answer about the job: the next keepalive counts from it.
            found["a keepalive"] = recorder.journey(lambda: time.sleep(ONE_KEEPALIVE_S))
    with (
        ProtocolClient(host, port) as client,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        client.version()  # A connection that a command may find there already.
        time.sleep(SETTLE_S)
        command = ["--hostname", host, "--port", str(port)]
        found["spalloc-ps"] = recorder.journey(lambda: ps.main(command))
    return found


def listed(journey: Journey) -> Iterator[str]:
    """The functions, file by file, as one calls the other."""
    for file, calls in groupby(journey.calls, key=lambda call: call[0]):
        yield f"    {file:36} {', '.join(function for _, function in calls)}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Count what an operation calls, and where.")
    parser.add_argument("--list", action="store_true", help="name the functions, too")
    parser.add_argument("--json", action="store_true", help="tell the numbers as JSON")
    given = parser.parse_args(argv)
    gc.disable()  # What it clears up at any moment is no part of an operation.
    found = journeys()
    if given.json:
        counts = {name: [len(each.calls), len(each.files)] for name, each in found.items()}
        print(json.dumps(counts))
        return 0
    for name, journey in found.items():
        print(f"{name:12} {len(journey.calls):4} calls {len(journey.files):3} files")
        if given.list:
            print(*listed(journey), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
