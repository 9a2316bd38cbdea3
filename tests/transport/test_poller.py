"""A server that is looked at on every notification, by somebody who sleeps in select()."""

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

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.simulator import Drop, Refuse, SimulatedServer
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.poller import SHORTEST_REST_S, Poller, Snapshot
from spalloc_gevent.transport.session import ServerSession
from tests.contract.support import Tap, await_true, nothing_left_behind
from tests.transport.scripted_server import Command, Peer, ScriptedServer

LONG_S = 30.0
"""What never takes this long has gone wrong."""

NEVER_S = 3600.0
"""An interval after which no test looks again: what it sees has come with notifications."""

Jobs = list[Any]


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as server:
        yield server


@pytest.fixture
def client(server: SimulatedServer, background: BackgroundHub) -> Iterator[ProtocolClient]:
    with ProtocolClient(server.host, server.port, LONG_S, background=background) as client:
        yield client


@pytest.fixture
def somebody_else(server: SimulatedServer) -> Iterator[ProtocolClient]:
    """Another user of the server, on connections of their own."""
    with ProtocolClient(server.host, server.port, LONG_S) as client:
        yield client


def of_jobs(client: ProtocolClient) -> closing[Poller[Jobs]]:
    return closing(client.monitor(client.list_jobs, interval_s=NEVER_S))


def next_snapshot(poller: Poller[Jobs]) -> Snapshot[Jobs]:
    ready, _, _ = select.select([poller], [], [], LONG_S)
    assert ready == [poller], f"no snapshot for {LONG_S:g} s"
    snapshot = poller.take()
    assert snapshot is not None
    return snapshot


def wait_for(poller: Poller[Jobs], is_it: Callable[[Snapshot[Jobs]], object]) -> Snapshot[Jobs]:
    """The first snapshot that is what is waited for."""
    while not is_it(snapshot := next_snapshot(poller)):
        pass
    return snapshot


def shows(*job_ids: int) -> Callable[[Snapshot[Jobs]], bool]:
    return lambda snapshot: snapshot.data is not None and ids_in(snapshot) == list(job_ids)


def ids_in(snapshot: Snapshot[Jobs]) -> list[int]:
    assert snapshot.data is not None
    return [job["job_id"] for job in snapshot.data]


def tells_trouble(snapshot: Snapshot[Jobs]) -> bool:
    return snapshot.trouble is not None


def tells_data(snapshot: Snapshot[Jobs]) -> bool:
    return snapshot.data is not None


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


# -- changes --------------------------------------------------------------------------------


def test_a_look_comes_at_once(client: ProtocolClient, somebody_else: ProtocolClient) -> None:
    job_id = new_job(somebody_else)
    with of_jobs(client) as poller:
        assert ids_in(next_snapshot(poller)) == [job_id]


def test_each_change_brings_another_look(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller:
        wait_for(poller, shows())
        first = new_job(somebody_else)
        wait_for(poller, shows(first))
        second = new_job(somebody_else)
        wait_for(poller, shows(first, second))
        somebody_else.destroy_job(first)
        wait_for(poller, shows(second))


def test_a_snapshot_that_was_taken_is_not_told_again(client: ProtocolClient) -> None:
    with of_jobs(client) as poller:
        next_snapshot(poller)
        # The subscriptions' confirmation brings another look, or two; not a hundred.
        for _ in range(100):
            if not select.select([poller], [], [], 0)[0]:
                return
            poller.take()
    pytest.fail("it is readable for ever")


def test_a_burst_of_changes_is_few_looks_and_the_last_shows_how_it_ended(
    server: SimulatedServer, background: BackgroundHub, somebody_else: ProtocolClient
) -> None:
    looks = 0
    with (
        Tap(server) as tap,
        ProtocolClient(tap.host, tap.port, LONG_S, background=background) as client,
    ):

        def collect() -> Jobs:
            nonlocal looks
            looks += 1
            return client.list_jobs()

        with closing(client.monitor(collect, interval_s=NEVER_S)) as poller:
            wait_for(poller, shows())
            tap.await_command("notify_machine")
            with tap.held():
                before = looks
                job_ids = [new_job(somebody_else) for _ in range(150)]
                for job_id in job_ids[:50]:
                    somebody_else.destroy_job(job_id)
            wait_for(poller, shows(*job_ids[50:]))
            assert 1 <= looks - before <= 20


def test_however_much_happens_a_tenth_of_a_second_is_between_two_looks(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    began_s: list[float] = []

    def collect() -> Jobs:
        began_s.append(time.monotonic())
        return client.list_jobs()

    with closing(client.monitor(collect, interval_s=NEVER_S)) as poller:
        wait_for(poller, shows())
        job_ids = [new_job(somebody_else) for _ in range(200)]
        wait_for(poller, shows(*job_ids))
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(began_s)]
    # Never less, however slow all is; a timer may be a little early.
    assert min(gaps_s) > 0.9 * SHORTEST_REST_S


def test_what_happened_before_the_subscriptions_were_confirmed_is_seen(
    background: BackgroundHub,
) -> None:
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
        ProtocolClient(server.host, server.port, LONG_S, background=background) as client,
        of_jobs(client) as poller,
    ):
        wait_for(poller, shows())
        jobs.append({"job_id": 7})
        armed.set()
        wait_for(poller, shows(7))


