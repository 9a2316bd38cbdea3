"""A server that is looked at on every piece of news, by somebody who sleeps in select()."""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from spalloc_gevent.engine.hub import Hub
from spalloc_gevent.engine.link import ServerLink
from spalloc_gevent.engine.monitor import SHORTEST_REST_S, Look, Monitor

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.simulator import Drop, Refuse, SimulatedServer
from tests.contract.support import Tap, nothing_left_behind
from tests.transport.scripted_server import Command, Peer, ScriptedServer

LONG_S = 30.0
"""What never takes this long has gone wrong."""

NEVER_S = 3600.0
"""An interval after which no test looks again: what it sees has come with news."""

Jobs = list[Any]


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as server:
        yield server


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A background hub of the test's own."""
    hub = Hub()
    yield hub
    hub.end()


@pytest.fixture
def client(server: SimulatedServer, hub: Hub) -> Iterator[ProtocolClient]:
    with ProtocolClient(server.host, server.port, LONG_S, hub=hub) as client:
        yield client


@pytest.fixture
def somebody_else(server: SimulatedServer) -> Iterator[ProtocolClient]:
    """Another user of the server, on connections of their own."""
    with ProtocolClient(server.host, server.port, LONG_S) as client:
        yield client


def of_jobs(client: ProtocolClient) -> closing[Monitor[Jobs]]:
    return closing(client.monitor(client.list_jobs, interval_s=NEVER_S))


def next_look(monitor: Monitor[Jobs]) -> Look[Jobs]:
    ready, _, _ = select.select([monitor], [], [], LONG_S)
    assert ready == [monitor], f"no look for {LONG_S:g} s"
    look = monitor.take()
    assert look is not None
    return look


def look_at(monitor: Monitor[Jobs], is_it: Callable[[Look[Jobs]], object]) -> Look[Jobs]:
    """The first look that is what is waited for."""
    while not is_it(look := next_look(monitor)):
        pass
    return look


def shows(*job_ids: int) -> Callable[[Look[Jobs]], bool]:
    return lambda look: look.data is not None and ids_in(look) == list(job_ids)


def ids_in(look: Look[Jobs]) -> list[int]:
    assert look.data is not None
    return [job["job_id"] for job in look.data]


def tells_trouble(look: Look[Jobs]) -> bool:
    return look.trouble is not None


def tells_data(look: Look[Jobs]) -> bool:
    return look.data is not None


def new_job(client: ProtocolClient) -> int:
    return client.create_job(owner="me", keepalive=None)


def open_pipes() -> int:
    """How many descriptors of this process are ends of pipes."""
    names = []
    for file in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{file}"))
        except FileNotFoundError:  # That of the listing itself.
            continue
    return sum(name.startswith("pipe:") for name in names)


# -- news --------------------------------------------------------------------------------


def test_a_look_comes_at_once(client: ProtocolClient, somebody_else: ProtocolClient) -> None:
    job_id = new_job(somebody_else)
    with of_jobs(client) as monitor:
        assert ids_in(next_look(monitor)) == [job_id]


