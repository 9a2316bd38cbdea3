"""Every contract test runs on three kinds of servers, each fresh for each test.

The simulated Python server, the simulated Java server, and PyPI's; or, with ``--server``, on one
that somebody else runs: :mod:`tests.contract.live`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from spalloc_gevent import JobDestroyedError
from spalloc_gevent.batch import allocation, bad_boards
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.simulator.java_options import JavaOptions
from tests.contract import live
from tests.contract.live import LIVE, LiveServer

JAVA = JavaOptions(expiry_check_seconds=0.1, notify_twice=True)
"""As the real one, but that it looks for silent jobs every 30 s."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        metavar="HOST:PORT",
        help="run the contract on this server, which somebody else runs, with the machines it has",
    )


def pytest_configure(config: pytest.Config) -> None:
    address = config.getoption("server")
    if address is not None:
        config.stash[LIVE] = LiveServer.at(address)
        live.prepare()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "make_server" in metafunc.fixturenames:
        metafunc.parametrize("make_server", kinds_for(metafunc), indirect=True)


def kinds_for(metafunc: pytest.Metafunc) -> list[Any]:
    """The kinds of servers that a test runs on."""
    if LIVE in metafunc.config.stash:
        return ["live"]
    kinds: list[Any] = ["simulated", pytest.param("real", marks=pytest.mark.real_server)]
    # Those of other folders that use these fixtures try something else than the server.
    is_contract = metafunc.definition.path.parent == Path(__file__).parent
    if is_contract and metafunc.definition.get_closest_marker("not_on_java") is None:
        kinds.insert(1, "java")
    return kinds


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LIVE in config.stash:
        live.leave_out(config, items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if LIVE in session.config.stash:
        live.leave_nothing(session.config.stash[LIVE])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if LIVE in config.stash:
        live.tell(config, terminalreporter)


class AnyServer(Protocol):
    """What a contract test may know of the server it talks to."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Refusal(NamedTuple):
    """What is raised, and what it says."""

    error: type[Exception]
    match: str


class MakeServer(Protocol):
    """Starts a server; the options mean the same on every kind.

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
def make_simulated_server() -> Iterator[Callable[..., SimulatedServer]]:
    with contextlib.ExitStack() as started:

        def make(
            machines: Sequence[MachineSpec] = (MachineSpec(),), **options: object
        ) -> SimulatedServer:
            server = SimulatedServer(machines=list(machines), **options)  # type: ignore[arg-type]
            return started.enter_context(server)

        yield make


@pytest.fixture
def make_java_server(make_simulated_server: Callable[..., SimulatedServer]) -> MakeServer:
    """The simulated Java server; with options as for any other kind."""
    return functools.partial(make_simulated_server, dialect="java", java=JAVA)


@pytest.fixture
def make_live_server(request: pytest.FixtureRequest) -> Iterator[MakeServer]:
    """The one that was there before; what a test leaves on it is destroyed after the test."""
    server = request.config.stash[LIVE]

    def make(*machines: object, **options: object) -> LiveServer:
        assert not machines, "a test with machines of its own is marked own_server"
        assert not options, "a test with a server of its own is marked own_server"
        return server

    yield make
    live.destroy_ours(server)


@pytest.fixture
def make_server(request: pytest.FixtureRequest) -> MakeServer:
    """A factory of servers of the kind that the test runs on; all are ended after the test."""
    make: MakeServer = request.getfixturevalue(f"make_{request.param}_server")
    return make


@pytest.fixture
def on_java(request: pytest.FixtureRequest) -> bool:
    """True if the test runs on a Java server, which promises some things otherwise."""
    kind = request.node.callspec.params["make_server"]
    return kind == "java" or (kind == "live" and request.config.stash[LIVE].is_java)


@pytest.fixture
def version(request: pytest.FixtureRequest, on_java: bool) -> str:
    """What the server's ``version`` command answers, when nothing else was said."""
    if LIVE in request.config.stash:
        return request.config.stash[LIVE].version
    return "5.0.0" if on_java else "1!7.0.0"


@pytest.fixture
def never_met(on_java: bool) -> Refusal:
    """The end of a request that no machine can meet.

    The Java server would take it and stop (point 11): it is not sent there.
    """
    if on_java:
        return Refusal(ValueError, "no machine can hold")
    return Refusal(JobDestroyedError, "No suitable machines available")


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
