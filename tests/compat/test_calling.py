"""Calls as programs for 1!7.0 and 1!7.4 of the existing client write them, on the real server."""

from __future__ import annotations

import pytest

from spalloc_gevent import Job, JobState, ProtocolClient, ProtocolTimeoutError
from spalloc_gevent.simulator import Silence, SimulatedServer
from tools.real_server import RealServer

pytestmark = pytest.mark.real_server


def test_timeout_in_front_of_a_commands_arguments_is_no_argument(real_server: RealServer) -> None:
    with ProtocolClient(real_server.host, real_server.port) as client:
        assert client.create_job(None, 3, owner="me", keepalive=None) == 1
        assert client.create_job(60.0, 1, owner="me", keepalive=None) == 2
        assert client.call("create_job", 60.0, 1, 1, owner="me", keepalive=None) == 3
        assert [job["args"] for job in client.list_jobs()] == [[3], [1], [1, 1]]
        assert client.call("version", None) == client.call("version", 60.0) == client.version()
        for arguments in ((60.0, 2), (None, 2), (2,)):
            assert client.call("get_job_state", *arguments)["keepalive"] is None
        client.call("notify_job", None, 2)
        client.call("destroy_job", 60.0, 2, reason="over")
        assert client.wait_for_notification(60.0) == {"jobs_changed": [2]}
        assert client.get_job_state(2)["reason"] == "over"


def test_where_is_takes_a_jobs_chip_by_position_and_by_name(real_server: RealServer) -> None:
    with ProtocolClient(real_server.host, real_server.port) as client:
        job_id = client.create_job(3, owner="me", keepalive=None)
        with Job(resume_job_id=job_id, hostname=real_server.host, port=real_server.port) as job:
            expected = client.where_is(job_id=job_id, chip_x=4, chip_y=8)
            assert expected is not None
            assert job.state is JobState.ready
            assert client.where_is(job_id, 4, 8) == expected
            assert client.where_is(job_id, 4, 8, 60.0) == expected
            assert client.where_is(job_id, chip_x=4, chip_y=8, timeout=60.0) == expected
            assert client.where_is(60.0, job_id=job_id, chip_x=4, chip_y=8) == expected
            with pytest.raises(TypeError):
                client.where_is(job_id, 4, 8, machine="m")


def test_timeout_in_front_is_kept() -> None:
    with (
        SimulatedServer(faults=[Silence(times=None)]) as server,
        ProtocolClient(server.host, server.port) as client,
    ):
        for call in (
            lambda: client.call("list_jobs", 0.05),
            lambda: client.create_job(0.05, 1, owner="me", keepalive=None),
            lambda: client.where_is(0.05, machine="m", x=0, y=0, z=0),
            lambda: client.where_is(1, 0, 0, 0.05),
        ):
            with pytest.raises(ProtocolTimeoutError):
                call()


def test_use_config_stands_for_what_is_not_given(
    real_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPALLOC_OWNER", "somebody")
    address = {"hostname": real_server.host, "port": real_server.port}
    either = "USE_CONFIG"
    with Job(owner=either, tags=either, keepalive=either, **address) as job:  # type: ignore[arg-type]
        with ProtocolClient(real_server.host, real_server.port) as client:
            (listed,) = client.list_jobs()
        assert (listed["job_id"], listed["owner"], listed["keepalive"]) == (job.id, "somebody", 60)
