"""An executor or a group that is interrupted at any step still ends, and keeps no boards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from spalloc_gevent.batch import JobGroup, SpallocExecutor
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import PATIENCE_S, await_true, in_thread, listed, native_threads
from tests.faults.interruption import interrupt_at_each_step


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


def at(server: SimulatedServer) -> dict[str, Any]:
    return {
        "hostname": server.host,
        "port": server.port,
        "owner": "me",
        "config_filenames": [],
        "guardian": False,
    }


def test_an_executor_ends_whose_submit_was_interrupted(server: SimulatedServer) -> None:
    executors = [SpallocExecutor(**at(server))]

    def submit() -> None:
        executors[-1].submit(lambda job: job.id)

    def end() -> None:
        in_thread(executors.pop().shutdown).result(PATIENCE_S)
        executors.append(SpallocExecutor(**at(server)))

    assert interrupt_at_each_step(submit, end) > 20
    executors.pop().shutdown()
    await_true(lambda: listed(server) == [])


def test_a_group_gives_all_back_whose_beginning_was_interrupted(server: SimulatedServer) -> None:
    before = native_threads()
    groups: list[JobGroup] = []

    def begin() -> None:
        groups.append(JobGroup(2, **at(server)))
        groups[-1].__enter__()

    def end() -> None:
        for group in groups:
            group.close()
        groups.clear()
        assert listed(server) == []

    assert interrupt_at_each_step(begin, end) > 20
    await_true(lambda: native_threads() <= before)
