"""A wait sees everything, whatever happens to the link meanwhile, and can be ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import gevent
import pytest

from spalloc_gevent import Job, JobState
from spalloc_gevent.errors import ClosedError
from spalloc_gevent.job import life
from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.transport import subscriptions
from tests.contract.support import ONE_TRIAD, await_true, destroy_from_elsewhere, in_thread, job_of
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import JobScript, connected, ready_state
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_safety_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noticed has been told; nobody looks now and then."""
    monkeypatch.setattr(life, "SAFETY_REFRESH_S", 100 * LONG_S)


def waiting_for_the_end(job: Job, proxy: ChaosProxy) -> Callable[[], JobState]:
    """Begin to wait, and return what gives the outcome, once the server has been asked to tell."""
    outcome = in_thread(lambda: job.wait_for_state_change(JobState.ready))
    proxy.wait_until(lambda: any(seen.asks("notify_job") for seen in list(proxy.seen)))
    return lambda: outcome.result(LONG_S)


def ready_job(proxy: ChaosProxy, server: SimulatedServer) -> Job:
    job = job_of(proxy, keepalive=60.0, config_filenames=[])
    assert job.state is JobState.ready
    return job


@pytest.mark.parametrize("end", list(End))
def test_a_change_while_the_link_was_down_is_noticed_after_it(
    server: SimulatedServer, proxy: ChaosProxy, no_safety_refresh: None, end: End
) -> None:
    job = ready_job(proxy, server)
    ended = waiting_for_the_end(job, proxy)
    proxy.refuse()
    proxy.cut(end)
    destroy_from_elsewhere(server, job.id, "meanwhile")
    proxy.accept()
    assert ended() is JobState.destroyed
    assert job.reason == "meanwhile"
    job.close()


def test_a_change_after_a_restart_is_noticed(
    server: SimulatedServer, proxy: ChaosProxy, no_safety_refresh: None
) -> None:
    job = ready_job(proxy, server)
    ended = waiting_for_the_end(job, proxy)
    for _ in range(3):
        server.restart()
    destroy_from_elsewhere(server, job.id, "afterwards")
    assert ended() is JobState.destroyed
    job.close()


def test_many_cuts_in_a_row_end_no_wait(
    server: SimulatedServer, proxy: ChaosProxy, no_safety_refresh: None
) -> None:
    job = ready_job(proxy, server)
    ended = waiting_for_the_end(job, proxy)
    for number in range(10):
        made = proxy.counts["made"]
        proxy.cut(list(End)[number % 2])
        proxy.wait_until(lambda made=made: proxy.counts["made"] > made)  # type: ignore[misc]
    destroy_from_elsewhere(server, job.id, "at last")
    assert ended() is JobState.destroyed
    job.close()


def test_a_frozen_connection_for_notifications_is_found_out(
    server: SimulatedServer,
    proxy: ChaosProxy,
    no_safety_refresh: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriptions, "PROBE_AFTER_S", 0.1)
    monkeypatch.setattr(subscriptions, "ANSWER_WITHIN_S", 0.2)
    job = ready_job(proxy, server)
    ended = waiting_for_the_end(job, proxy)
    proxy.freeze()
    destroy_from_elsewhere(server, job.id, "unheard")
    # Never thawed: only another connection can tell.
    assert ended() is JobState.destroyed
    job.close()


def test_a_notification_that_is_lost_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "SAFETY_REFRESH_S", 0.05)
    script, over = JobScript(), threading.Event()

    def state(peer: Peer, command: Command) -> bool:
        is_over = over.is_set()
        if is_over:
            peer.answer(ready_state(state=JobState.destroyed, reason="unannounced"))
        return is_over

    script.on_state = state
    with ScriptedServer(script) as server:
        job = job_of(server, keepalive=None, config_filenames=[])
        outcome = in_thread(lambda: job.wait_for_state_change(JobState.ready))
        server.wait_until(lambda: server.counts["get_job_state"] >= 3)
        over.set()
        assert outcome.result(LONG_S) is JobState.destroyed
        job.close()


# -- waits that another thread ends ----------------------------------------------------------


