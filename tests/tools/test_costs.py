"""``tools/costs.py`` counts what a process costs."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from benchmarks.orders import Worker
from spalloc_gevent.simulator import SimulatedServer
from tests.cli.terminal import eventually
from tools.costs import (
    connections,
    cpu_s,
    descendants,
    family,
    fine_cpu_s,
    own_connections,
    own_cost,
    own_pss_kib,
    pss_kib,
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_memory_that_is_written_to_counts() -> None:
    before_kib = own_pss_kib()
    # New pages for sure: the allocator may have old ones left, which count already.
    with mmap.mmap(-1, 8 * 1024 * 1024) as block:
        block.write(os.urandom(len(block)))
        assert own_pss_kib() - before_kib > 6 * 1024


def test_only_connections_to_the_port_that_are_open_count(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert own_connections(port) == 0
    with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
        assert own_connections(port) == 1
    assert own_connections(port) == 0


def test_threads_are_counted() -> None:
    before = own_cost(1).threads
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert own_cost(1).threads == before + 1
    stop.set()
    thread.join()


def test_a_child_counts_until_it_is_gone() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.pid in descendants(os.getpid())
    assert child.pid not in descendants(os.getpid())


def test_a_process_that_does_not_exist_has_used_no_cpu_time() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert cpu_s(child.pid) == fine_cpu_s(child.pid) == 0.0
    assert cpu_s(os.getpid()) > 0.0


def test_cpu_time_that_is_used_is_counted_finely() -> None:
    before_s = fine_cpu_s(os.getpid())
    until = before_s + 0.001
    while fine_cpu_s(os.getpid()) < until:
        pass  # A count that stood still would be noticed by the time limit of the tests.
    assert fine_cpu_s(os.getpid()) > before_s


def test_the_guardian_of_a_program_belongs_to_its_family_though_it_is_no_descendant() -> None:
    with (
        SimulatedServer() as server,
        Worker(sys.executable, "our_jobs", server.host, server.port) as program,
    ):
        assert family(program.pid) == {program.pid}
        program.ask("hold", 1, 60.0)
        eventually(
            lambda: len(family(program.pid)) == 2 and not descendants(program.pid), "a guardian"
        )
        (guardian,) = family(program.pid) - {program.pid}
        assert pss_kib(guardian) > 0
        assert 1 <= connections(family(program.pid), server.port) <= 9
        program.ask("destroy")
