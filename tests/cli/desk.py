"""A server, a client that steers it, and windows and pipes in which it is looked at.

A test module gets the fixtures by importing the functions that make them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from tests.cli.conftest import Shell
from tests.cli.either_server import Office
from tests.cli.emulator import Windows
from tools.emulator import Window
from tools.real_server import RealServer


class Desk(Office):
    """An office whose commands are processes of their own, and find the server by themselves."""

    def __init__(
        self,
        server: SimulatedServer | RealServer,
        capsys: pytest.CaptureFixture[str],
        windows: Windows,
    ) -> None:
        super().__init__(server, capsys)
        self.shell: Shell = windows.shell
        self._windows = windows
        self.shell.environ.update(
            SPALLOC_HOSTNAME=server.host, SPALLOC_PORT=str(server.port), SPALLOC_OWNER="me"
        )

    def open(self, command: str, *arguments: object, **options: Any) -> Window:
        """A window with a command in it; `options`: those of :meth:`Windows.open`."""
        return self._windows.open(command, *arguments, **options)

    def naming(self, job_id: int) -> list[str]:
        """The commands that named the job, as a simulated server saw them."""
        assert isinstance(self.server, SimulatedServer)
        seen = self.server.commands_seen
        return [c.name for c in seen if job_id in c.args and c.name != "create_job"]


class MakeDesk(Protocol):
    def __call__(self, *machines: MachineSpec, **options: Any) -> Desk: ...


@contextlib.contextmanager
def _desks(
    kind: type[SimulatedServer] | type[RealServer],
    capsys: pytest.CaptureFixture[str],
    windows: Windows,
) -> Iterator[MakeDesk]:
    with contextlib.ExitStack() as opened:

        def make(*machines: MachineSpec, **options: Any) -> Desk:
            server = kind(list(machines or [MachineSpec()]), **options)
            opened.enter_context(server)
            desk = Desk(server, capsys, windows)
            opened.callback(desk.client.close)
            return desk

        yield make


@pytest.fixture(
    name="make_desk", params=["simulated", pytest.param("real", marks=pytest.mark.real_server)]
)
def make_desk_fixture(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], windows: Windows
) -> Iterator[MakeDesk]:
    """Makes desks at either server; default: one machine of 4 x 2 triads called "m"."""
    kind = SimulatedServer if request.param == "simulated" else RealServer
    with _desks(kind, capsys, windows) as make:
        yield make


@pytest.fixture(name="make_simulated_desk")
def make_simulated_desk_fixture(
    capsys: pytest.CaptureFixture[str], windows: Windows
) -> Iterator[MakeDesk]:
    with _desks(SimulatedServer, capsys, windows) as make:
        yield make


@pytest.fixture(name="make_real_desk")
def make_real_desk_fixture(
    capsys: pytest.CaptureFixture[str], windows: Windows
) -> Iterator[MakeDesk]:
    with _desks(RealServer, capsys, windows) as make:
        yield make


@pytest.fixture(name="desk")
def desk_fixture(make_desk: MakeDesk) -> Desk:
    return make_desk()


@pytest.fixture(name="simulated_desk")
def simulated_desk_fixture(make_simulated_desk: MakeDesk) -> Desk:
    return make_simulated_desk()


@pytest.fixture(name="real_desk")
def real_desk_fixture(make_real_desk: MakeDesk) -> Desk:
    return make_real_desk()
