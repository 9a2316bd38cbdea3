"""The program that the soak is about: holds jobs and asks questions whose answers it knows.

Run by tools/_soak_main.py, never by hand. Reads one JSON line, the facts to check answers by, and
writes one when its jobs are held; another line on its standard input ends it, and its last words
are what it counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import gevent
import gevent.select

from spalloc_gevent import Job, ProtocolClient
from spalloc_gevent.errors import (
    ConnectionLostError,
    JobDestroyedError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
)

OWNER = "soak"
KEEPALIVE_S = 10.0
KEEPALIVE_STEP_S = 0.001
"""Each job's keepalive is this much longer than the last one's: its answer tells whose it is."""
CYCLE_OWNER = "soak-cycle"
CYCLE_KEEPALIVE_S = 5.0

THREADS = 12
GREENLETS = 40
CYCLES = 3
ASKED_ABOUT = 30
"""Jobs that questions name, which keeps them alive; the others have their keepalives alone."""
TIMEOUT_S = 10.0
LONGEST_REST_S = 0.05
GIVE_UP_SHARE = 0.1
LONGEST_PATIENCE_S = 0.01
"""Of callers that give up before the answer can be here."""
MOST_SAMPLES = 10

READY_S = 120.0
LAST_CLOSE_S = 5.0
"""Connections that stand still are closed in the background, at the latest in this time."""


@dataclass(frozen=True)
class Facts:
    """What the server said when nothing was in the way."""

    host: str
    port: int
    machine: str
    positions: list[tuple[list[int], list[int]]]
    """Logical and physical positions of boards, in pairs."""
    jobs: int


@dataclass
class Told:
    """What this program counted."""

    calls: dict[str, int]
    failures: dict[str, int]
    wrong: list[str]
    cycles: int
    threads_before: int
    threads_after: int
    descriptors_before: int
    descriptors_after: int
    peak_kib: int
    gone: list[str]


class Count:
    """Counted from any thread, each in its own."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._mutex = threading.Lock()
        self.wrong: list[str] = []

    def add(self, what: str) -> None:
        with self._mutex:
            self._numbers[what] += 1

    def wrong_answer(self, question: str, answer: object, expected: object) -> None:
        with self._mutex:
            self._numbers["wrong"] += 1
            if len(self.wrong) < MOST_SAMPLES:
                self.wrong.append(f"{question}: {answer!r} instead of {expected!r}")

    def taken(self) -> dict[str, int]:
        with self._mutex:
            return dict(self._numbers)


class Asker:
    """Asks one question after another and checks that each answer is its own."""

    def __init__(self, client: ProtocolClient, facts: Facts, jobs: Sequence[Job]) -> None:
        self._client = client
        self._facts = facts
        self._keepalives = {
            job.id: KEEPALIVE_S + n * KEEPALIVE_STEP_S for n, job in enumerate(jobs)
        }
        self._boards = {job.id: job.boards for job in jobs[:ASKED_ABOUT]}
        self.asked, self.failed = Count(), Count()
        self.stopping = False

    def run(self, seed: int, patience: Callable[[random.Random], float | None]) -> None:
        """Ask until stopped; `patience` is how long each answer is waited for."""
        rng = random.Random(seed)
        while not self.stopping:
            self._ask_once(rng, patience(rng))
            _rest(rng.uniform(0.0, LONGEST_REST_S))

    def _ask_once(self, rng: random.Random, timeout_s: float | None) -> None:
        name, ask, expected = self._question(rng)
        timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        self.asked.add(name)
        try:
            answer = ask(timeout_s)
        except (ConnectionLostError, ProtocolTimeoutError) as error:
            self.failed.add(type(error).__name__)
        except SpallocError as error:
            self.asked.wrong_answer(name, error, expected)
        else:
            if answer != expected:
                self.asked.wrong_answer(name, answer, expected)

    def _question(self, rng: random.Random) -> tuple[str, Callable[[float], Any], Any]:
        client, machine = self._client, self._facts.machine
        logical, physical = rng.choice(self._facts.positions)
        (x, y, z), (c, f, b) = logical, physical
        job_id = rng.choice(list(self._boards))
        questions: list[tuple[str, Callable[[float], Any], Any]] = [
            (
                "get_board_position",
                lambda t: _listed(client.get_board_position(machine, x, y, z, timeout=t)),
                physical,
            ),
            (
                "get_board_at_position",
                lambda t: _listed(client.get_board_at_position(machine, c, f, b, timeout=t)),
                logical,
            ),
            ("get_job_state", lambda t: self._keepalive_of(job_id, t), self._keepalives[job_id]),
            ("get_job_machine_info", lambda t: self._boards_of(job_id, t), self._boards[job_id]),
        ]
        return rng.choice(questions)

    def _keepalive_of(self, job_id: int | None, timeout_s: float) -> Any:
        assert job_id is not None
        return self._client.get_job_state(job_id, timeout=timeout_s)["keepalive"]

    def _boards_of(self, job_id: int | None, timeout_s: float) -> Any:
        assert job_id is not None
        boards = self._client.get_job_machine_info(job_id, timeout=timeout_s)["boards"]
        return None if boards is None else sorted(list(board) for board in boards)


