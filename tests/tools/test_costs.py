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

from tools.costs import cpu_s, descendants, own_connections, own_cost, own_pss_kib


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
    assert cpu_s(child.pid) == 0.0
    assert cpu_s(os.getpid()) > 0.0
