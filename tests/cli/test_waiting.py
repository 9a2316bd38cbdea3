"""``spalloc-job --wait`` as a user sees it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from spalloc_gevent.scripts import job
from spalloc_gevent.scripts.jobs.subject import FORGOTTEN
from spalloc_gevent.simulator import Silence, SimulatedServer
from spalloc_gevent.states import JobState
from tests.cli.desk import Desk, MakeDesk
from tests.cli.desk import desk_fixture as desk_fixture
from tests.cli.desk import make_desk_fixture as make_desk_fixture
from tests.cli.desk import make_simulated_desk_fixture as make_simulated_desk_fixture
from tests.cli.desk import simulated_desk_fixture as simulated_desk_fixture
from tests.cli.emulator import windows_fixture as windows_fixture
from tests.cli.piped import Piped
from tests.cli.terminal import eventually


def started_wait(desk: Desk, job_id: int, *arguments: object) -> Piped:
    """``spalloc-job --wait``, once the server has been asked."""
    return Piped(desk.shell.start("job", str(job_id), *map(str, arguments)))


def full_desk_and_queued_job(desk: Desk) -> tuple[int, int]:
    """The IDs of a job that has all boards and of one that waits for some."""
    return desk.create_ready_job(4, 2), desk.create_job(1)


def test_state_that_is_there_already_is_not_waited_for(desk: Desk) -> None:
    ready = desk.create_ready_job(1)
    ended = desk.run(job.main, ready, "--wait", "ready")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_state_is_waited_for_without_a_word(desk: Desk) -> None:
    blocking, queued = full_desk_and_queued_job(desk)
    waiting = started_wait(desk, queued, "--wait", "ready")
    desk.client.destroy_job(blocking)
    assert waiting.wait() == 0
    assert (waiting.out, waiting.err) == ("", "")
    assert [told["state"] for told in desk.client.list_jobs()] == [JobState.ready]


def test_end_of_a_job_can_be_waited_for(desk: Desk) -> None:
    held = desk.create_ready_job(1)
    waiting = started_wait(desk, held, "--wait", "destroyed")
    desk.client.destroy_job(held)
    assert waiting.wait() == 0


def test_power_is_a_state_to_wait_for(make_desk: MakeDesk) -> None:
    desk = make_desk(power_seconds=60.0)
    powering = desk.create_job(1)
    assert desk.run(job.main, powering, "--wait", "power").code == 0


def test_action_comes_after_the_wait(desk: Desk) -> None:
    blocking, queued = full_desk_and_queued_job(desk)
    waiting = started_wait(desk, queued, "--wait", "ready", "--ethernet-ips")
    desk.client.destroy_job(blocking)
    assert waiting.wait() == 0
    assert waiting.out.startswith("x,y,hostname\n0,0,")


@pytest.mark.parametrize("flag", ["--info", "--json"])
def test_what_is_shown_after_a_wait_is_shown_on_request_only(desk: Desk, flag: str) -> None:
    held = desk.create_ready_job(1)
    assert desk.run(job.main, held, "--wait", "ready").out == ""
    assert "ready" in desk.run(job.main, held, "--wait", "ready", flag).out


def test_only_job_of_the_owner_is_waited_for_without_an_id(desk: Desk) -> None:
    desk.create_ready_job(1, owner="me")
    assert desk.run(job.main, "--owner", "me", "--wait", "ready").code == 0


def test_state_that_does_not_come_in_time_is_exit_code_10(desk: Desk) -> None:
    _, queued = full_desk_and_queued_job(desk)
    for seconds in ("0", "0.2"):
        ended = desk.run(job.main, queued, "--wait", "ready", "--wait-timeout", seconds)
        assert (ended.code, ended.out) == (10, "")
        assert ended.err == f"Job {queued} was not ready within {seconds} s: it is queued\n"


@pytest.mark.parametrize("wanted", ["queued", "power", "ready"])
def test_state_that_a_destroyed_job_will_not_have_any_more_is_exit_code_11(
    desk: Desk, wanted: str
) -> None:
    ended_job = desk.create_ready_job(1)
    desk.client.destroy_job(ended_job, "Enough.")
    ended = desk.run(job.main, ended_job, "--wait", wanted)
    assert (ended.code, ended.out) == (11, "")
    assert ended.err == (
        f"Job {ended_job} is destroyed (Enough.): it can no longer become {wanted}\n"
    )


def test_job_that_is_destroyed_while_it_is_waited_for_is_exit_code_11(desk: Desk) -> None:
    _, queued = full_desk_and_queued_job(desk)
    waiting = started_wait(desk, queued, "--wait", "ready")
    desk.client.destroy_job(queued, "Enough.")
    assert waiting.wait() == 11
    assert waiting.err == (
        f"Job {queued} is destroyed (Cancelled: Enough.): it can no longer become ready\n"
    )


def test_job_that_has_left_the_queue_is_never_queued_again(desk: Desk) -> None:
    ready = desk.create_ready_job(1)
    ended = desk.run(job.main, ready, "--wait", "queued")
    assert (ended.code, ended.err) == (
        11,
        f"Job {ready} is ready: it can no longer become queued\n",
    )


@pytest.mark.parametrize("wanted", ["ready", "destroyed"])
def test_unknown_job_is_exit_code_11(desk: Desk, wanted: str) -> None:
    ended = desk.run(job.main, 99, "--wait", wanted)
    assert (ended.code, ended.err) == (
        11,
        f"Job 99 is unknown: it can no longer become {wanted}\n",
    )


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupted_wait_is_silent_and_leaves_the_job_alone(
    simulated_desk: Desk, signum: int, code: int
) -> None:
    _, queued = full_desk_and_queued_job(simulated_desk)
    waiting = started_wait(simulated_desk, queued, "--wait", "ready")
    assert isinstance(simulated_desk.server, SimulatedServer)
    seen = simulated_desk.server
    eventually(lambda: "notify_job" in [c.name for c in seen.commands_seen[-20:]], "the wait")
    eventually(lambda: seen.commands_seen.count("list_jobs") >= 2, "a look from within the wait")
    waiting.process.send_signal(signum)
    assert waiting.wait() == code
    assert (waiting.out, waiting.err) == ("", "")
    assert len(simulated_desk.client.list_jobs()) == 2


def test_server_that_never_answers_does_not_keep_ctrl_c_out(simulated_desk: Desk) -> None:
    blocking, queued = full_desk_and_queued_job(simulated_desk)
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    waiting = started_wait(simulated_desk, queued, "--wait", "ready", "--timeout", -1)
    eventually(lambda: server.commands_seen.count("list_jobs") >= 2, "a look from within the wait")
    looks = server.commands_seen.count("list_jobs")
    server.set_faults([Silence(on="list_jobs", times=None)])
    simulated_desk.client.destroy_job(blocking)
    eventually(lambda: server.commands_seen.count("list_jobs") > looks, "another look")
    assert waiting.interrupt() == 130


def test_wait_outlives_a_restart_of_the_server(desk: Desk) -> None:
    blocking, queued = full_desk_and_queued_job(desk)
    waiting = started_wait(desk, queued, "--wait", "ready", "--color", "always")
    eventually(lambda: sockets_of(waiting.process.pid) >= 2, "a connection for notifications")
    desk.server.stop()
    waiting.read_until(lambda piped: "trying again" in piped.err, "trouble")
    desk.server.restart()
    desk.client.destroy_job(blocking)
    assert waiting.wait() == 0
    assert waiting.out == ""
    assert waiting.err.startswith("\x1b[33mspalloc-job: trying again: Error communicating with")


def sockets_of(pid: int) -> int:
    """How many sockets a process has open."""
    found = 0
    for file in list(Path(f"/proc/{pid}/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # It has just been closed.
            found += os.readlink(file).startswith("socket:")
    return found


def test_job_that_took_the_id_after_a_cold_start_is_not_the_one_waited_for(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    _, queued = full_desk_and_queued_job(desk)
    waiting = started_wait(desk, queued, "--wait", "ready")
    server = desk.server
    assert isinstance(server, SimulatedServer)
    eventually(lambda: server.commands_seen.count("list_jobs") >= 2, "a look from within the wait")
    server.stop()
    waiting.read_until(lambda piped: "trying again" in piped.err, "trouble")
    server.restart(cold=True)
    for _ in range(queued):
        desk.create_job(1, owner="somebody")
    assert waiting.wait() == 11
    known = f"Job {queued} is unknown"
    assert waiting.err.splitlines()[-1] in (
        f"{known} ({FORGOTTEN}): it can no longer become ready",
        # It was looked for before there was another one.
        f"{known}: it can no longer become ready",
    )


def test_waiting_never_names_a_live_job(simulated_desk: Desk) -> None:
    blocking, queued = full_desk_and_queued_job(simulated_desk)
    waiting = started_wait(simulated_desk, queued, "--wait", "ready")
    server = simulated_desk.server
    assert isinstance(server, SimulatedServer)
    eventually(lambda: server.commands_seen.count("list_jobs") >= 2, "a look from within the wait")
    simulated_desk.client.destroy_job(blocking)
    assert waiting.wait() == 0
    assert simulated_desk.naming(queued) == []
