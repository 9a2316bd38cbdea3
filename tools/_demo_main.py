"""What tools/demo.py shows, run in an environment that has the package."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from spalloc_gevent import Job, SpallocError
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tools.environments import ROOT
from tools.holding import Held

BOARDS = 6
MOST_CONNECTIONS = 9

_SAY = 'echo "job $SPALLOC_JOB_ID: {w} x {h} chips, booted from {hostname}"'


class DemoError(Exception):
    """Something did not go as it should; the message says what."""


def show(jobs: int) -> None:
    """The whole demonstration; raises DemoError when any of it fails."""
    with SimulatedServer([MachineSpec("demo", width=20, height=20)]) as server:
        environ = _environ_for(server)
        _show_allocation(environ)
        _show_boards(server)
        _show_command(environ)
        _show_many(server, jobs, environ)
        _check("every board has been given back", not server.jobs)


def _environ_for(server: SimulatedServer) -> dict[str, str]:
    """This process's environment, in which the commands find the package and the server."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "SPALLOC_HOSTNAME": server.host,
        "SPALLOC_PORT": str(server.port),
        "SPALLOC_OWNER": "demo",
    }


def _show_allocation(environ: Mapping[str, str]) -> None:
    _head("spalloc allocates boards, shows them, and gives them back at the end of input")
    _spalloc([str(BOARDS)], environ)


def _show_boards(server: SimulatedServer) -> None:
    _head(f"Job({BOARDS}) in Python: the boards, and the chip and host name of each")
    with Job(BOARDS, hostname=server.host, port=server.port, owner="demo") as job:
        boards, connections = job.boards or [], job.connections or {}
        print(f"{job!r}\n{job.width} x {job.height} chips of {job.machine_name!r}")
        for (chip_x, chip_y), hostname in connections.items():
            print(f"  chip ({chip_x:2}, {chip_y:2})  {hostname}")
        print("  logical boards " + " ".join(str(tuple(board)) for board in boards))
        _check("a host name for every board", len(boards) == len(connections) >= BOARDS)


def _show_command(environ: Mapping[str, str]) -> None:
    _head("spalloc runs a command on boards of its own")
    said = _spalloc([str(BOARDS), "--command", _SAY], environ)
    _check("the command was told its boards", "chips, booted from 127." in said)


def _show_many(server: SimulatedServer, jobs: int, environ: Mapping[str, str]) -> None:
    _head(f"{jobs} jobs held at once by one process, from {jobs} greenlets")
    program = [sys.executable, str(ROOT / "tools" / "holding.py"), server.host, str(server.port)]
    held = Held(**json.loads(_run([*program, f"--jobs={jobs}"], environ)))
    print(
        f"  {held.jobs} jobs created in {held.create_s:.2f} s\n"
        f"  {held.connections} connections to the server\n"
        f"  {held.processes} process and its guardian, {held.threads} threads\n"
        f"  {held.pss_kib_each:.1f} KiB of memory (PSS) a job"
    )
    _check(f"{jobs} jobs were held", held.jobs == jobs)
    _check(f"at most {MOST_CONNECTIONS} connections", held.connections <= MOST_CONNECTIONS)
    _check("one process", held.processes == 1)


def _spalloc(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    words = (f"'{word}'" if " " in word else word for word in arguments)
    print(f"$ spalloc {' '.join(words)}", flush=True)
    said = _run([sys.executable, "-m", "spalloc_gevent", "alloc", *arguments], environ)
    print(said, end="" if said.endswith("\n") else "\n", flush=True)
    return said


def _run(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """What the command wrote to stdout; it reads no input, and its stderr is this process's."""
    done = subprocess.run(
        command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        raise DemoError(f"{' '.join(command)} ended with exit code {done.returncode}")
    return done.stdout


def _head(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _check(what: str, holds: bool) -> None:
    if not holds:
        raise DemoError(f"not so: {what}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="demo.py", description="Show the main job on a simulated server."
    )
    parser.add_argument("--jobs", type=int, default=200, help="how many to hold (default: 200)")
    given = parser.parse_args(argv)
    try:
        show(given.jobs)
    except (DemoError, SpallocError, OSError) as error:
        print(f"the demonstration failed: {error}", file=sys.stderr)
        return 1
    print("\nAll of it worked.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
