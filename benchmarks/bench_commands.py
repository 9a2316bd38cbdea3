"""The commands: how soon ``spalloc-ps`` is done, and what ``--watch`` costs while all changes.

Run by ``python3 tools/bench.py``. Start-up is judged beside the existing client's command of the
same name, on the same real server, the two taking turns. ``--quick`` does it all on a small scale
and judges outcomes alone. The exit code is 0 when everything that is judged is as it must be.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import statistics
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
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.bench_core import Row, empty, table
from benchmarks.raw_sockets import Command, RawSockets
from tools import environments, existing_client
from tools.costs import cpu_s
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer, RealServerError

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
    change_s: float = 20.0
    judges_speed: bool = True


FULL = Scale()
QUICK = Scale(starts=1, jobs=100, change_s=1.0, judges_speed=False)


# -- start-up -----------------------------------------------------------------


def start_rows(scale: Scale) -> Iterator[Row]:
    """Whole processes, from the start to the end; and what of ours is others' to make faster."""
    with RealServer(version=existing_client.UNDERSTOOD_VERSION) as server:
        where = ["--hostname", server.host, "--port", str(server.port)]
        programs = {
            "ours": _ours("from spalloc_gevent.entry import ps; sys.exit(ps())", *where),
            "theirs": existing_client.command("spalloc-ps", *where),
            "python": _ours("pass"),
            **{name: _ours(f"import {name}") for name in _DEPENDENCIES},
        }
        _compile()
        took_s: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(scale.starts):
            for name, program in programs.items():
                took_s[name].append(_seconds_of(program))
    median_s = {name: statistics.median(times) for name, times in took_s.items()}
    ratio = median_s["ours"] / median_s["theirs"]
    yield Row(
        "spalloc-ps, whole process, beside the existing client's",
        _ms(median_s["ours"]),
        _ms(median_s["theirs"]),
        f"{ratio:.2f}",
        "<= 1.25",
        ratio <= 1.25 if scale.judges_speed else None,
    )
    yield Row("  Python that does nothing", _ms(median_s["python"]))
    for name in _DEPENDENCIES:
        yield Row(f"  import {name}", _ms(median_s[name]))


_DEPENDENCIES = ("platformdirs", "gevent", "tabulate")


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
    began = time.perf_counter()
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


# -- watching -----------------------------------------------------------------


class Watched:
    """``spalloc-ps --watch`` on a pseudo-terminal, and the last picture that it drew."""

    def __init__(self, server: RealServer) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        where = ["--hostname", server.host, "--port", str(server.port)]
        command = _ours("from spalloc_gevent.entry import ps; sys.exit(ps())", "--watch", *where)
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


def watch_rows(scale: Scale) -> Iterator[Row]:
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
    what = f"spalloc-ps --watch, {scale.jobs} jobs, {changes_s:.0f} changes/s"
    yield Row(f"{what}: CPU", f"{100 * share:.1f} %", wanted="<= 10 %",
              good=share <= 0.1 if scale.judges_speed else None)  # fmt: skip
    yield Row(f"{what}: redraws", f"{pictures_s:.1f} /s", wanted="<= 11 /s",
              good=pictures_s <= 11 if scale.judges_speed else None)  # fmt: skip
    yield Row("  lost updates at the end", str(lost), wanted="0", good=lost == 0)


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the commands on the real server.")
    parser.add_argument("--quick", action="store_true", help="small scale, judges outcomes alone")
    given, _ = parser.parse_known_args(argv)
    scale = QUICK if given.quick else FULL
    try:
        rows = [*start_rows(scale), *watch_rows(scale)]
    except (RealServerError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(rows))
    return 1 if any(row.good is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
