"""A server that tells a job's state that this client does not know."""

from __future__ import annotations

from typing import Any

import pytest

from spalloc_gevent import Job
from spalloc_gevent.errors import UnknownStateError
from tests.transport.scripted_server import Command, Peer, ScriptedServer

ANSWERS = {"version": "5.0.0", "create_job": 7, "get_job_state": {"state": 9}, "list_jobs": []}


def of_the_future(peer: Peer, command: Command) -> None:
    peer.answer(ANSWERS.get(command.name))


def job_of(server: ScriptedServer, **options: Any) -> Job:
    return Job(hostname=server.host, port=server.port, guardian=False, **options)


def test_a_job_in_such_a_state_is_not_resumed_and_the_state_is_told(server: ScriptedServer) -> None:
    server.script = of_the_future
    with pytest.raises(UnknownStateError, match="is none: 9") as caught:
        job_of(server, resume_job_id=7, timeout=None)
    assert caught.value.state == 9


def test_a_job_that_is_made_in_such_a_state_loses_no_connection(server: ScriptedServer) -> None:
    server.script = of_the_future
    job = job_of(server, owner="me")
    try:
        with pytest.raises(UnknownStateError):
            _ = job.state
    finally:
        job.destroy()
    # Two questions at once at most: the job's own when it was made, and this one.
    assert len({command.connection for command in server.commands}) <= 2
