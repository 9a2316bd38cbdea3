"""What every test gets: no configuration of this machine's, and servers whose log is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.isolation import forget_configuration
from tools.real_server import RealServer

MakeRealServer = Callable[..., RealServer]

_REAL_SERVERS = pytest.StashKey[list[RealServer]]()
_LOG_LINES = 60

# Examples are judged by their outcome; how long one takes depends on who shares the machine. They
# differ from run to run, so that many runs of few of them see as much as one of many.
hypothesis.settings.register_profile("outcome-only", deadline=None, max_examples=30)
hypothesis.settings.load_profile("outcome-only")


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither SPALLOC_* variables nor anybody's configuration files reach a test."""
    forget_configuration(monkeypatch, tmp_path_factory)


@pytest.fixture
def make_real_server(request: pytest.FixtureRequest) -> Iterator[MakeRealServer]:
    """Starts real servers with the options of RealServer; all are ended after the test.

    A test that asks for one fails when it cannot start, and shows its log when it fails later.
    """
    servers = request.node.stash.setdefault(_REAL_SERVERS, [])
    with contextlib.ExitStack() as started:

        def make(*args: object, **options: object) -> RealServer:
            server: RealServer = RealServer(*args, **options)  # type: ignore[arg-type]
            servers.append(started.enter_context(server))
            return server

        yield make


@pytest.fixture
def real_server(make_real_server: MakeRealServer) -> RealServer:
    """A fresh real server with 24 boards that power on and come free at once."""
    return make_real_server()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in item.stash.get(_REAL_SERVERS, []):
            if log := server.log_tail(_LOG_LINES):
                report.sections.append((f"log of {server!r}", log))
    return report


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own that is also the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
