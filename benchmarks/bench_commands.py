"""The commands: how soon ``spalloc-ps`` is done, and what ``--watch`` costs while all changes.

Start-up is judged beside the existing client's command of the same name, on the same real server,
the two taking turns. Run by ``python3 tools/bench.py``, or alone. ``--quick`` does it all on a
small scale and judges outcomes alone.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.at_rest import empty
from benchmarks.figures import Figure, Goal, Spread, at_most, one, outcome, ratio, ratio_at_most
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.running import run
from benchmarks.turns import in_turns, seconds_of
from tools import environments, existing_client
from tools.costs import cpu_s
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer

BOARDS = 1200
LINES, COLUMNS = 50, 120
CHANGES_AT_ONCE = 20
REST_S = 0.1
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Scale:
    """How much is done of everything."""

    starts: int = 21
    jobs: int = 1000
    change_s: float = 10.0


FULL = Scale()
QUICK = Scale(starts=1, jobs=100, change_s=1.0)


# -- start-up -----------------------------------------------------------------


def start_figures(scale: Scale) -> Iterator[Figure]:
    """Whole processes, from the start to the end; and what of ours is others' to make faster."""
    with RealServer(version=existing_client.UNDERSTOOD_VERSION) as server:
        where = ["--hostname", server.host, "--port", str(server.port)]
        programs = {
            "ours": _ours("from spalloc_gevent.scripts.ps import main; sys.exit(main())", *where),
            "existing": existing_client.command("spalloc-ps", *where),
            "python": _ours("pass"),
            **{name: _ours(code) for name, code in _IMPORTS.items()},
        }
        _compile()
        took_s = in_turns(
            {name: partial(_seconds_of, program) for name, program in programs.items()},
            scale.starts,
        )
    yield _beside_theirs(took_s)
    yield _over("spalloc_gevent and its Job", "our job", took_s, at_most(0.025))
    yield _over("spalloc_gevent alone", "ours alone", took_s, at_most(0.015))
    for name in ("python", *_DEPENDENCIES):
        what = "Python that does nothing" if name == "python" else f"import {name}"
        yield Figure(f"  {what}, whole process", "s", Spread.of(took_s[name]))


_DEPENDENCIES = ("platformdirs", "gevent", "tabulate")
_IMPORTS = {
    **{name: f"import {name}" for name in _DEPENDENCIES},
    # The package imports what it has when it is asked for: Job is what a program asks for.
    "our job": "import gevent, spalloc_gevent; spalloc_gevent.Job",
    "ours alone": "import gevent, spalloc_gevent",
}


def _beside_theirs(took_s: dict[str, list[float]]) -> Figure:
    return Figure(
        "spalloc-ps, whole process, against the existing client's",
        "s",
        Spread.of(took_s["ours"]),
        existing=Spread.of(took_s["existing"]),
        ratio=ratio(took_s["ours"], took_s["existing"]),
        existing_ratio=one(1.0),
        goal=ratio_at_most(1.0),
        note="the ratio is to the existing client's command of the same name",
    )


def _over(what: str, name: str, took_s: dict[str, list[float]], goal: Goal | None) -> Figure:
    """What importing takes on top of `import gevent`, turn by turn."""
    more_s = [ours - alone for ours, alone in zip(took_s[name], took_s["gevent"], strict=True)]
    return Figure(f"import {what}, over import gevent", "s", Spread.of(more_s), goal=goal)


def _ours(code: str, *arguments: str) -> list[str]:
    """A program in an environment that has what an installation has, and nothing else."""
    python = environments.python_of("runtime")
    found = f"import sys; sys.path.insert(0, {str(environments.ROOT)!r}); "
    return [str(python), "-c", found + code, *arguments]


def _compile() -> None:
    """Compile the package's modules, as pip does with what it installs."""
    package = environments.ROOT / "spalloc_gevent"
    python = environments.python_of("runtime")
    subprocess.run([str(python), "-m", "compileall", "-q", str(package)], check=True)


def _seconds_of(program: Sequence[str]) -> float:
    return seconds_of(lambda: subprocess.run(program, check=True, stdout=subprocess.DEVNULL))


# -- watching -----------------------------------------------------------------


