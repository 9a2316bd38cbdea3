"""A command in this process, against the simulated and against the real server.

A test module gets the fixtures ``make_office``, ``office`` and ``watched_office`` by importing
the functions that make them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from spalloc_gevent.protocol_client import ProtocolClient
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.states import JobState
from tools.real_server import RealServer


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def value(self, key: str) -> str:
        """What stands behind `key` in a list of definitions."""
        (line,) = [line for line in self.lines if line.strip().startswith(f"{key}: ")]
        return line.partition(": ")[2]


class Office:
    """A server, a client that steers it, and the commands that are tried on it."""

    def __init__(
        self, server: SimulatedServer | RealServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.server = server
        self.client = ProtocolClient(server.host, server.port, call_timeout=20.0).open()
        self._capsys = capsys

    def run(self, main: Callable[[Sequence[str]], int], *arguments: object) -> Ended:
        """Run a command with these arguments, and those that name the server."""
        where = ["--hostname", self.server.host, "--port", str(self.server.port)]
        self._capsys.readouterr()
        try:
            code = main([*map(str, arguments), *where])
        except SystemExit as end:
            code = int(str(end.code))
        return Ended(code, *self._capsys.readouterr())

    def create_job(self, *what: int, owner: str = "me", **options: Any) -> int:
        options = {"keepalive": 60.0, **options}
        return self.client.create_job(*what, owner=owner, **options)

    def create_ready_job(self, *what: int, owner: str = "me", **options: Any) -> int:
        self.client.notify_job()
        job_id = self.create_job(*what, owner=owner, **options)
        while self.client.get_job_state(job_id)["state"] != JobState.ready:
            self.client.wait_for_notification(20.0)
        return job_id


class MakeOffice(Protocol):
    def __call__(self, *machines: MachineSpec, **options: Any) -> Office: ...


@pytest.fixture(
    name="make_office", params=["simulated", pytest.param("real", marks=pytest.mark.real_server)]
)
def make_office_fixture(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Iterator[MakeOffice]:
    """Opens offices; default: one machine of 4 x 2 triads called "m"."""
    kind: type[SimulatedServer] | type[RealServer]
    kind = SimulatedServer if request.param == "simulated" else RealServer
    with contextlib.ExitStack() as opened:

        def make(*machines: MachineSpec, **options: Any) -> Office:
            server = kind(list(machines or [MachineSpec()]), **options)
            opened.enter_context(server)
            office = Office(server, capsys)
            opened.callback(office.client.close)
            return office

        yield make


@pytest.fixture(name="office")
def office_fixture(make_office: MakeOffice) -> Office:
    return make_office()


@pytest.fixture(name="watched_office")
def watched_office_fixture(capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    """An office whose server tells which commands it was sent."""
    with SimulatedServer([MachineSpec()]) as server:
        office = Office(server, capsys)
        yield office
        office.client.close()
