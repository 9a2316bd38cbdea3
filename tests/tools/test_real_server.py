"""The real server starts, stops, restarts and dies as told, and says why when it cannot start."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeRealServer
from tools.environments import ROOT
from tools.real_machine import Machine, machine_with_boards
from tools.real_server import (
    HOST,
    RealServer,
    RealServerError,
    ask,
    free_port,
    machine_from_text,
)

pytestmark = pytest.mark.real_server

_QUEUED, _POWER, _READY, _DESTROYED = 1, 2, 3, 4
_COMMAND = [sys.executable, str(ROOT / "tools" / "real_server.py")]


class Client:
    """One plain connection with one command in flight at a time."""

    def __init__(self, server: RealServer) -> None:
        self._socket = socket.create_connection((server.host, server.port), timeout=30)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def __call__(self, command: str, *args: object, **kwargs: object) -> Any:
        line = json.dumps({"command": command, "args": args, "kwargs": kwargs})
        self._socket.sendall(line.encode() + b"\n")
        return self.message()["return"]

    def message(self) -> Any:
        return json.loads(self._lines.readline())

    def state(self, job_id: int) -> int:
        state: int = self("get_job_state", job_id)["state"]
        return state


def wait_until(server: RealServer, job_id: int, wanted: int) -> None:
    with Client(server) as watch, Client(server) as client:
        watch("notify_job", job_id)
        while client.state(job_id) != wanted:
            watch.message()


def test_by_default_it_is_the_real_server_with_24_boards(real_server: RealServer) -> None:
    with Client(real_server) as client:
        assert client("version") == "1!7.0.0"
        (machine,) = client("list_machines")
    assert (machine["name"], machine["width"], machine["height"]) == ("m", 4, 2)
    assert machine["tags"] == ["default"]


def test_a_job_gets_boards_that_power_on(real_server: RealServer) -> None:
    with Client(real_server) as client:
        job_id = client("create_job", 24, owner="me")
        wait_until(real_server, job_id, _READY)
        assert len(client("get_job_machine_info", job_id)["boards"]) == 24


def test_machines_are_as_described(make_real_server: MakeRealServer) -> None:
    first = Machine("first", 2, 1, ("big", "default"), [(1, 0, 0)], [(0, 0, 0, 2)])
    server = make_real_server([first, Machine("second", 1, 1)])
    with Client(server) as client:
        told = client("list_machines")
        assert [machine["name"] for machine in told] == ["first", "second"]
        assert sorted(told[0]["tags"]) == ["big", "default"]
        assert told[0]["dead_boards"] == [[1, 0, 0]]
        assert told[0]["dead_links"] == [[0, 0, 0, 2]]
        assert client("get_board_position", "first", 0, 0, 2) == [0, 0, 2]
        assert client("get_board_position", "first", 1, 0, 0) is None


def test_it_reports_the_version_that_it_was_told_to(make_real_server: MakeRealServer) -> None:
    with Client(make_real_server(version="5.0.0")) as client:
        assert client("version") == "5.0.0"


def test_boards_stay_in_power_for_as_long_as_was_asked(make_real_server: MakeRealServer) -> None:
    server = make_real_server(power_seconds=3600.0)
    with Client(server) as client, Client(server) as watch:
        watch("notify_job")
        job_id = client("create_job", 1, owner="me")
        assert watch.message() == {"jobs_changed": [job_id]}
        assert client.state(job_id) == _POWER


def test_freed_boards_stay_away_for_as_long_as_was_asked(make_real_server: MakeRealServer) -> None:
    server = make_real_server(seconds_before_free=3600.0)
    with Client(server) as client:
        first = client("create_job", 24, owner="me")
        wait_until(server, first, _READY)
        client("destroy_job", first)
        assert client.state(client("create_job", 1, owner="me")) == _QUEUED


def test_freed_boards_come_back_at_once_by_default(real_server: RealServer) -> None:
    with Client(real_server) as client:
        first, second = (client("create_job", 24, owner="me") for _ in range(2))
        client("destroy_job", first)
    wait_until(real_server, second, _READY)


def test_a_job_that_is_not_kept_alive_expires_without_anybody_asking(
    real_server: RealServer,
) -> None:
    with Client(real_server) as client, Client(real_server) as watch:
        watch("notify_job")
        job_id = client("create_job", 1, owner="me", keepalive=0.1)
        while client("list_jobs"):
            watch.message()
        assert client("get_job_state", job_id)["reason"] == "Job timed out."


def test_jobs_survive_a_restart_on_the_same_port(real_server: RealServer) -> None:
    with Client(real_server) as client:
        job_id = client("create_job", 1, owner="me", keepalive=None)
    wait_until(real_server, job_id, _READY)
    port, pid = real_server.port, real_server.pid
    real_server.restart()
    assert (real_server.port, real_server.pid != pid) == (port, True)
    with Client(real_server) as client:
        assert [job["job_id"] for job in client("list_jobs")] == [job_id]
        client("power_on_job_boards", job_id)
    wait_until(real_server, job_id, _READY)


def test_a_cold_restart_knows_no_job_and_counts_from_one(real_server: RealServer) -> None:
    with Client(real_server) as client:
        assert client("create_job", 1, owner="me") == 1
    real_server.restart(cold=True)
    with Client(real_server) as client:
        assert client("list_jobs") == []
        assert client("create_job", 1, owner="me") == 1


def test_a_killed_server_refuses_connections_until_it_is_restarted(
    real_server: RealServer,
) -> None:
    real_server.kill()
    with pytest.raises(ConnectionRefusedError):
        Client(real_server)
    real_server.restart()
    with Client(real_server) as client:
        assert client("version") == "1!7.0.0"


def test_a_warm_server_goes_on_with_the_jobs_in_the_state_folder_and_a_cold_one_does_not(
    make_real_server: MakeRealServer, tmp_path: Path
) -> None:
    first = make_real_server(state_folder=tmp_path)
    with Client(first) as client:
        job_id = client("create_job", 1, owner="me", keepalive=None)
    first.stop()
    first.close()
    second = make_real_server(state_folder=tmp_path, warm=True)
    with Client(second) as client:
        assert [job["job_id"] for job in client("list_jobs")] == [job_id]
    second.stop()
    second.close()
    with Client(make_real_server(state_folder=tmp_path)) as client:
        assert client("list_jobs") == []


def test_a_server_is_started_only_once(real_server: RealServer) -> None:
    with pytest.raises(RealServerError, match="has been started already"):
        real_server.start()
    with Client(real_server) as client:
        assert client("version") == "1!7.0.0"


def test_several_servers_run_side_by_side(make_real_server: MakeRealServer) -> None:
    servers = [make_real_server() for _ in range(3)]
    assert len({server.port for server in servers}) == 3
    for server in servers:
        with Client(server) as client:
            wait_until(server, client("create_job", 24, owner="me"), _READY)


def test_1200_boards_hold_300_jobs(make_real_server: MakeRealServer) -> None:
    server = make_real_server([machine_with_boards(1200)])
    with Client(server) as client:
        job_ids = [client("create_job", 1, owner="me") for _ in range(300)]
    for job_id in job_ids:
        wait_until(server, job_id, _READY)


def test_a_taken_port_is_an_error_that_shows_the_log(make_real_server: MakeRealServer) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(RealServerError, match="Address already in use"):
            make_real_server(port=taken.getsockname()[1])


def test_a_machine_that_the_server_refuses_is_an_error_that_shows_the_log(
    make_real_server: MakeRealServer,
) -> None:
    with pytest.raises(RealServerError, match=r"Dead board \(9, 9, 0\) outside system"):
        make_real_server([Machine(dead_boards=[(9, 9, 0)])])


def test_a_server_that_was_closed_leaves_no_process_and_no_folder() -> None:
    with RealServer() as server:
        folder, pid = server.state_folder, server.pid
        assert server.log_tail()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.close()
    with pytest.raises(RealServerError, match="has not been started, or has been closed"):
        server.restart()


def test_a_free_port_is_not_one_that_an_outgoing_connection_may_get() -> None:
    port = free_port()
    assert 10_000 <= port < 32_768
    with socket.socket() as listener:
        listener.bind((HOST, port))


def test_the_command_prints_its_port_and_ends_on_sigterm_with_its_state_saved(
    tmp_path: Path,
) -> None:
    command = [*_COMMAND, "--boards=3", "--print-port", f"--state={tmp_path}", "--version=5.0.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert ask(HOST, port, "version") == "5.0.0"
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert list(tmp_path.glob(".*.state.*"))


def test_the_server_ends_when_the_command_is_killed(tmp_path: Path) -> None:
    command = [*_COMMAND, "--print-port", f"--state={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection((HOST, port)) as connection:
            process.send_signal(signal.SIGKILL)
            assert select.select([connection], [], [], 30)[0], "the server outlived its parent"


@pytest.mark.parametrize(
    "wrong", ["--machine=m", "--machine=m:4", "--machine=:4x2", "--machine=m:0x2", "--boards=no"]
)
def test_a_machine_that_cannot_be_understood_is_a_usage_error(wrong: str) -> None:
    done = subprocess.run([*_COMMAND, wrong], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_machine_on_the_command_line_may_have_tags() -> None:
    assert machine_from_text("big:8x4:a,b") == Machine("big", 8, 4, ("a", "b"))
    assert machine_from_text("big:8x4") == Machine("big", 8, 4, ("default",))
