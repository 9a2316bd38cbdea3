"""The log tells what happened, with job IDs, once each."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from spalloc_gevent import JobDestroyedError, JobState
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import await_true, in_thread, job_of
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import JobScript, ask, connected, ready_state
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer

ROOT = Path(__file__).resolve().parents[2]
KEEPALIVE_S = 0.5


@pytest.fixture
def script() -> JobScript:
    return JobScript()


@pytest.fixture
def server(script: JobScript) -> Iterator[ScriptedServer]:
    with ScriptedServer(script) as started:
        yield started


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_an_outage_is_told_once_and_so_is_its_end(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spalloc_gevent")
    with ChaosProxy(server) as proxy:
        jobs = [job_of(proxy, keepalive=KEEPALIVE_S, config_filenames=[]) for _ in range(3)]
        # Each is asked when it began; nothing is on its way after that.
        await_true(lambda: "0 in-flight" in repr(jobs[0]._client.session))
        proxy.refuse()
        proxy.cut(End.RST)
        # Long enough for every job to be late.
        await_true(lambda: len(told(caplog, logging.WARNING)) >= 4)
        before = proxy.counts["passed"]
        proxy.accept()
        proxy.wait_until(lambda: proxy.counts["passed"] >= before + 9)
        for job in jobs:
            job.destroy()
    warnings = told(caplog, logging.WARNING)
    assert len(warnings) == 4
    assert [w for w in warnings if "cannot connect" in w and f":{proxy.port}" in w] == warnings[:1]
    for number in (1, 2, 3):
        late = [w for w in warnings if f"job {number}: the keepalive is" in w and "too late" in w]
        assert len(late) == 1
    assert sum("answers again" in info for info in told(caplog, logging.INFO)) == 1
    assert told(caplog, logging.ERROR) == []


def test_a_server_that_accepts_and_hangs_up_is_no_flood_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ScriptedServer(lambda peer, _: peer.hang_up()) as server:
        with connected(server, wait_for_server=True) as client:
            client.session.pool.backoff.set_delay(0.05)
            crowd = [gevent.spawn(_swallow_errors, client, n) for n in range(30)]
            gevent.joinall(crowd, LONG_S, raise_error=True)
        assert len(server.peers) > 10
    assert len(told(caplog, logging.WARNING)) == 1


def _swallow_errors(client: object, number: int) -> None:
    try:
        ask(client, number)  # type: ignore[arg-type]
    except OSError:
        return


def test_a_lost_job_is_one_error_with_its_number_and_why(
    server: ScriptedServer, script: JobScript, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(peer: Peer, command: Command) -> bool:
        peer.answer(ready_state(state=JobState.destroyed, reason="somebody wanted its boards"))
        return True

    job = job_of(server, keepalive=KEEPALIVE_S, config_filenames=[])
    script.on_state = gone
    await_true(lambda: bool(told(caplog, logging.ERROR)))
    assert [job.state, job.state, job.reason] == [
        JobState.destroyed,
        JobState.destroyed,
        "somebody wanted its boards",
    ]
    job.destroy()
    assert told(caplog, logging.ERROR) == [f"job {job.id} is gone: somebody wanted its boards"]


def test_a_job_that_we_destroy_ourselves_is_not_told_as_lost(
    server: ScriptedServer, script: JobScript, caplog: pytest.LogCaptureFixture
) -> None:
    def told_late(peer: Peer, command: Command) -> bool:
        server.wait_until(lambda: server.counts["destroy_job"])
        peer.answer(ready_state(state=JobState.destroyed))
        return True

    job = job_of(server, keepalive=60.0, config_filenames=[])
    # Asked when it began, as every new job is.
    server.wait_until(lambda: server.counts["get_job_state"] == 1)
    script.on_state = told_late
    waiting = in_thread(job.wait_until_ready)
    server.wait_until(lambda: server.counts["get_job_state"] == 2)
    job.destroy()
    with pytest.raises(JobDestroyedError):
        waiting.result(LONG_S)
    assert told(caplog, logging.WARNING) == told(caplog, logging.ERROR) == []


def test_nothing_is_logged_above_debug_while_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "spalloc_gevent")
    with SimulatedServer() as server, job_of(server, keepalive=KEEPALIVE_S) as job:
        job.wait_until_ready(LONG_S)
        await_true(lambda: server.command_counts["get_job_state"] >= 4)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_importing_adds_no_handler_and_sets_no_level() -> None:
    program = """
import logging, pkgutil, importlib, spalloc_gevent
for module in pkgutil.walk_packages(spalloc_gevent.__path__, "spalloc_gevent."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
ours = [logger for logger in loggers if "spalloc" in logger.name]
print([logger.name for logger in [logging.root, *ours] if logger.handlers])
print({logger.level for logger in ours})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=LONG_S
    )
    assert (done.stdout, done.stderr) == ("[]\n{0}\n", "")


def test_debug_shows_the_wire() -> None:
    with SimulatedServer() as server:
        where = ["--hostname", server.host, "--port", str(server.port), "--owner", "me"]
        done = subprocess.run(
            [sys.executable, "-m", "spalloc_gevent", "alloc", *where, "--debug", "-c", "true"],
            cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == 0
    assert '-> b\'{"command": "create_job"' in done.stderr
    assert '<- b\'{"return": 1}' in done.stderr