def test_each_change_brings_another_look(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor:
        look_at(monitor, shows())
        first = new_job(somebody_else)
        look_at(monitor, shows(first))
        second = new_job(somebody_else)
        look_at(monitor, shows(first, second))
        somebody_else.destroy_job(first)
        look_at(monitor, shows(second))


def test_taking_a_look_stops_the_ringing(client: ProtocolClient) -> None:
    with of_jobs(client) as monitor:
        next_look(monitor)
        # Arming the watches brings another look, or two; not a hundred.
        for _ in range(100):
            if not select.select([monitor], [], [], 0)[0]:
                return
            monitor.take()
    pytest.fail("it rings for ever")


def test_a_burst_of_changes_is_few_looks_and_the_last_shows_how_it_ended(
    server: SimulatedServer, hub: Hub, somebody_else: ProtocolClient
) -> None:
    looks = 0
    with Tap(server) as tap, ProtocolClient(tap.host, tap.port, LONG_S, hub=hub) as client:

        def collect() -> Jobs:
            nonlocal looks
            looks += 1
            return client.list_jobs()

        with closing(client.monitor(collect, interval_s=NEVER_S)) as monitor:
            look_at(monitor, shows())
            tap.await_command("notify_machine")
            with tap.held():
                before = looks
                job_ids = [new_job(somebody_else) for _ in range(150)]
                for job_id in job_ids[:50]:
                    somebody_else.destroy_job(job_id)
            look_at(monitor, shows(*job_ids[50:]))
            assert 1 <= looks - before <= 20


def test_however_much_happens_a_tenth_of_a_second_is_between_two_looks(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    began_s: list[float] = []

    def collect() -> Jobs:
        began_s.append(time.monotonic())
        return client.list_jobs()

    with closing(client.monitor(collect, interval_s=NEVER_S)) as monitor:
        look_at(monitor, shows())
        job_ids = [new_job(somebody_else) for _ in range(200)]
        look_at(monitor, shows(*job_ids))
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(began_s)]
    # Never less, however slow all is; a timer may be a little early.
    assert min(gaps_s) > 0.9 * SHORTEST_REST_S


def test_what_happened_before_the_watches_were_armed_is_seen(hub: Hub) -> None:
    armed = threading.Event()
    jobs: list[dict[str, int]] = []

    def script(peer: Peer, command: Command) -> None:
        if command.name == "list_jobs":
            peer.answer(jobs)
        else:
            assert command.name == "version" or armed.wait(LONG_S)
            peer.answer(None)

    with (
        ScriptedServer(script) as server,
        ProtocolClient(server.host, server.port, LONG_S, hub=hub) as client,
        of_jobs(client) as monitor,
    ):
        look_at(monitor, shows())
        jobs.append({"job_id": 7})
        armed.set()
        look_at(monitor, shows(7))


def test_without_news_it_looks_again_after_the_interval(
    client: ProtocolClient, server: SimulatedServer
) -> None:
    # A server that refuses watches tells of no change.
    server.set_faults(
        [Refuse(on="notify_job", times=None), Refuse(on="notify_machine", times=None)]
    )
    with closing(client.monitor(client.list_jobs, interval_s=0.01)) as monitor:
        looks = [next_look(monitor) for _ in range(3)]
    assert [look.data for look in looks] == [[]] * 3
    assert sorted(look.at for look in looks) == [look.at for look in looks]


def test_two_monitors_of_one_client_each_see_everything(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor, of_jobs(client) as other:
        job_id = new_job(somebody_else)
        look_at(monitor, shows(job_id))
        look_at(other, shows(job_id))


def test_one_that_is_closed_takes_no_news_from_the_other(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor:
        with of_jobs(client) as other:
            look_at(other, shows())
        job_ids: list[int] = []
        # More than one: what is on its way when the other is closed still comes.
        for _ in range(3):
            job_ids.append(new_job(somebody_else))
            look_at(monitor, shows(*job_ids))


# -- touching nothing --------------------------------------------------------------------


def test_a_job_that_is_looked_at_is_never_named(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor:
        job_ids = [new_job(somebody_else) for _ in range(3)]
        look_at(monitor, shows(*job_ids))
        somebody_else.destroy_job(job_ids[0])
        look_at(monitor, shows(*job_ids[1:]))
    naming = [
        seen.name
        for seen in server.commands_seen
        if set(job_ids) & {*seen.args, *seen.kwargs.values()}
    ]
    assert naming == ["destroy_job"]


def test_a_job_that_nobody_keeps_alive_ends_though_it_is_looked_at(hub: Hub) -> None:
    times = [0.0]
    with (
        SimulatedServer(clock=lambda: times[-1]) as server,
        ProtocolClient(server.host, server.port, LONG_S, hub=hub) as client,
        of_jobs(client) as monitor,
    ):
        left_alone = client.create_job(owner="me", keepalive=10.0)
        look_at(monitor, shows(left_alone))
        times.append(6.0)
        kept = new_job(client)
        look_at(monitor, shows(left_alone, kept))
        times.append(10.5)
        server.wake()
        look_at(monitor, shows(kept))


# -- trouble -----------------------------------------------------------------------------


def test_a_server_that_hangs_up_on_every_question_is_trouble_until_it_does_not(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor:
        look_at(monitor, shows())
        server.set_faults([Drop(on="list_jobs", times=None)])
        job_id = new_job(somebody_else)
        look = look_at(monitor, tells_trouble)
        assert isinstance(look.trouble, ConnectionLostError)
        assert look.data is None
        server.set_faults([])
        look_at(monitor, shows(job_id))


def test_a_server_that_refuses_is_trouble_until_it_does_not(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    server.set_faults([Refuse(on="list_jobs", text="busy")])
    with of_jobs(client) as monitor:
        assert "busy" in str(look_at(monitor, tells_trouble).trouble)
        look_at(monitor, tells_data)


def test_a_server_that_is_away_is_trouble_and_data_comes_when_it_is_back(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor:
        job_id = new_job(somebody_else)
        look_at(monitor, shows(job_id))
        server.stop()
        look = look_at(monitor, tells_trouble)
        assert f"{server.host}:{server.port}" in str(look.trouble)
        server.start()
        look_at(monitor, shows(job_id))
        another = new_job(somebody_else)
        look_at(monitor, shows(job_id, another))


def test_what_happened_while_the_connection_was_lost_is_seen(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as monitor:
        job_id = new_job(somebody_else)
        look_at(monitor, shows(job_id))
        server.restart(cold=True)
        look_at(monitor, shows())


def test_a_monitor_may_begin_while_the_server_is_away(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    server.stop()
    with of_jobs(client) as monitor:
        look_at(monitor, tells_trouble)
        server.start()
        look_at(monitor, shows())


def test_what_else_collecting_raises_comes_out_of_take_and_ends_the_looking(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    looks = 0

    def collect() -> Jobs:
        nonlocal looks
        looks += 1
        return [1 // 0]

    with closing(client.monitor(collect, interval_s=NEVER_S)) as monitor, of_jobs(client) as other:
        with pytest.raises(ZeroDivisionError):
            next_look(monitor)
        job_id = new_job(somebody_else)
        look_at(other, shows(job_id))
        assert looks == 1


# -- the end -----------------------------------------------------------------------------


def test_closing_it_again_is_harmless(client: ProtocolClient) -> None:
    monitor = client.monitor(client.list_jobs, interval_s=NEVER_S)
    next_look(monitor)
    monitor.close()
    # Whoever opens something next is given the numbers of the descriptors that are free now.
    reader, writer = os.pipe()
    monitor.close()
    client.version()
    os.write(writer, b"x")
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    os.close(writer)


def test_a_monitor_outlives_its_client_quietly(server: SimulatedServer, hub: Hub) -> None:
    pipes = open_pipes()
    client = ProtocolClient(server.host, server.port, LONG_S, hub=hub)
    monitor = client.monitor(client.list_jobs, interval_s=NEVER_S)
    next_look(monitor)
    client.close()
    monitor.close()
    assert open_pipes() == pipes


def test_a_monitor_outlives_its_client_quietly_where_others_use_the_hub(
    server: SimulatedServer, hub: Hub
) -> None:
    with ProtocolClient(server.host, server.port, LONG_S, hub=hub) as another:
        pipes = open_pipes()
        client = ProtocolClient(server.host, server.port, LONG_S, hub=hub)
        monitor = client.monitor(client.list_jobs, interval_s=NEVER_S)
        next_look(monitor)
        client.close()
        monitor.close()
        another.version()
        assert open_pipes() == pipes


def test_a_closed_link_cannot_be_monitored_and_nothing_is_left_of_the_attempt(
    server: SimulatedServer, hub: Hub
) -> None:
    link = ServerLink(hub, server.host, server.port)
    link.close()
    pipes = open_pipes()
    with pytest.raises(ClosedError):
        link.monitor(list, (), NEVER_S)
    assert open_pipes() == pipes


def test_many_monitors_leave_nothing_behind(server: SimulatedServer, hub: Hub) -> None:
    with (
        nothing_left_behind(server),
        ProtocolClient(server.host, server.port, LONG_S, hub=hub) as client,
    ):
        pipes = open_pipes()
        for _ in range(10):
            monitors = [client.monitor(client.list_jobs) for _ in range(10)]
            next_look(monitors[0])
            for monitor in monitors:
                monitor.close()
        client.version()
        assert open_pipes() == pipes
