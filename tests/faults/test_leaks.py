"""Whatever is done thousands of times leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator

import gevent
import pytest
from greenlet import greenlet

from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.simulator.record import MOST_KEPT
from tests.contract.support import await_true, job_of, nothing_left_behind
from tests.faults.support import connected
from tests.transport.scripted_server import LONG_S
from tools.costs import own_heap_kib

MOST_GROWTH_KIB = 1536
MOST_CYCLES = 5


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        with connected(started) as client:
            # It remembers the latest commands and jobs; once it has so many, it grows no more.
            for _ in range(MOST_KEPT // 2):
                client.destroy_job(client.create_job(owner="me", keepalive=60.0))
        yield started


def cycle_jobs(server: SimulatedServer) -> None:
    for _ in range(2_000):
        job_of(server, keepalive=60.0, config_filenames=[]).destroy()


def cycle_closed_jobs(server: SimulatedServer) -> None:
    for _ in range(50):
        job = job_of(server, keepalive=60.0, config_filenames=[])
        job_of(server, resume_job_id=job.id, config_filenames=[]).destroy()
        job.close()


def cycle_clients(server: SimulatedServer) -> None:
    for _ in range(500):
        with connected(server) as client:
            client.connect()


def cycle_subscriptions(server: SimulatedServer) -> None:
    with connected(server) as client:
        for number in range(50):
            client.notify_job(number)
            client.no_notify_job(number)


def cycle_threads(server: SimulatedServer) -> None:
    with connected(server) as client:
        for _ in range(100):
            threads = [threading.Thread(target=client.version) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LONG_S)


def cycle_greenlets_in_threads(server: SimulatedServer) -> None:
    def work() -> None:
        gevent.joinall([gevent.spawn(client.version) for _ in range(5)], raise_error=True)
        hub = gevent.get_hub()
        hub.destroy(destroy_loop=True)
        hub.throw(gevent.GreenletExit)

    with connected(server) as client:
        for _ in range(50):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join(LONG_S)


def cycle_timeouts(server: SimulatedServer) -> None:
    with connected(server) as client:
        for _ in range(200):
            with contextlib.suppress(gevent.Timeout), gevent.Timeout(0.0):
                client.version()


CYCLES = (
    cycle_jobs,
    cycle_closed_jobs,
    cycle_clients,
    cycle_subscriptions,
    cycle_threads,
    cycle_greenlets_in_threads,
    cycle_timeouts,
)


def greenlets() -> int:
    gc.collect()
    return sum(isinstance(thing, greenlet) for thing in gc.get_objects())


def own_growth_kib(server: SimulatedServer, cycle: Callable[[SimulatedServer], None]) -> int:
    before = own_heap_kib()
    cycle(server)
    return own_heap_kib() - before


@pytest.fixture(params=["the only user", "another one stays"])
def staying(request: pytest.FixtureRequest, server: SimulatedServer) -> Iterator[int]:
    """How many connections are there in any case: the last user's end is the thread's as well."""
    if request.param == "the only user":
        yield 0
    else:
        with connected(server) as client:
            client.version()
            yield 1


@pytest.mark.parametrize("cycle", CYCLES)
def test_nothing_is_left_of_a_cycle(
    server: SimulatedServer, staying: int, cycle: Callable[[SimulatedServer], None]
) -> None:
    # Once before anything is counted: what is made once for ever is there then.
    cycle(server)
    gevent.sleep(0)
    await_true(lambda: server.connections == staying)
    with nothing_left_behind(server):
        before = greenlets()
        growth = [own_growth_kib(server, cycle)]
        while growth[-1] >= MOST_GROWTH_KIB and len(growth) < MOST_CYCLES:
            growth.append(own_growth_kib(server, cycle))
        await_true(lambda: server.connections == staying)
        await_true(lambda: greenlets() <= before)
        # What leaks grows with every cycle; the rest is how the heap happens to be laid out.
        assert min(growth) < MOST_GROWTH_KIB
