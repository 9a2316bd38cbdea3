"""Every contract test runs on the simulated and on the real server, each fresh for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import pytest

from spalloc_gevent.batch import allocation, bad_boards
from spalloc_gevent.simulator import MachineSpec, SimulatedServer


class AnyServer(Protocol):
    """What a contract test may know of the server it talks to."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class MakeServer(Protocol):
    """Starts a server; the options mean the same on both kinds.

    machines: highest priority first, sizes in triads (default: one of 4 x 2, called "m").
    power_seconds: how long powering on takes.
    seconds_before_free: how long the boards of a destroyed job stay unavailable.
    version: what the ``version`` command answers.
    """

    def __call__(
        self,
        machines: Sequence[MachineSpec] = ...,
        *,
        power_seconds: float = ...,
        seconds_before_free: float = ...,
        version: str = ...,
    ) -> AnyServer: ...


@pytest.fixture
def make_simulated_server() -> Iterator[MakeServer]:
    with contextlib.ExitStack() as started:

        def make(
            machines: Sequence[MachineSpec] = (MachineSpec(),), **options: object
        ) -> SimulatedServer:
            server = SimulatedServer(machines=list(machines), **options)  # type: ignore[arg-type]
            return started.enter_context(server)

        yield make


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real_server)])
def make_server(request: pytest.FixtureRequest) -> MakeServer:
    """A factory of servers of the kind that the test runs on; all are ended after the test."""
    make: MakeServer = request.getfixturevalue(f"make_{request.param}_server")
    return make


@pytest.fixture
def server(make_server: MakeServer) -> AnyServer:
    """A fresh server with 24 boards that power on and come free at once."""
    return make_server()


@pytest.fixture
def quick_and_forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pauses worth mentioning, and no board that another test has found bad."""
    monkeypatch.setattr(allocation, "FIRST_PAUSE_S", 0.01)
    bad_boards.forget()
    yield
    bad_boards.forget()
