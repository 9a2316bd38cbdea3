"""A violation is quoted and asked for at most twice; one job's time-outs are no other job's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ConnectionLostError, ProtocolError
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import in_thread, job_of
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import ask, connected
from tests.transport.scripted_server import LONG_S, ScriptedServer

SAID = {
    b"this is no JSON\n": "this is no JSON",
    b"HTTP/1.1 400 Bad Request\r\n\r\n": "HTTP/1.1 400 Bad Request",
    b"[1, 2, 3]\n": "[1, 2, 3]",
    b'"hello"\n': "hello",
    b"42\n": "42",
    b'{"return": "\xff\xfe"}\n': "return",
    b'{"return": NaN\n': "NaN",
}


@contextlib.contextmanager
def saying(said: bytes, *, proven: bool) -> Iterator[tuple[ScriptedServer, ProtocolClient]]:
    """A client of a server that answers everything with these bytes; if `proven`, but the first."""
    with ScriptedServer() as server, connected(server) as client:
        if proven:
            client.version()
        server.script = lambda peer, _: peer.sock.sendall(said)
        yield server, client


def is_told_as_violation(error: ProtocolError, server: ScriptedServer, quote: str) -> None:
    assert not isinstance(error, ConnectionLostError)
    assert quote in str(error)
    assert f"{server.host}:{server.port}" in str(error)


CONNECTION = pytest.mark.parametrize("proven", [False, True], ids=["new", "proven"])


@CONNECTION
@pytest.mark.parametrize("said", list(SAID))
def test_a_violation_of_the_protocol_is_quoted_and_asked_for_no_more_than_twice(
    said: bytes, proven: bool
) -> None:
    with saying(said, proven=proven) as (server, client):
        with pytest.raises(ProtocolError) as caught:
            ask(client, 1)
        assert server.counts["get_job_state"] <= 2
        is_told_as_violation(caught.value, server, SAID[said])


@CONNECTION
def test_a_command_that_acts_is_not_sent_again_after_a_violation(proven: bool) -> None:
    with saying(b"[1, 2, 3]\n", proven=proven) as (server, client):
        with pytest.raises(ProtocolError) as caught:
            client.create_job(owner="me")
        assert server.counts["create_job"] == 1
        is_told_as_violation(caught.value, server, "[1, 2, 3]")


# -- patience --------------------------------------------------------------------------------

SYN_SENT = "02"
WATCHED_S = 4.0
FEW = 8
"""Attempts of a second, two at a time; those of 0.25 s are three times as many."""


def connecting_from(port: int) -> set[str]:
    """The near ends of this process's attempts to connect to a port of this machine."""
    lines = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return {near for _, near, far, state, *_ in fields
            if state == SYN_SENT and far.endswith(f":{port:04X}")}  # fmt: skip


def test_a_short_job_that_has_ended_does_not_hurry_the_attempts_to_connect_for_later_ones(
    server: SimulatedServer, proxy: ChaosProxy
) -> None:
    """An attempt that ends before its first packet is sent again is lost to one lost packet."""
    job = job_of(proxy, keepalive=600.0, timeout=LONG_S, config_filenames=[])
    job_of(proxy, keepalive=2.0, config_filenames=[]).destroy()
    with contextlib.closing(job):
        proxy.fill_accept_queue()
        own_fillers = connecting_from(proxy.port)
        proxy.cut(End.FIN)
        asked = in_thread(lambda: job.state)
        attempts: set[str] = set()
        until = time.monotonic() + WATCHED_S
        while time.monotonic() < until and len(attempts) <= FEW:
            attempts |= connecting_from(proxy.port) - own_fillers
        assert 1 <= len(attempts) <= FEW
        proxy.accept()
        assert asked.result(LONG_S).name == "ready"