class Watched:
    """``spalloc-ps --watch`` on a pseudo-terminal, and the last picture that it drew."""

    def __init__(self, server: RealServer) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        where = ["--hostname", server.host, "--port", str(server.port)]
        command = _ours(
            "from spalloc_gevent.scripts.ps import main; sys.exit(main())", "--watch", *where
        )
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, env={**os.environ, "TERM": "xterm"}
        )
        os.close(slave)
        self._pieces: deque[bytes] = deque(maxlen=64)
        self.pictures = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._master, 65_536):
                self.pictures += piece.count(b"\x1b[?2026l")
                self._pieces.append(piece)
        except OSError:  # Nobody has the terminal open any more.
            return

    def close(self) -> None:
        """Press q, and see that it ends well."""
        os.write(self._master, b"q")
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        os.close(self._master)
        if code != 0:
            raise RuntimeError(f"spalloc-ps --watch ended with exit code {code}")

    @property
    def cpu_s(self) -> float:
        return cpu_s(self._process.pid)

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line of the last whole picture, headings and status left out."""
        pictures = b"".join(self._pieces).split(b"\x1b[?2026l")
        text = pictures[-2].rpartition(b"\x1b[?2026h")[2].decode() if pictures[1:] else ""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return [line.split() for line in plain.split("\r\n")[1:-1]]


def watch_figures(scale: Scale) -> Iterator[Figure]:
    with ExitStack() as opened:
        machine = machine_with_boards(BOARDS)
        server = opened.enter_context(RealServer([machine], timeout_check_s=0.5))
        sockets = opened.enter_context(RawSockets(server.host, server.port, 2))
        sockets.run([_CREATE] * scale.jobs)
        watched = Watched(server)
        opened.callback(watched.close)
        _await_picture(watched, sockets)
        share, pictures_s, changes_s = _changed(watched, sockets, scale)
        lost = 0 if _await_picture(watched, sockets) else 1
        empty(server)
    what = f"spalloc-ps --watch, {changes_s:.0f} changes/s"
    note = f"{scale.jobs:,} jobs"
    yield Figure(f"{what}: CPU of one core", "%", one(100 * share), goal=at_most(10.0), note=note)
    yield Figure(f"{what}: redraws", "/s", one(pictures_s), goal=at_most(11.0))
    yield Figure("  updates lost at the end", "", one(lost), goal=outcome("==", 0))


_CREATE: Command = ("create_job", (), {"owner": "bench", "keepalive": None})


def _changed(watched: Watched, sockets: RawSockets, scale: Scale) -> tuple[float, float, float]:
    """Destroy jobs and make others for a while: the share of a core, redraws/s and changes/s."""
    began_s, used_s, drawn = time.monotonic(), watched.cpu_s, watched.pictures
    changes = 0
    while time.monotonic() - began_s < scale.change_s:
        (jobs,) = sockets.run([("list_jobs", (), {})])
        doomed = [job["job_id"] for job in jobs[:CHANGES_AT_ONCE]]
        sockets.run([("destroy_job", (job_id,), {}) for job_id in doomed])
        sockets.run([_CREATE] * len(doomed))
        changes += 2 * len(doomed)
        time.sleep(REST_S)
    took_s = time.monotonic() - began_s
    share = (watched.cpu_s - used_s) / took_s
    return share, (watched.pictures - drawn) / took_s, changes / took_s


def _await_picture(watched: Watched, sockets: RawSockets) -> bool:
    """Whether the screen comes to show the first jobs of the list, as they are at last."""
    gives_up_at_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < gives_up_at_s:
        (jobs,) = sockets.run([("list_jobs", (), {})])
        words = {1: "queue", 2: "power", 3: "ready"}
        wanted = [[str(job["job_id"]), words[job["state"]]] for job in jobs]
        if [row[:2] for row in watched.rows] == wanted[: LINES - 2]:
            return True
        time.sleep(REST_S)
    return False


# -- the whole ----------------------------------------------------------------


def measure(scale: Scale) -> Iterator[Figure]:
    yield from start_figures(scale)
    yield from watch_figures(scale)


def main(argv: Sequence[str] | None = None) -> int:
    return run("Measure the commands on the real server.", measure, FULL, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
