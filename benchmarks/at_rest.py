"""A real server as every measurement wants it: without jobs, and with nothing left to do."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from benchmarks.raw_sockets import RawSockets
from tools import existing_client
from tools.costs import cpu_s
from tools.real_machine import machine_with_boards
from tools.real_server import RealServer

POOL = 8
"""As many raw sockets as the client's pool has connections."""
BOARDS = 1200
REST_S = 0.3


def big_server() -> AbstractContextManager[RealServer]:
    """One that the existing client agrees to talk to."""
    return RealServer(
        [machine_with_boards(BOARDS)],
        timeout_check_s=0.5,
        version=existing_client.UNDERSTOOD_VERSION,
    )


def empty(server: RealServer) -> None:
    """Destroy every job, and wait until the server has nothing left to do."""
    destroy_all(server.host, server.port)
    rest(server.pid)


def destroy_all(host: str, port: int) -> None:
    with RawSockets(host, port, POOL) as sockets:
        sockets.run([("destroy_job", (job_id,), {}) for job_id in live_jobs(sockets)])


def live_jobs(sockets: RawSockets) -> set[int]:
    """list_jobs, because it keeps no job alive: asking after each would hide a lost one."""
    (jobs,) = sockets.run([("list_jobs", (), {})])
    return {job["job_id"] for job in jobs}


def rest(pid: int) -> None:
    """Wait until a process hardly uses CPU time any more."""
    while _works_on(pid):
        pass


def _works_on(pid: int) -> bool:
    before_s = cpu_s(pid)
    time.sleep(REST_S)
    return cpu_s(pid) - before_s > 0.05 * REST_S
