"""The commands: how soon ``spalloc-ps`` is done, and what ``--watch`` costs while all changes.

Start-up is judged beside the existing client's command of the same name, on the same real server,
the two taking turns.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from benchmarks.at_rest import empty
from benchmarks.figures import Figure, Spread, at_most, compared, one, outcome, over, ratio_at_most
from benchmarks.orders import WorkerError
from benchmarks.raw_sockets import Command, RawSockets
from benchmarks.turns import in_turns, seconds_of
from tools import environments, existing_client
from tools.costs import cpu_s
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer
from tools.terminal import Terminal

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
    theirs = {**took_s, "floor": took_s["existing"]}
    note = "the ratio is to the existing client's command of the same name"
    figure = compared(
        "spalloc-ps, whole process, against the existing client's", "s", "ours", theirs,
        ratio_at_most(1.0), note,
    )  # fmt: skip
    yield dataclasses.replace(figure, floor=None)
    for what, name, most_s in (
        ("spalloc_gevent and its Job", "our job", 0.025),
        ("spalloc_gevent alone", "ours alone", 0.015),
    ):
        yield over(f"import {what}, over import gevent", name, "gevent", took_s, at_most(most_s))
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
        where = ["--hostname", server.host, "--port", str(server.port)]
        command = _ours(
            "from spalloc_gevent.scripts.ps import main; sys.exit(main())", "--watch", *where
        )
        self._terminal = Terminal(command, os.environ, columns=COLUMNS, lines=LINES)

    def rest(self, seconds: float) -> None:
        """Let time pass, and read what is drawn meanwhile."""
        until_s = time.monotonic() + seconds
        self._terminal.read_on_until(lambda: time.monotonic() >= until_s, "the end of a rest")

    def close(self) -> None:
        """Press q, and see that it ends well."""
        with closing(self._terminal):
            self._terminal.type("q")
            if code := self._terminal.wait():
                raise WorkerError(f"spalloc-ps --watch ended with exit code {code}")

    @property
    def cpu_s(self) -> float:
        return cpu_s(self._terminal.pid)

    @property
    def pictures(self) -> list[str]:
        """What was drawn, picture by picture, and what comes after the last."""
        return self._terminal.screen.split("\x1b[?2026l")

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line of the last whole picture, headings and status left out."""
        text = "".join(self.pictures[-2:-1]).rpartition("\x1b[?2026h")[2]
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
    began_s, used_s, drawn = time.monotonic(), watched.cpu_s, len(watched.pictures)
    changes = 0
    while time.monotonic() - began_s < scale.change_s:
        (jobs,) = sockets.run([("list_jobs", (), {})])
        doomed = [job["job_id"] for job in jobs[:CHANGES_AT_ONCE]]
        sockets.run([("destroy_job", (job_id,), {}) for job_id in doomed])
        sockets.run([_CREATE] * len(doomed))
        changes += 2 * len(doomed)
        watched.rest(REST_S)
    took_s = time.monotonic() - began_s
    share = (watched.cpu_s - used_s) / took_s
    return share, (len(watched.pictures) - drawn) / took_s, changes / took_s


def _await_picture(watched: Watched, sockets: RawSockets) -> bool:
    """Whether the screen comes to show the first jobs of the list, as they are at last."""
    gives_up_at_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < gives_up_at_s:
        (jobs,) = sockets.run([("list_jobs", (), {})])
        words = {1: "queue", 2: "power", 3: "ready"}
        wanted = [[str(job["job_id"]), words[job["state"]]] for job in jobs]
        if [row[:2] for row in watched.rows] == wanted[: LINES - 2]:
            return True
        watched.rest(REST_S)
    return False


# -- the whole ----------------------------------------------------------------


def measure(scale: Scale) -> Iterator[Figure]:
    yield from start_figures(scale)
    yield from watch_figures(scale)