def test_without_notifications_it_looks_again_after_the_interval(
    client: ProtocolClient, server: SimulatedServer
) -> None:
    # A server that refuses subscriptions tells of no change.
    server.set_faults(
        [Refuse(on="notify_job", times=None), Refuse(on="notify_machine", times=None)]
    )
    with closing(client.monitor(client.list_jobs, interval_s=0.01)) as poller:
        snapshots = [next_snapshot(poller) for _ in range(3)]
    assert [snapshot.data for snapshot in snapshots] == [[]] * 3
    taken_at = [snapshot.at for snapshot in snapshots]
    assert taken_at == sorted(taken_at)


def test_two_pollers_of_one_client_each_see_everything(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller, of_jobs(client) as other:
        job_id = new_job(somebody_else)
        wait_for(poller, shows(job_id))
        wait_for(other, shows(job_id))


def test_one_that_is_closed_takes_no_changes_from_the_other(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller:
        with of_jobs(client) as other:
            wait_for(other, shows())
        job_ids: list[int] = []
        # More than one: what is on its way when the other is closed still comes.
        for _ in range(3):
            job_ids.append(new_job(somebody_else))
            wait_for(poller, shows(*job_ids))


# -- touching nothing --------------------------------------------------------------------


def test_a_job_that_is_looked_at_is_never_named(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller:
        job_ids = [new_job(somebody_else) for _ in range(3)]
        wait_for(poller, shows(*job_ids))
        somebody_else.destroy_job(job_ids[0])
        wait_for(poller, shows(*job_ids[1:]))
    naming = [
        seen.name
        for seen in server.commands_seen
        if set(job_ids) & {*seen.args, *seen.kwargs.values()}
    ]
    assert naming == ["destroy_job"]


def test_a_job_that_nobody_keeps_alive_ends_though_it_is_looked_at(
    background: BackgroundHub,
) -> None:
    times = [0.0]
    with (
        SimulatedServer(clock=lambda: times[-1]) as server,
        ProtocolClient(server.host, server.port, LONG_S, background=background) as client,
        of_jobs(client) as poller,
    ):
        left_alone = client.create_job(owner="me", keepalive=10.0)
        wait_for(poller, shows(left_alone))
        times.append(6.0)
        kept = new_job(client)
        wait_for(poller, shows(left_alone, kept))
        times.append(10.5)
        server.wake()
        wait_for(poller, shows(kept))


# -- trouble -----------------------------------------------------------------------------


def test_a_server_that_hangs_up_on_every_question_is_trouble_until_it_does_not(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller:
        wait_for(poller, shows())
        server.set_faults([Drop(on="list_jobs", times=None)])
        job_id = new_job(somebody_else)
        snapshot = wait_for(poller, tells_trouble)
        assert isinstance(snapshot.trouble, ConnectionLostError)
        assert snapshot.data is None
        server.set_faults([])
        wait_for(poller, shows(job_id))


def test_a_server_that_refuses_is_trouble_until_it_does_not(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    server.set_faults([Refuse(on="list_jobs", text="busy")])
    with of_jobs(client) as poller:
        assert "busy" in str(wait_for(poller, tells_trouble).trouble)
        wait_for(poller, tells_data)


def test_a_server_that_is_away_is_trouble_and_data_comes_when_it_is_back(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller:
        job_id = new_job(somebody_else)
        wait_for(poller, shows(job_id))
        server.stop()
        snapshot = wait_for(poller, tells_trouble)
        assert f"{server.host}:{server.port}" in str(snapshot.trouble)
        server.start()
        wait_for(poller, shows(job_id))
        another = new_job(somebody_else)
        wait_for(poller, shows(job_id, another))


def test_what_happened_while_the_connection_was_lost_is_seen(
    server: SimulatedServer, client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    with of_jobs(client) as poller:
        job_id = new_job(somebody_else)
        wait_for(poller, shows(job_id))
        server.restart(cold=True)
        wait_for(poller, shows())


def test_a_poller_may_begin_while_the_server_is_away(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    server.stop()
    with of_jobs(client) as poller:
        wait_for(poller, tells_trouble)
        server.start()
        wait_for(poller, shows())


def test_what_else_collecting_raises_comes_out_of_take_and_ends_the_looking(
    client: ProtocolClient, somebody_else: ProtocolClient
) -> None:
    looks = 0

    def collect() -> Jobs:
        nonlocal looks
        looks += 1
        return [1 // 0]

    with closing(client.monitor(collect, interval_s=NEVER_S)) as poller, of_jobs(client) as other:
        with pytest.raises(ZeroDivisionError):
            next_snapshot(poller)
        job_id = new_job(somebody_else)
        wait_for(other, shows(job_id))
        assert looks == 1


# -- the end -----------------------------------------------------------------------------


def test_closing_it_again_is_harmless(client: ProtocolClient) -> None:
    poller = client.monitor(client.list_jobs, interval_s=NEVER_S)
    next_snapshot(poller)
    poller.close()
    # Whoever opens something next is given the numbers of the descriptors that are free now.
    reader, writer = os.pipe()
    poller.close()
    client.version()
    os.write(writer, b"x")
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    os.close(writer)


def test_a_poller_outlives_its_client_quietly(
    server: SimulatedServer, background: BackgroundHub
) -> None:
    pipes = open_pipes()
    client = ProtocolClient(server.host, server.port, LONG_S, background=background).open()
    poller = client.monitor(client.list_jobs, interval_s=NEVER_S)
    next_snapshot(poller)
    client.close()
    poller.close()
    await_true(lambda: open_pipes() == pipes)


def test_a_poller_outlives_its_client_quietly_where_others_use_the_hub(
    server: SimulatedServer, background: BackgroundHub
) -> None:
    with ProtocolClient(server.host, server.port, LONG_S, background=background) as another:
        another.notify_job()
        pipes = open_pipes()
        client = ProtocolClient(server.host, server.port, LONG_S, background=background).open()
        poller = client.monitor(client.list_jobs, interval_s=NEVER_S)
        next_snapshot(poller)
        client.close()
        poller.close()
        await_true(lambda: open_pipes() == pipes)


def test_a_closed_session_cannot_be_polled_and_nothing_is_left_of_the_attempt(
    server: SimulatedServer, background: BackgroundHub
) -> None:
    session = ServerSession(background, server.host, server.port)
    session.close()
    pipes = open_pipes()
    with pytest.raises(ClosedError):
        Poller(session.background, session.subscriptions, list, (), NEVER_S)
    await_true(lambda: open_pipes() == pipes)


def test_many_pollers_leave_nothing_behind(
    server: SimulatedServer, background: BackgroundHub
) -> None:
    with (
        nothing_left_behind(server),
        ProtocolClient(server.host, server.port, LONG_S, background=background) as client,
    ):
        pipes = open_pipes()
        for _ in range(10):
            pollers = [client.monitor(client.list_jobs) for _ in range(10)]
            next_snapshot(pollers[0])
            for poller in pollers:
                poller.close()
        await_true(lambda: open_pipes() == pipes)
