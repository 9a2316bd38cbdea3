"""The client without a hub tells what the other one tells, on both servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from spalloc_gevent.plain_client import PlainClient

from spalloc_gevent import JobState, ProtocolClient
from tests.contract.support import PATIENCE_S, Server, client_of, ready


@pytest.fixture
def plain(server: Server) -> Iterator[PlainClient]:
    with PlainClient(server.host, server.port, PATIENCE_S) as client:
        yield client


@pytest.fixture
def pooled(server: Server) -> Iterator[ProtocolClient]:
    with client_of(server) as client:
        yield client


def test_both_clients_tell_the_same_of_jobs_machines_and_places(
    server: Server, plain: PlainClient, pooled: ProtocolClient
) -> None:
    with ready(server, 3) as job:
        assert job.id is not None
        assert plain.version() == pooled.version()
        assert plain.list_jobs() == pooled.list_jobs()
        assert plain.list_machines() == pooled.list_machines()
        assert plain.get_job_state(job.id) == pooled.get_job_state(job.id)
        told, expected = (
            client.get_job_machine_info(job.id)["connections"] for client in (plain, pooled)
        )
        assert sorted(told or []) == sorted(expected or [])
        assert plain.where_is(machine="m", x=1, y=1, z=2) == pooled.where_is(
            machine="m", x=1, y=1, z=2
        )
        assert plain.get_board_position("m", 0, 0, 1) == pooled.get_board_position("m", 0, 0, 1)
        physical = plain.get_board_position("m", 0, 0, 1)
        assert physical is not None
        assert plain.get_board_at_position("m", *physical) == (0, 0, 1)
        assert plain.where_is(machine="nosuch", chip_x=0, chip_y=0) is None


def test_a_job_s_whole_life_is_steered_without_a_hub(plain: PlainClient) -> None:
    job_id = plain.create_job(1, owner="me", keepalive=None)
    plain.job_keepalive(job_id)
    plain.power_off_job_boards(job_id)
    plain.power_on_job_boards(job_id)
    plain.destroy_job(job_id, "Enough.")
    assert plain.get_job_state(job_id)["state"] == JobState.destroyed
    assert plain.get_job_state(job_id)["reason"] == "Enough."
    assert plain.get_job_state(job_id + 1000)["state"] == JobState.unknown


def test_a_request_that_the_server_would_not_survive_is_refused_here_too(
    plain: PlainClient,
) -> None:
    with pytest.raises(ValueError, match="only one of the two"):
        plain.create_job(owner="me", machine="m", tags=["default"])
    assert plain.list_jobs() == []
