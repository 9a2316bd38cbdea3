"""Runs spalloc_server in its own environment; the only file here that imports it.

Started by tools/real_server.py, never by hand.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import processes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--power-seconds", type=float, required=True)
    parser.add_argument("--reported-version")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--announce-fd", type=int, required=True)
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s: %(levelname)s: %(message)s")
    stop = processes.stop_on_signals()
    # Importing it opens its own job log in the current folder, which is the state folder.
    from spalloc_server import server as spalloc_server  # type: ignore[import-not-found]
    from spinnman import transceiver  # type: ignore[import-not-found]

    # The transceiver took the name with `from ... import`, so it is there that it is replaced.
    transceiver.BMP_POST_POWER_ON_SLEEP_TIME = arguments.power_seconds
    if arguments.reported_version is not None:
        spalloc_server.__version__ = arguments.reported_version
    server = spalloc_server.SpallocServer(
        arguments.config, cold_start=arguments.cold, port=arguments.port
    )
    processes.announce(arguments.announce_fd, "serving")
    if not processes.serve_until_stopped(arguments.parent_pid, stop):
        os._exit(1)  # nobody is left to want the state, and a clean stop may take long
    server.stop_and_join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
