"""Boards for tests: ``pytest_plugins = ["spalloc_gevent.pytest_plugin"]`` in a ``conftest.py``.

``docs/howto/pytest.rst`` describes the fixtures, the mark, the options and what is guaranteed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from spalloc_gevent.job import Job
from spalloc_gevent.pytest_plugin import reporting
from spalloc_gevent.pytest_plugin.asking import (
    MARK,
    Wish,
    add_options,
    allocated,
    wish_of_session,
    wish_of_test,
    wrong_marks,
)
from spalloc_gevent.pytest_plugin.serving import Serving

_SERVING = pytest.StashKey[Serving]()
_SESSION_JOB = pytest.StashKey[Job]()
_SESSION_FIXTURE = "spalloc_session_job"


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK)
    config.stash[_SERVING] = Serving(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    serving = config.stash.get(_SERVING, None)
    if serving is not None:
        serving.stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist: tell a worker where the controller's simulated server is."""
    node.config.stash[_SERVING].tell(node.workerinput)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if complaints := wrong_marks(report.result):
        # An error raised later would end a worker of pytest-xdist, and be told to nobody.
        report.outcome, report.longrepr, report.result = "failed", "\n".join(complaints), []
    return report


@pytest.fixture
def spalloc_job(request: pytest.FixtureRequest) -> Iterator[Job]:
    """Boards of the test's own, ready and powered on, given back after it."""
    with _lent(request, wish_of_test(request.node)) as job:
        reporting.note(request.node, job)
        yield job


@pytest.fixture(scope="session")
def spalloc_session_job(request: pytest.FixtureRequest) -> Iterator[Job]:
    """Boards that all tests of one process share; the size is that of ``--spalloc-boards``."""
    with _lent(request, wish_of_session(request.config)) as job:
        request.config.stash[_SESSION_JOB] = job
        try:
            yield job
        finally:
            del request.config.stash[_SESSION_JOB]


@contextmanager
def _lent(request: pytest.FixtureRequest, wish: Wish) -> Iterator[Job]:
    job = allocated(wish, request.config.stash[_SERVING].options)
    try:
        yield job
    finally:
        job.destroy()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    session_job = item.config.stash.get(_SESSION_JOB, None)
    if session_job is not None and _SESSION_FIXTURE in getattr(item, "fixturenames", ()):
        reporting.note(item, session_job)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and call.when == "call":
        reporting.tell_of_losses(item, report)
    return report
