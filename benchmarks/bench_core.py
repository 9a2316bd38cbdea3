"""One process, hundreds of jobs: what it costs next to raw sockets, on the real server.

Run by ``python3 tools/bench.py``. Every figure is printed with the floor that it is judged by,
measured in the same run, the two taking turns. ``--quick`` runs it all on a small scale and judges
outcomes alone. The exit code is 0 when everything that is judged is as it must be.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent
import tabulate

from benchmarks.raw_sockets import Command, RawSockets
from spalloc_gevent import Job, ProtocolClient
from tools.costs import cpu_s
from tools.environments import ROOT
from tools.holding import Held, create
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer, RealServerError

POOL = 8
MOST_CONNECTIONS = POOL + 1
BOARDS = 1200
JOBS = 300
THREADS = 100
CALLERS = 200
OBSERVERS = 3
REST_S = 0.3


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    repeats: int = 7
    call_repeats: int = 15
    calls: int = 10_000
    lone_calls: int = 2_000
    hold_s: float = 60.0
    keepalive_s: float = 10.0
    kills: int = 20
    judges_speed: bool = True


FULL = Scale()
QUICK = Scale(
    repeats=1,
    call_repeats=1,
    calls=2_000,
    lone_calls=200,
    hold_s=10.0,
    keepalive_s=4.0,
    kills=3,
    judges_speed=False,
)


@dataclass(frozen=True)
class Row:
    """A line of the table; `good` is None for what this run does not judge."""

    what: str
    ours: str
    floor: str = ""
    ratio: str = ""
    wanted: str = ""
    good: bool | None = None


_VERSION: Command = ("version", (), {})

Work = Callable[[], int]
"""Something to time; returns how many times it was done."""


# -- taking turns -------------------------------------------------------------


def rates(works: Sequence[Work], repeats: int) -> list[float]:
    """The median rate (1/s) of each work; they take turns, and another begins every time."""
    measured: list[list[float]] = [[] for _ in works]
    for turn in _turns(len(works), repeats):
        measured[turn].append(_rate(works[turn]))
    return [statistics.median(each) for each in measured]


def _turns(works: int, repeats: int) -> Iterator[int]:
    for repeat in range(repeats):
        for place in range(works):
            yield (repeat + place) % works


def _rate(work: Work) -> float:
    began = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - began)


# -- creating -----------------------------------------------------------------


class Creation:
    """Creates jobs in one way or another, timed, on a server that is empty and at rest."""

    def __init__(self, server: RealServer) -> None:
        self._server = server
        self._options: dict[str, Any] = {
            "hostname": server.host,
            "port": server.port,
            "owner": "bench",
            "keepalive": 60.0,
        }

    def from_greenlets(self) -> float:
        """Seconds to make JOBS of them from as many greenlets."""
        return self._seconds_of(lambda: create(JOBS, self._options))

    def from_threads(self) -> float:
        """Seconds to make JOBS of them from THREADS native threads."""
        with ThreadPoolExecutor(THREADS) as pool:
            all_there = threading.Barrier(THREADS)
            # Their start is no part of creating jobs.
            list(pool.map(lambda _: all_there.wait(), range(THREADS)))
            shares = [JOBS // THREADS] * THREADS
            return self._seconds_of(lambda: list(chain(*pool.map(self._some, shares))))

    def _some(self, count: int) -> list[Job]:
        return [Job(**self._options) for _ in range(count)]

    def _seconds_of(self, make: Callable[[], list[Job]]) -> float:
        empty(self._server)
        began = time.perf_counter()
        jobs = make()
        took_s = time.perf_counter() - began
        _must_differ([job.id for job in jobs])
        for job in jobs:
            job.close()
        return took_s

    def over_raw_sockets(self) -> float:
        """Seconds for the same commands over POOL raw sockets that are open already."""
        empty(self._server)
        with RawSockets(self._server.host, self._server.port, POOL) as sockets:
            began = time.perf_counter()
            ids = sockets.run([_create_command()] * JOBS)
            took_s = time.perf_counter() - began
        _must_differ(ids)
        return took_s


def _create_command() -> Command:
    """What ``Job(owner="bench", keepalive=60.0)`` sends."""
    defaults: dict[str, object] = {
        "owner": "bench",
        "keepalive": 60.0,
        "machine": None,
        "tags": None,
        "min_ratio": 0.333,
        "max_dead_boards": 0,
        "max_dead_links": None,
        "require_torus": False,
    }
    return "create_job", (), defaults


def _must_differ(ids: Sequence[object]) -> None:
    if len(set(ids)) != JOBS:
        raise RuntimeError(f"{JOBS} jobs were to be made, but {len(set(ids))} were")


def empty(server: RealServer) -> None:
    """Destroy every job, and wait until the server has nothing left to do."""
    with RawSockets(server.host, server.port, POOL) as sockets:
        (jobs,) = sockets.run([("list_jobs", (), {})])
        sockets.run([("destroy_job", (job["job_id"],), {}) for job in jobs])
    while _works_on(server.pid):
        pass


def _works_on(pid: int) -> bool:
    """Whether a process uses CPU time in the next moment."""
    before_s = cpu_s(pid)
    time.sleep(REST_S)
    return cpu_s(pid) - before_s > 0.05 * REST_S


def creation_rows(server: RealServer, scale: Scale) -> Iterator[Row]:
    creation = Creation(server)
    ways = (creation.over_raw_sockets, creation.from_greenlets, creation.from_threads)
    took: list[list[float]] = [[], [], []]
    for turn in _turns(len(ways), scale.repeats):
        took[turn].append(ways[turn]())
    floor_s, *ours = map(statistics.median, took)
    names = (f"{JOBS} jobs from {JOBS} greenlets", f"{JOBS} jobs from {THREADS} threads")
    for name, ours_s in zip(names, ours, strict=True):
        ratio = ours_s / floor_s
        good = ratio <= 1.5 if scale.judges_speed else None
        yield Row(name, f"{ours_s:.3f} s", f"{floor_s:.3f} s", f"{ratio:.2f}", "<= 1.5", good)


# -- calling ------------------------------------------------------------------


def call_rows(server: RealServer, scale: Scale) -> Iterator[Row]:
    empty(server)
    where = server.host, server.port
    with ProtocolClient(*where) as client, RawSockets(*where, POOL) as eight:
        asked = [_VERSION] * scale.calls
        many, floor = rates(
            [lambda: _from_greenlets(client, scale.calls), lambda: len(eight.run(asked))],
            scale.call_repeats,
        )
    yield _call_row(f"version() from {CALLERS} greenlets", many, floor, 0.6, scale)
    yield from _lone_rows(where, scale)


def _lone_rows(where: tuple[str, int], scale: Scale) -> Iterator[Row]:
    # In a thread without a gevent hub, the floors too: that is what a plain script is.
    with ThreadPoolExecutor(1) as plain:
        lone, selecting, blocking = plain.submit(_lone_rates, where, scale).result()
    what = "version() from one plain thread, floor with"
    yield _call_row(f"{what} selectors", lone, selecting, 0.8, scale)
    yield _call_row(f"{what} a blocking socket", lone, blocking, 0.8, scale)
    what = "version() from one greenlet, floor with selectors"
    greenlet, selecting, _ = _lone_rates(where, scale)
    row = _call_row(what, greenlet, selecting, 0.0, scale)
    yield dataclasses.replace(row, wanted="", good=None)


def _lone_rates(where: tuple[str, int], scale: Scale) -> list[float]:
    """Calls a second of this thread alone: ours, and the floors with selectors and without."""
    asked = [_VERSION] * scale.lone_calls
    with ProtocolClient(*where) as client, RawSockets(*where, 1) as one:
        return rates(
            [
                lambda: sum(bool(client.version()) for _ in asked),
                lambda: len(one.run(asked)),
                lambda: len(one.run_blocking(asked)),
            ],
            scale.call_repeats,
        )


def _from_greenlets(client: ProtocolClient, calls: int) -> int:
    def some() -> int:
        return sum(bool(client.version()) for _ in range(calls // CALLERS))

    greenlets = [gevent.spawn(some) for _ in range(CALLERS)]
    gevent.joinall(greenlets, raise_error=True)
    return sum(greenlet.get() for greenlet in greenlets)


def _call_row(what: str, ours: float, floor: float, least: float, scale: Scale) -> Row:
    ratio = ours / floor
    good = ratio >= least if scale.judges_speed else None
    return Row(what, f"{ours:,.0f} /s", f"{floor:,.0f} /s", f"{ratio:.2f}", f">= {least}", good)


# -- holding ------------------------------------------------------------------


def holding_rows(server: RealServer, scale: Scale) -> Iterator[Row]:
    empty(server)
    held = _held(server, scale)
    kib = held.pss_kib_each
    connections = held.connections
    spell = f"{held.jobs} jobs held {scale.hold_s:g} s, keepalive {scale.keepalive_s:g} s"
    yield Row(f"connections for {held.jobs} jobs", str(connections),
              wanted=f"<= {MOST_CONNECTIONS}", good=connections <= MOST_CONNECTIONS)  # fmt: skip
    yield Row("processes", str(held.processes), wanted="1", good=held.processes == 1)
    yield Row("memory (PSS) of a held job", f"{kib:.1f} KiB", wanted="<= 16 KiB",
              good=kib <= 16 if scale.judges_speed else None)  # fmt: skip
    for lost, doing in ((held.lost_sleeping, "asleep"), (held.lost_burning, "burning CPU")):
        yield Row(f"{spell}, main thread {doing}", f"{lost} lost", wanted="0 lost", good=lost == 0)


def _held(server: RealServer, scale: Scale) -> Held:
    program = [sys.executable, str(ROOT / "tools" / "holding.py"), server.host, str(server.port)]
    program += [f"--jobs={JOBS}", f"--keepalive-s={scale.keepalive_s}", f"--hold-s={scale.hold_s}"]
    done = subprocess.run(program, stdout=subprocess.PIPE, check=True, env=_environ())
    return Held(**json.loads(done.stdout))


def _environ() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


# -- killing ------------------------------------------------------------------


def kill_rows(server: RealServer, scale: Scale) -> Iterator[Row]:
    empty(server)
    answered = sum(_answers_after_a_kill(server) for _ in range(scale.kills))
    yield Row(
        "SIGKILL amid 100 busy greenlets: server answers",
        f"{answered} of {scale.kills}",
        wanted="all",
        good=answered == scale.kills,
    )


def _answers_after_a_kill(server: RealServer) -> bool:
    """Whether those who were connected all along, and one who comes after, get their answers."""
    where = server.host, server.port
    try:
        with RawSockets(*where, OBSERVERS) as observers:
            _kill_a_busy_client(server)
            answers = observers.run([_VERSION] * OBSERVERS)
        with RawSockets(*where, 1) as newcomer:
            answers += newcomer.run([_VERSION])
        empty(server)
    except OSError as error:
        print(f"after a SIGKILL: {error}; the server's log says:\n{server.log_tail()}")
        return False
    return len(answers) == OBSERVERS + 1


def _kill_a_busy_client(server: RealServer) -> None:
    program = [sys.executable, str(ROOT / "benchmarks" / "busy_client.py")]
    program += [server.host, str(server.port)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=_environ()) as client:
        assert client.stdout is not None
        said = client.stdout.readline()
        client.kill()
    if said != b"busy\n":
        raise RuntimeError("the client that was to be killed ended by itself")


# -- the whole ----------------------------------------------------------------


def measure(scale: Scale) -> Iterator[Row]:
    with RealServer([machine_with_boards(BOARDS)], timeout_check_s=0.5) as server:
        for part in (creation_rows, call_rows, holding_rows, kill_rows):
            for row in part(server, scale):
                print(f"{row.what}: {row.ours}", file=sys.stderr, flush=True)
                yield row


def table(rows: Sequence[Row]) -> str:
    headings = ("what", "ours", "floor", "ratio", "wanted", "")
    verdicts = {None: "", True: "ok", False: "MISSED"}
    cells = [(r.what, r.ours, r.floor, r.ratio, r.wanted, verdicts[r.good]) for r in rows]
    return tabulate.tabulate(cells, headings, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the core on the real server.")
    parser.add_argument("--quick", action="store_true", help="small scale, judges outcomes alone")
    parser.add_argument("--hold-s", type=float, help="how long jobs are held, twice (default: 60)")
    given = parser.parse_args(argv)
    scale = QUICK if given.quick else FULL
    if given.hold_s is not None:
        scale = dataclasses.replace(scale, hold_s=given.hold_s)
    try:
        rows = list(measure(scale))
    except (RealServerError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    python = sys.version.split()[0]
    print(f"{os.cpu_count()} cores, Python {python}, spalloc_server with {BOARDS} boards; medians")
    print(table(rows))
    return 1 if any(row.good is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
