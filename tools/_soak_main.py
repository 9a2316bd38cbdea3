"""The soak's other side: a real server, a bad network before it, and the table of what came of it.

Started by tools/soak.py. The client is a process of its own (tools/_soak_client.py), so that its
memory, descriptors and threads are its own; what became of its jobs is asked of the server itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tests.faults.proxy import ChaosProxy, End
from tools._soak_client import CYCLE_KEEPALIVE_S, CYCLE_OWNER, KEEPALIVE_S, OWNER
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer, ask

LONGEST_FREEZE_S = 4.0
LONGEST_REFUSAL_S = 2.0
LONGEST_PAUSE_S = 1.5
QUIET_AFTER_OUTAGE_S = 3.0
"""An outage may cost a keepalive's first half; the next begins when all jobs were heard of."""
SETTLE_S = 2.0
SPARE_BOARDS = 60
POSITIONS = 60
END_S = 120.0

_CLIENT = Path(__file__).resolve().parent / "_soak_client.py"


class Chaos:
    """Does one thing wrong after another, and counts them."""

    def __init__(self, proxy: ChaosProxy, server: RealServer, rng: random.Random) -> None:
        self._proxy = proxy
        self._server = server
        self._rng = rng
        self.counts: Counter[str] = Counter()

    def run(self, seconds: float, still_well: Callable[[], None]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            still_well()
            strike, outage = self._rng.choice(self._faults())
            strike()
            time.sleep(QUIET_AFTER_OUTAGE_S if outage else 0.0)
            time.sleep(self._rng.uniform(0.1, LONGEST_PAUSE_S))

    def _faults(self) -> list[tuple[Callable[[], None], bool]]:
        """What can go wrong, and whether nothing passes meanwhile."""
        cuts = [(lambda end=end, some=some: self._cut(end, some), False)
                for end in End for some in (True, True, False)]  # fmt: skip
        freezes = [(lambda ways=ways: self._freeze(*ways), True)
                   for ways in ((True, True), (True, False), (False, True))]  # fmt: skip
        return [
            *cuts,
            *freezes,
            (self._freeze_some, False),
            (self._restart, True),
            (self._refuse, True),
            (self._garbage, False),
            (self._truncate, False),
            (self._notifications, False),
        ]

    def _cut(self, end: End, some: bool) -> None:
        open_now = [p.number for p in list(self._proxy.passages) if p.ended_at is None]
        chosen = self._rng.sample(open_now, min(2, len(open_now))) if some else open_now
        self.counts[f"cut by {end.value.upper()}"] += self._proxy.cut(end, chosen)

    def _freeze(self, to_server: bool, to_client: bool) -> None:
        both = to_server and to_client
        self.counts["freeze, both ways" if both else "freeze, one way"] += 1
        self._proxy.freeze(to_server=to_server, to_client=to_client, new=True)
        time.sleep(self._rng.uniform(0.5, LONGEST_FREEZE_S))
        self._proxy.thaw()

    def _freeze_some(self) -> None:
        """Some connections stand still for ever, while new ones work."""
        open_now = [p.number for p in list(self._proxy.passages) if p.ended_at is None]
        self.counts["freeze of one connection"] += 1
        self._proxy.freeze(connections=self._rng.sample(open_now, min(1, len(open_now))))

    def _restart(self) -> None:
        self.counts["server restart"] += 1
        self._server.restart()

    def _refuse(self) -> None:
        self.counts["connects refused"] += 1
        self._proxy.refuse()
        self._proxy.cut(self._rng.choice(list(End)))
        time.sleep(self._rng.uniform(0.2, LONGEST_REFUSAL_S))
        self._proxy.accept()

    def _garbage(self) -> None:
        self.counts["garbage"] += self._proxy.inject(b"\xff{ this is no JSON\r\n")

    def _truncate(self) -> None:
        self.counts["truncated message"] += 1
        self._proxy.truncate(self._rng.randrange(1, 60))

    def _notifications(self) -> None:
        line = json.dumps({"somethings_changed": [1], "x": "y" * 50}).encode() + b"\n"
        self.counts["flood of unknown notifications"] += 1
        self._proxy.inject(line * 1000)


class Client:
    """The client's process."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(json.dumps(facts))
        self.jobs: list[int] = self._hear()["jobs"]

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client ended with code {self._process.wait()}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def still_well(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the client ended with code {self._process.returncode}")

    def ended(self) -> dict[str, Any]:
        """Have it end; what it counted."""
        self._say("end")
        told = self._hear()
        assert self._process.wait(END_S) == 0
        return told

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def soak(seconds: float, jobs: int, seed: int) -> tuple[list[tuple[str, object]], bool]:
    """The rows of the table, and whether all is well."""
    machine = machine_with_boards(jobs + SPARE_BOARDS)
    with RealServer([machine]) as server, ChaosProxy(server) as proxy:
        facts = {
            "host": proxy.host,
            "port": proxy.port,
            "machine": machine.name,
            "positions": list(_positions(server, machine.name, machine.width, machine.height)),
            "jobs": jobs,
        }
        with contextlib.closing(Client(facts)) as client:
            chaos = Chaos(proxy, server, random.Random(seed))
            chaos.run(seconds, client.still_well)
            time.sleep(SETTLE_S)
            lost = sorted(set(client.jobs) - _jobs_of(server, OWNER))
            told = client.ended()
        left = _left_behind(server)
        return _rows(chaos, proxy, told, lost, left), not (lost or told["wrong"] or left)


def _positions(
    server: RealServer, machine: str, width: int, height: int
) -> Iterator[tuple[object, object]]:
    triads = [(x, y, z) for x in range(width) for y in range(height) for z in range(3)]
    for logical in triads[:POSITIONS]:
        physical = ask(server.host, server.port, "get_board_position", machine, *logical)
        yield list(logical), physical


def _jobs_of(server: RealServer, owner: str) -> set[int]:
    listed: Any = ask(server.host, server.port, "list_jobs")
    return {job["job_id"] for job in listed if job["owner"] == owner}


def _left_behind(server: RealServer) -> set[int]:
    """Jobs that are there though the client has ended and their keepalives must have run out."""
    until = time.monotonic() + 2 * max(CYCLE_KEEPALIVE_S, KEEPALIVE_S)
    while left := _jobs_of(server, OWNER) | _jobs_of(server, CYCLE_OWNER):
        if time.monotonic() > until:
            return left
        time.sleep(0.2)
    return set()


def _rows(
    chaos: Chaos, proxy: ChaosProxy, told: dict[str, Any], lost: list[int], left: set[int]
) -> list[tuple[str, object]]:
    failures = sum(told["failures"].values())
    return [
        *((f"faults: {kind}", count) for kind, count in sorted(chaos.counts.items())),
        ("calls made", sum(told["calls"].values()) - told["calls"].get("wrong", 0)),
        ("  of them failed (time-out, connection lost)", failures),
        ("create/destroy cycles", told["cycles"]),
        ("connections made", proxy.counts["made"]),
        ("commands behind an unanswered one", proxy.counts["pipelined"]),
        ("peak memory of the client, MiB", round(told["peak_kib"] / 1024, 1)),
        _before_after("descriptors", told),
        _before_after("threads", told),
        ("jobs left behind at the end", len(left)),
        ("wrong answers", told["calls"].get("wrong", 0)),
        *(("  " + sample, "") for sample in told["wrong"]),
        ("jobs lost", len(lost)),
        *(("  " + line, "") for line in told["gone"]),
    ]


def _before_after(what: str, told: dict[str, Any]) -> tuple[str, object]:
    return f"{what} at start and end", f"{told[f'{what}_before']}, {told[f'{what}_after']}"


def table(rows: Sequence[tuple[str, object]]) -> str:
    width = max(len(what) for what, _ in rows)
    return "\n".join(f"{what:<{width}}  {value}".rstrip() for what, value in rows)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soak.py", description="Hold jobs on a real server while all goes wrong."
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long faults are injected (default: 30)")
    length.add_argument("--seconds", type=float, help="the same, for a short run")
    parser.add_argument("--jobs", type=int, default=300, help="how many to hold (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' order (default: 0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    given = parser().parse_args(argv)
    seconds = given.seconds or 60.0 * (given.minutes or 30.0)
    rows, well = soak(seconds, given.jobs, given.seed)
    print(f"{given.jobs} jobs, keepalive {KEEPALIVE_S:g} s, for {seconds:g} s:")
    print(table(rows))
    print("all is well" if well else "NOT WELL")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