def _listed(found: Sequence[int] | None) -> list[int] | None:
    return None if found is None else list(found)


def _rest(seconds: float) -> None:
    """Sleep as the caller's kind sleeps: a greenlet lets the others of its thread run."""
    if threading.current_thread() is threading.main_thread():
        gevent.sleep(seconds)
    else:
        time.sleep(seconds)


def patient(_rng: random.Random) -> float | None:
    return None


def sometimes_hasty(rng: random.Random) -> float | None:
    return rng.uniform(0.0, LONGEST_PATIENCE_S) if rng.random() < GIVE_UP_SHARE else None


def kill_now_and_then(asker: Asker, seed: int) -> None:
    """Greenlets whose calls end by being killed, or by gevent.Timeout."""
    rng = random.Random(seed)
    while not asker.stopping:
        victim = gevent.spawn(asker.run, rng.randrange(1 << 30), patient)
        gevent.sleep(rng.uniform(0.01, 0.3))
        victim.kill()
        with contextlib.suppress(gevent.Timeout), gevent.Timeout(rng.uniform(0.01, 0.3)):
            asker.run(rng.randrange(1 << 30), patient)


def cycle(facts: Facts, asker: Asker, done: Count) -> None:
    """Create and destroy jobs for as long as the asker asks."""
    options: dict[str, Any] = {"owner": CYCLE_OWNER, "keepalive": CYCLE_KEEPALIVE_S}
    while not asker.stopping:
        try:
            job = Job(hostname=facts.host, port=facts.port, config_filenames=[], **options)
            job.destroy()
            done.add("cycles")
        except (ProtocolError, ProtocolTimeoutError, JobDestroyedError):
            done.add("failed")
        gevent.sleep(0.1)


def hold(facts: Facts) -> list[Job]:
    """The jobs, ready; each can be told from the others by its keepalive."""

    def one(number: int) -> Job:
        return Job(
            hostname=facts.host,
            port=facts.port,
            owner=OWNER,
            keepalive=KEEPALIVE_S + number * KEEPALIVE_STEP_S,
            config_filenames=[],
        )

    greenlets = [gevent.spawn(one, number) for number in range(facts.jobs)]
    gevent.joinall(greenlets, raise_error=True)
    jobs = [greenlet.get() for greenlet in greenlets]
    waiting = [gevent.spawn(job.wait_until_ready, READY_S) for job in jobs]
    gevent.joinall(waiting, raise_error=True)
    return jobs


def run(facts: Facts, end_asked: Callable[[], object], say: Callable[[object], None]) -> Told:
    """Hold, ask and count until ``end_asked()`` returns."""
    before = _descriptors(), _threads()
    client = ProtocolClient(facts.host, facts.port, call_timeout=TIMEOUT_S).open()
    jobs = hold(facts)
    asker, cycles = Asker(client, facts, jobs), Count()
    numbers = itertools.count()
    greenlets: list[gevent.Greenlet[..., None]] = []
    greenlets += [gevent.spawn(asker.run, next(numbers), sometimes_hasty) for _ in range(GREENLETS)]
    greenlets += [gevent.spawn(kill_now_and_then, asker, next(numbers)) for _ in range(CYCLES)]
    greenlets += [gevent.spawn(cycle, facts, asker, cycles) for _ in range(CYCLES)]
    threads = [
        threading.Thread(target=asker.run, args=(next(numbers), sometimes_hasty))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    say({"jobs": [job.id for job in jobs]})
    end_asked()
    asker.stopping = True
    gevent.joinall(greenlets, raise_error=True)
    while any(thread.is_alive() for thread in threads):
        gevent.sleep(0.01)
    gone = [f"job {job.id}: {job.reason}" for job in jobs if job.state.name != "ready"]
    gevent.joinall([gevent.spawn(job.destroy) for job in jobs], raise_error=True)
    client.close()
    with contextlib.suppress(gevent.Timeout), gevent.Timeout(LAST_CLOSE_S):
        while _threads() > before[1]:
            gevent.sleep(0.01)
    return Told(
        calls=asker.asked.taken(),
        failures=asker.failed.taken(),
        wrong=asker.asked.wrong,
        cycles=cycles.taken().get("cycles", 0),
        threads_before=before[1],
        threads_after=_threads(),
        descriptors_before=before[0],
        descriptors_after=_descriptors(),
        peak_kib=_peak_kib(),
        gone=gone,
    )


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> int:
    def say(what: object) -> None:
        print(json.dumps(what), flush=True)

    def end_asked() -> None:
        gevent.select.select([sys.stdin], [], [])

    facts = Facts(**json.loads(sys.stdin.readline()))
    gevent.sleep(0)  # gevent's own descriptors are there before anything is counted
    say(dataclasses.asdict(run(facts, end_asked, say)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