@pytest.mark.parametrize("end", [Job.destroy, Job.close])
def test_ending_a_job_in_one_thread_wakes_all_who_wait_for_it_in_others(
    server: SimulatedServer, proxy: ChaosProxy, no_safety_refresh: None, end: Callable[[Job], None]
) -> None:
    job = ready_job(proxy, server)

    def wait() -> str:
        try:
            return job.wait_for_state_change(JobState.ready).name
        except ClosedError:
            return "closed"

    in_threads = [in_thread(wait) for _ in range(20)]
    in_greenlets = [gevent.spawn(wait) for _ in range(20)]
    gevent.sleep(0)
    proxy.wait_until(lambda: any(seen.asks("notify_job") for seen in list(proxy.seen)))
    ended = in_thread(lambda: end(job))
    # First, as it is their hub that has them leave the connections to others.
    gevent.joinall(in_greenlets, LONG_S, raise_error=True)
    ended.result(LONG_S)
    expected = "destroyed" if end is Job.destroy else "closed"
    told = [outcome.result(LONG_S) for outcome in in_threads]
    assert told + [greenlet.value for greenlet in in_greenlets] == [expected] * 40


def test_closing_a_client_wakes_who_waits_for_a_notification(proxy: ChaosProxy) -> None:
    with connected(proxy) as client:
        client.notify_job()
        outcome = in_thread(client.wait_for_notification)
        waits = gevent.spawn(client.wait_for_notification)
        gevent.sleep(0)
        in_thread(client.close).result(LONG_S)
        with pytest.raises(ClosedError):
            waits.get(timeout=LONG_S)
        with pytest.raises(ClosedError):
            outcome.result(LONG_S)


# -- Ctrl+C ------------------------------------------------------------------------------------

INTERRUPTED = """
{first}
import sys
from spalloc_gevent import Job, JobState, ProtocolClient
host, port = sys.argv[1], int(sys.argv[2])
def job(*what):
    return Job(*what, hostname=host, port=port, owner="me", keepalive=60.0, config_filenames=[])
{before}
try:
    print("waiting", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted")
{after}
"""
WAITS = {
    "wait_until_ready": ("first, j = job(3), job(3)", "j.wait_until_ready()", "j.destroy()"),
    "wait_for_state_change": ("j = job()", "j.wait_for_state_change(j.state)", "j.destroy()"),
    "entering": ("first = job(3)", "job(3).__enter__()", ""),
    "wait_for_notification": (
        "c = ProtocolClient(host, port).open(); c.notify_job()",
        "c.wait_for_notification()",
        "c.close()",
    ),
}
SILENT = {
    "constructing": ("", "job()", ""),
    "calling": ("c = ProtocolClient(host, port).open()", "c.list_jobs()", "c.close()"),
    "subscribing": ("c = ProtocolClient(host, port).open()", "c.notify_job()", "c.close()"),
}
FIRST = {"plain": "", "patched": "from gevent import monkey; monkey.patch_all()"}


def interrupt(server: SimulatedServer | ScriptedServer, first: str, what: tuple[str, ...]) -> str:
    before, wait, after = what
    program = INTERRUPTED.format(first=first, before=before, wait=wait, after=after)
    process = subprocess.Popen(
        [sys.executable, "-c", program, server.host, str(server.port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    await_true(lambda: asleep(process.pid))
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=2 * LONG_S)
    # Patched, gevent itself prints a line when an interrupt meets its loop.
    assert "Traceback" not in complaints
    return said


def asleep(pid: int) -> bool:
    """True once the main thread waits."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("first", list(FIRST))
@pytest.mark.parametrize("name", list(WAITS))
def test_ctrl_c_ends_every_wait(name: str, first: str) -> None:
    with SimulatedServer(ONE_TRIAD) as server:
        assert interrupt(server, FIRST[first], WAITS[name]) == "interrupted\n"


@pytest.mark.parametrize("first", list(FIRST))
@pytest.mark.parametrize("name", list(SILENT))
def test_ctrl_c_ends_every_wait_for_a_server_that_is_silent(name: str, first: str) -> None:
    with ScriptedServer(lambda *_: None) as server:
        assert interrupt(server, FIRST[first], SILENT[name]) == "interrupted\n"
