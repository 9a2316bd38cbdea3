"""What tools/pictures.py makes, in an environment that has the package and the emulator.

The commands are real, and so is what they show; the server is simulated. All but the times of day
is the same each time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from spalloc_gevent.protocol_client import ProtocolClient
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.states import JobState
from tools.emulator import Window
from tools.environments import ROOT
from tools.screenshot import drawn
from tools.terminal import Terminal

MACHINE = MachineSpec(
    "my-machine",
    6,
    4,
    dead_boards=[(4, 0, 1)],
    dead_links=[(1, 1, 0, 2), (5, 2, 0, 1), (0, 3, 2, 2)],
)
REQUESTS = (
    ("ada@example.org", (2, 2)),
    ("grace@example.org", (1,)),
    ("alan@example.org", (3, 1)),
    ("ci@example.org", (1,)),
    ("ci@example.org", (1,)),
    ("ci@example.org", (1,)),
    ("grace@example.org", (2, 1)),
    ("barbara@example.org", (2, 2)),
    ("ada@example.org", (4, 4)),
)
"""Owners, and what each asked for; there is no room for the last one."""
POWERED_OFF = 2
"""The ID of the job whose boards are off."""
COLUMNS, LINES = 102, 12


def make(folder: Path) -> None:
    with SimulatedServer([MACHINE]) as server:
        with ProtocolClient(server.host, server.port, 20.0) as client:
            _occupy(client)
        environ = _environ_for(server)
        _draw_machine(folder / "machine.svg", environ)
        (folder / "ps-watch.svg").write_text(_watched(environ), "ascii")


def _occupy(client: ProtocolClient) -> None:
    for owner, what in REQUESTS:
        client.create_job(*what, owner=owner, keepalive=60.0)
    client.power_off_job_boards(POWERED_OFF)
    client.notify_job()
    while any(job["state"] == JobState.power for job in client.list_jobs()):
        client.wait_for_notification(20.0)


def _environ_for(server: SimulatedServer) -> Mapping[str, str]:
    """One in which the commands find the package, the server and nobody's configuration."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": os.devnull,
        "XDG_CONFIG_HOME": os.devnull,
        "XDG_CONFIG_DIRS": os.devnull,
        "SPALLOC_HOSTNAME": server.host,
        "SPALLOC_PORT": str(server.port),
        "TZ": "UTC",
    }


def _draw_machine(target: Path, environ: Mapping[str, str]) -> None:
    command = [*_command("machine"), MACHINE.name, "--svg", str(target)]
    subprocess.run(command, env=dict(environ), stdin=subprocess.DEVNULL, check=True)


def _watched(environ: Mapping[str, str]) -> str:
    terminal = Terminal([*_command("ps"), "--watch"], environ, columns=COLUMNS, lines=LINES)
    with closing(terminal):
        window = Window(terminal, COLUMNS, LINES)
        window.wait_for("q quits")
        picture = drawn(window.runs(), COLUMNS, "$ spalloc-ps --watch", str(window))
        window.type("q")
        if code := window.wait():
            raise SystemExit(f"spalloc-ps ended with exit code {code}:\n{terminal.screen}")
    return picture


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "spalloc_gevent", name]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="pictures.py", description="Make the pictures of the README."
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "docs", help="where they go (default: docs)"
    )
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
