"""The whole public API and every command on a server that differs as the Java server does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from spalloc_gevent import JobDestroyedError, JobState, SpallocServerException
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.simulator.faults import NotificationFlood, Split
from spalloc_gevent.transport.subscriptions import MAX_SINGLE
from tests.contract.support import await_true, destroy_from_elsewhere, in_thread, job_of
from tests.faults.proxy import ChaosProxy
from tests.faults.support import connected
from tests.transport.scripted_server import LONG_S

ROOT = Path(__file__).resolve().parents[2]

ODD_TIMES = (
    # From another thread: before the answer to notify_job, and after that to no_notify_job.
    NotificationFlood(3, on="notify_job", times=None),
    NotificationFlood(3, on="no_notify_job", times=None),
    NotificationFlood(3, on="notify_machine", times=None),
    # Raw UTF-8 in pieces: characters are cut in two.
    Split((1, 2, 3, 5, 7), 0.0, on="get_job_state", times=None),
)


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer([MachineSpec("m", 4, 2)], dialect="java", faults=ODD_TIMES) as started:
        yield started
        assert started.max_in_flight <= 1


def test_a_job_lives_its_whole_life(server: SimulatedServer) -> None:
    job = job_of(server, 3, config_filenames=[])
    with job:
        assert (job.state, job.power, job.reason) == (JobState.ready, True, None)
        assert (job.width, job.height, job.machine_name) == (16, 16, "m")
        assert job.boards == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
        connections = job.connections
        assert connections is not None
        assert len(connections) == 3
        assert job.hostname == connections[0, 0]
        assert job.where_is_machine(0, 0) == (0, 0, 0)
        with pytest.raises(ValueError, match="has no chip"):
            job.where_is_machine(500, 500)
        job.set_power(False)
        job.wait_until_ready(LONG_S)
        powers = [job.power]
        job.reset()
        job.wait_until_ready(LONG_S)
        powers.append(job.power)
        assert powers == [False, True]
    assert job.state is JobState.destroyed


def test_a_queued_job_tells_nothing_and_then_everything(server: SimulatedServer) -> None:
    everything = job_of(server, 4, 2, config_filenames=[])
    everything.wait_until_ready(LONG_S)
    queued = job_of(server, config_filenames=[])
    assert (queued.state, queued.power, queued.reason) == (JobState.queued, None, None)
    assert (queued.boards, queued.connections, queued.hostname, queued.width) == (None,) * 4
    waiting = in_thread(lambda: queued.wait_until_ready(LONG_S))
    everything.destroy()
    waiting.result(LONG_S)
    assert queued.boards is not None
    queued.destroy()


def test_a_job_is_resumed_with_its_interval_and_not_with_a_time_stamp(
    server: SimulatedServer,
) -> None:
    job = job_of(server, keepalive=1.0, config_filenames=[])
    job.close()
    asked = server.command_counts["get_job_state"]
    resumed = job_of(server, resume_job_id=job.id, config_filenames=[])
    await_true(lambda: server.command_counts["get_job_state"] >= asked + 5)
    assert resumed.state is JobState.ready
    resumed.destroy()


def test_reasons_are_told(server: SimulatedServer) -> None:
    job = job_of(server, config_filenames=[])
    job.wait_until_ready(LONG_S)
    ended = in_thread(lambda: job.wait_for_state_change(JobState.ready))
    destroy_from_elsewhere(server, job.id, "maintenance, dépêchez-vous")
    assert ended.result(LONG_S) is JobState.destroyed
    assert job.reason == "maintenance, dépêchez-vous"
    with pytest.raises(JobDestroyedError, match="dépêchez-vous"):
        job_of(server, resume_job_id=job.id, config_filenames=[])
    job.close()


def test_an_unknown_job_is_unknown(server: SimulatedServer) -> None:
    with pytest.raises(JobDestroyedError, match="not known"):
        job_of(server, resume_job_id=999, config_filenames=[])
    with connected(server) as client:
        assert client.get_job_state(999)["state"] == JobState.unknown
        assert set(client.get_job_machine_info(999).values()) == {None}


def test_what_can_never_be_met_is_refused_clearly(server: SimulatedServer) -> None:
    with pytest.raises(SpallocServerException, match="no machine available"):
        job_of(server, machine="nowhere", config_filenames=[])
    with pytest.raises(ValueError, match="no machine can hold 1000 boards"):
        job_of(server, 1000, config_filenames=[])
    with pytest.raises(SpallocError, match="owner"):
        job_of(server, owner="dépêche", config_filenames=[])


def test_every_method_of_the_client_works(server: SimulatedServer) -> None:
    with connected(server) as client:
        assert client.version() == "5.0.0"
        job_id = client.create_job(1, owner="me", keepalive=60.0)
        assert client.get_job_state(job_id)["reason"] is None
        await_true(lambda: client.get_job_state(job_id)["state"] == JobState.ready)
        assert client.get_job_machine_info(job_id)["machine_name"] == "m"
        client.job_keepalive(job_id)
        client.power_off_job_boards(job_id)
        client.power_on_job_boards(job_id)
        (listed,) = client.list_jobs()
        assert (listed["job_id"], listed["owner"], listed["args"]) == (job_id, "me", [1])
        (machine,) = client.list_machines()
        assert machine["name"] == "m"
        position = client.get_board_position("m", 1, 0, 2)
        assert position is not None
        assert client.get_board_at_position("m", *position) == [1, 0, 2]
        assert client.get_board_position("nowhere", 0, 0, 0) is None
        found = client.where_is(machine="m", x=1, y=0, z=2)
        assert found is not None
        assert found["logical"] == [1, 0, 2]
        assert client.where_is(machine="nowhere", x=0, y=0, z=0) is None
        assert client.where_is(job_id=999, chip_x=0, chip_y=0) is None
        client.destroy_job(job_id, "done")
        assert client.get_job_state(job_id)["reason"] == "done"
        assert client.call("report_problem", "10.0.0.1", x=0, y=0, description="hot") is None
        client.report_problem("10.0.0.1", 0, 0, description="hot")
        with pytest.raises(SpallocServerException):
            client.call("no_such_command")
        assert client.version() == "5.0.0"


def test_notifications_at_odd_times_are_heard_and_harm_no_answer(server: SimulatedServer) -> None:
    with connected(server) as client:
        client.notify_job()
        client.notify_machine("m")
        job_id = client.create_job(1, owner="me", keepalive=60.0)
        heard: set[int] = set()
        while job_id not in heard:
            told = client.wait_for_notification(LONG_S)
            assert told is not None
            heard.update(told.get("jobs_changed", ()))
        client.no_notify_job()
        client.no_notify_machine("m")
        assert client.version() == "5.0.0"


def test_one_subscription_serves_many_jobs(server: SimulatedServer) -> None:
    with ChaosProxy(server) as proxy:
        jobs = [job_of(proxy, keepalive=60.0, config_filenames=[]) for _ in range(20)]
        for job in jobs:
            job.wait_until_ready(LONG_S)
        waits = [in_thread(partial(job.wait_for_state_change, JobState.ready)) for job in jobs]
        # The one for all, which takes in those that are still to come.
        proxy.wait_until(
            lambda: any(s.asks("notify_job") and b'"args": []' in s.line for s in list(proxy.seen))
        )
        for job in jobs:
            destroy_from_elsewhere(server, job.id, "all of them")
        assert {wait.result(LONG_S) for wait in waits} == {JobState.destroyed}
        asked = [s.line for s in list(proxy.seen) if s.asks("notify_job")]
        # Renewed for those that may have been made after it, and no job by itself any more.
        assert sum(b'"args": []' not in line for line in asked) <= MAX_SINGLE
        assert b'"args": []' in asked[-1]
        for job in jobs:
            job.close()


def test_every_line_goes_out_whole_in_one_go_and_none_is_blank(server: SimulatedServer) -> None:
    with ChaosProxy(server) as proxy:
        job = job_of(proxy, owner="x" * 5000, config_filenames=[])
        job.close()
        assert all(seen.line.startswith(b"{") for seen in proxy.commands)


COMMANDS = (
    ["ps"],
    ["ps", "--json"],
    ["machine"],
    ["machine", "m"],
    ["machine", "m", "--detailed"],
    ["job", "1"],
    ["job", "1", "--ethernet-ips"],
    ["job", "1", "--report", "0", "0", "hot"],
    ["job", "1", "--power-off"],
    ["job", "1", "--reset"],
    ["where-is", "--board", "m", "0", "0", "0"],
    ["where-is", "--physical", "m", "0", "0", "0"],
    ["where-is", "--chip", "m", "0", "0"],
    ["where-is", "--job-chip", "1", "0", "0"],
    ["alloc", "2", "-c", "true"],
    ["alloc", "--resume", "1", "-c", "true", "--no-destroy"],
    ["batch", "-j", "2", "cases"],
    ["job", "1", "--destroy", "because"],
)


def test_every_command_works(server: SimulatedServer, tmp_path: Path) -> None:
    with connected(server) as client:
        assert client.create_job(3, owner="me", keepalive=600.0) == 1
    (tmp_path / "cases").write_text("one true\ntwo true\nthree true\n")
    where = ["--hostname", server.host, "--port", str(server.port)]
    for name, *arguments in COMMANDS:
        owner = ["--owner", "me"] if name in ("alloc", "batch") else []
        done = subprocess.run(
            [sys.executable, "-m", "spalloc_gevent", name, *where, *owner, *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=LONG_S, stdin=subprocess.DEVNULL,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, (name, arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
