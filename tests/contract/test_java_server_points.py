"""What the Java server does in its own way, point by point, and what the client makes of it."""

from __future__ import annotations

import itertools
import json
import select
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spalloc_gevent import JobDestroyedError, JobState, ProtocolClient, SpallocServerException
from spalloc_gevent.batch import allocate
from spalloc_gevent.errors import ConnectionLostError, PowerTimeoutError
from spalloc_gevent.geometry import (
    Link,
    boards_of_triads,
    ends_of_link,
    ethernet_chip_in_job,
    job_origin,
)
from spalloc_gevent.guardian.guarded_jobs import GuardedJob
from spalloc_gevent.guardian.servers import GuardedServer, Result
from spalloc_gevent.ledger import read_ledger
from spalloc_gevent.scripts import machine, ps
from spalloc_gevent.simulator import MachineSpec, SimulatedServer
from spalloc_gevent.simulator.java_options import JavaOptions
from spalloc_gevent.transport import poller
from spalloc_gevent.transport.poller import Poller
from spalloc_gevent.transport.subscriptions import MAX_SINGLE
from spalloc_gevent.wire.answers import machine_info
from spalloc_gevent.wire.identity import Identity
from tests.contract.support import (
    PATIENCE_S,
    await_true,
    in_thread,
    job_of,
    listed,
    results,
)
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import connected


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer([MachineSpec("m", 4, 2)], dialect="java") as started:
        yield started


@pytest.fixture
def client(server: SimulatedServer) -> Iterator[ProtocolClient]:
    with connected(server) as opened:
        yield opened


def test_the_server_is_known_by_whatever_it_answers(client: ProtocolClient) -> None:
    client.list_machines()
    server = client.session.server
    assert server.is_java
    assert server.never_reuses_numbers
    assert server.takes_reports
    assert not server.tells_keepalive_interval
    assert not server.lets_go_of_machines
    assert not server.subscribes_to_new_jobs


def test_a_python_server_that_says_the_java_servers_version_is_not_taken_for_it() -> None:
    with SimulatedServer(version="5.0.0") as python, connected(python) as client:
        assert client.version() == "5.0.0"
        assert not client.session.server.never_reuses_numbers
        assert not client.session.server.takes_reports


# -- 1 to 3, 10: what is told of jobs, and when their end is one -------------------------


def test_point_1_all_jobs_are_subscribed_to_without_an_argument(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    client.notify_job()
    client.no_notify_job()
    client.call("notify_job", None)
    client.call("no_notify_job", None)
    asked = [one for one in server.commands_seen if one.name.endswith("notify_job")]
    assert asked
    assert all(one.args == [] for one in asked)


def is_subscribed_to_all(server: SimulatedServer) -> bool:
    return any(one.name == "notify_job" and one.args == [] for one in server.commands_seen)


def test_point_2_jobs_made_after_the_subscription_to_all_are_heard_of(
    server: SimulatedServer,
) -> None:
    with job_of(server, 4, 2, config_filenames=[]) as everything:
        first = [job_of(server, config_filenames=[]) for _ in range(MAX_SINGLE + 1)]
        waiting = [in_thread(partial(job.wait_until_ready, PATIENCE_S)) for job in first]
        await_true(lambda: is_subscribed_to_all(server))
        renewed = server.command_counts["no_notify_job"]
        later = job_of(server, config_filenames=[])
        waiting.append(in_thread(partial(later.wait_until_ready, PATIENCE_S)))
        await_true(lambda: server.command_counts["no_notify_job"] > renewed)
        everything.destroy()
        results(waiting)
    for job in [*first, later]:
        job.destroy()


def test_point_3_a_destroy_that_is_undone_is_done_again() -> None:
    java = JavaOptions(revive="always", allocator_seconds=0.2)
    with SimulatedServer(dialect="java", java=java) as server:
        job_of(server, config_filenames=[]).destroy("not needed")
        await_true(lambda: server.command_counts["destroy_job"] == 2)
        await_true(lambda: server.jobs == [])


def test_point_10_a_change_that_is_told_twice_is_one_change() -> None:
    java = JavaOptions(notify_twice=True)
    with (
        SimulatedServer(dialect="java", java=java) as server,
        job_of(server, config_filenames=[]) as job,
        connected(server) as client,
    ):
        client.notify_job(job.id)
        waiting = in_thread(lambda: job.wait_for_state_change(JobState.ready))
        await_true(lambda: server.command_counts["notify_job"] == 2)
        asked = server.command_counts["get_job_state"]
        client.destroy_job(job.id or 0, "over")
        told = [client.wait_for_notification(PATIENCE_S) for _ in range(2)]
        assert told == [{"jobs_changed": [job.id]}] * 2
        assert waiting.result(PATIENCE_S) is JobState.destroyed
        assert server.command_counts["get_job_state"] <= asked + 2


# -- 4: any command may be refused because the database was busy -----------------------


def test_point_4_with_one_command_in_ten_refused_no_job_is_lost_and_nothing_is_raised() -> None:
    options = JavaOptions(database_refusals=10, expiry_check_seconds=0.5)
    with SimulatedServer([MachineSpec("m", 8, 8)], dialect="java", java=options) as server:
        jobs = [job_of(server, keepalive=2.0, config_filenames=[]) for _ in range(40)]
        for job in jobs:
            job.wait_until_ready(PATIENCE_S)
        for job in jobs[:5]:
            job.set_power(False)
        told = server.command_counts["get_job_state"]
        await_true(lambda: server.command_counts["get_job_state"] >= told + 5 * len(jobs))
        assert {job.state for job in jobs} == {JobState.ready}
        for job in jobs:
            job.destroy()
        assert listed(server) == []


def test_point_4_a_refusal_is_told_when_it_lasts_as_long_as_the_call() -> None:
    busy = JavaOptions(database_refusals=1)
    with SimulatedServer(dialect="java", java=busy) as server, connected(server) as client:
        with pytest.raises(SpallocServerException, match="try restarting transaction"):
            client.create_job(owner="me", timeout=0.2)
        assert server.command_counts["create_job"] > 1


# -- 5: a number that is no integer poisons the list of jobs ---------------------------


def poison(server: SimulatedServer) -> None:
    """Somebody else makes the job that nobody can list; its keepalive outlives the test."""
    line = b'{"command": "create_job", "args": ["2"], "kwargs": {"owner": "x", "keepalive": 600}}\n'
    with socket.create_connection((server.host, server.port), PATIENCE_S) as sock:
        sock.sendall(line)
        assert b"return" in sock.recv(4096)


def test_point_5_a_list_that_is_hung_up_on_says_why_and_blocks_no_call(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    poison(server)
    for _ in range(3):
        with pytest.raises(ConnectionLostError, match="a number that is no integer"):
            client.list_jobs()
        assert client.get_job_state(1)["state"] != JobState.unknown
        assert len(client.list_machines()) == 1


def test_point_5_no_held_job_is_lost_when_connections_break_and_the_list_is_hung_up_on() -> None:
    options = JavaOptions(expiry_check_seconds=0.2)
    machines = [MachineSpec("m", 4, 2)]
    with (
        SimulatedServer(machines, dialect="java", java=options) as server,
        ChaosProxy(server) as proxy,
    ):
        jobs = [job_of(proxy, keepalive=2.0, config_filenames=[]) for _ in range(10)]
        for job in jobs:
            job.wait_until_ready(PATIENCE_S)
        poison(server)
        proxy.cut(End.RST)
        told = server.command_counts["get_job_state"]
        await_true(lambda: server.command_counts["get_job_state"] >= told + 5 * len(jobs))
        assert {job.state for job in jobs} == {JobState.ready}
        assert server.command_counts["list_jobs"] == 0
        for job in jobs:
            job.destroy()


def test_point_5_the_guardian_gets_by_without_the_list(server: SimulatedServer) -> None:
    job = job_of(server, keepalive=60.0, config_filenames=[])
    assert job.id is not None
    poison(server)
    guarded = GuardedServer(server.host, server.port)
    ours = GuardedJob(0, server.host, server.port, job.id, 60.0, Identity("me"))
    await_true(lambda: guarded.keep_alive(ours) is Result.SENT)
    guarded.close()
    job.destroy()


def test_point_5_a_job_is_taken_over_where_the_list_is_hung_up_on(server: SimulatedServer) -> None:
    job = job_of(server, keepalive=60.0, config_filenames=[])
    job.close()
    poison(server)
    with job_of(server, resume_job_id=job.id, config_filenames=[]) as resumed:
        assert resumed.state is JobState.ready


@pytest.mark.parametrize("number", [3.0, 1.5, True, "2"])
def test_point_5_a_number_that_is_no_integer_is_never_sent(
    server: SimulatedServer, client: ProtocolClient, number: Any
) -> None:
    for ask in (
        lambda: job_of(server, number, config_filenames=[]),
        lambda: client.create_job(number, owner="me"),
        # A float in front would be the time-out there.
        lambda: client.call("create_job", 1, number, owner="me"),
    ):
        with pytest.raises(TypeError, match="whole number"):
            ask()
    assert server.command_counts["create_job"] == 0


class Integer:
    """A whole number as numpy's are: no int."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


def test_point_5_integers_of_others_are_sent_as_integers(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    client.call("create_job", Integer(3), owner="me")
    client.call("create_job", Integer(1), Integer(1), owner="me")
    assert [job["args"] for job in client.list_jobs()] == [[3], [1, 1]]


def test_point_5_ps_says_what_is_wrong_and_tells_the_jobs_in_the_ledger(
    server: SimulatedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = tmp_path / "ledger"
    monkeypatch.setenv("SPALLOC_LEDGER", str(ledger))
    with job_of(server, owner="me", ledger=str(ledger), config_filenames=[]) as job:
        poison(server)
        code = ps.main(["--hostname", server.host, "--port", str(server.port), "--json"])
        told = capsys.readouterr()
    assert code != 0
    assert "a number that is no integer" in told.err
    assert [(one["job_id"], one["owner"]) for one in json.loads(told.out)["jobs"]] == [
        (job.id, "me")
    ]


# -- 6, 7, 8: places ---------------------------------------------------------------------

TORN = [(1, 1, 1), (0, 2, 2)]
"""Boards that are not on the machine of these tests: the Python server calls them dead."""


@pytest.fixture
def alike() -> Iterator[tuple[ProtocolClient, ProtocolClient]]:
    """Clients of a Python and of a Java server with one machine and the same jobs on it."""
    sizes = [(3, 1), (1, 1), (1, 1), (2, 2, 1), (2, 2, 2)]
    with (
        SimulatedServer([MachineSpec("m", 3, 3, dead_boards=TORN)]) as python,
        SimulatedServer([MachineSpec("m", 3, 3, absent=TORN)], dialect="java") as java,
        connected(python) as of_python,
        connected(java) as of_java,
    ):
        for client in (of_python, of_java):
            for size in sizes:
                await_ready(client, client.create_job(*size, owner="me"))
        boards = [boards_of_jobs(client) for client in (of_python, of_java)]
        assert boards[0] == boards[1]
        assert len(boards[0]) == len(sizes)
        yield of_python, of_java


def await_ready(client: ProtocolClient, job_id: int) -> None:
    await_true(lambda: client.get_job_state(job_id)["state"] == JobState.ready)


def boards_of_jobs(client: ProtocolClient) -> dict[int, list[list[int]]]:
    return {job["job_id"]: sorted(job["boards"] or ()) for job in client.list_jobs()}


def facts(client: ProtocolClient, **question: Any) -> Any:
    """What is told of a place, but for the place in the racks, which is another on each."""
    location = client.where_is(**question)
    if location is None:
        return None
    told: dict[str, Any] = {**location}
    assert told.pop("physical") == client.get_board_position("m", *location["logical"])
    assert len(told) == 6
    return told


def test_point_6_every_chip_of_a_machine_is_told_as_by_the_python_server(
    alike: tuple[ProtocolClient, ProtocolClient],
) -> None:
    of_python, of_java = alike
    for chip in itertools.product(range(36), range(0, 36, 3)):
        question = {"machine": "m", "chip_x": chip[0], "chip_y": chip[1]}
        assert facts(of_java, **question) == facts(of_python, **question)


def test_point_6_a_chip_outside_the_machine_is_nowhere(
    alike: tuple[ProtocolClient, ProtocolClient],
) -> None:
    for x, y in ((36, 0), (0, 36), (-1, 0), (5000, 5000)):
        assert alike[1].where_is(machine="m", chip_x=x, chip_y=y) is None
    assert alike[1].where_is(machine="n", chip_x=0, chip_y=0) is None


def test_point_7_every_board_is_told_as_by_the_python_server(
    alike: tuple[ProtocolClient, ProtocolClient],
) -> None:
    of_python, of_java = alike
    for x, y, z in boards_of_triads(0, 0, 3, 3):
        told = facts(of_java, machine="m", x=x, y=y, z=z)
        assert told == facts(of_python, machine="m", x=x, y=y, z=z)
        assert (told is None) == ((x, y, z) in TORN)
        place = of_java.get_board_position("m", x, y, z)
        if place is not None:
            where = dict(zip(("cabinet", "frame", "board"), place, strict=True))
            assert facts(of_java, machine="m", **where) == told


def test_point_7_every_chip_of_a_job_is_told_as_by_the_python_server(
    alike: tuple[ProtocolClient, ProtocolClient],
) -> None:
    of_python, of_java = alike
    for job_id in boards_of_jobs(of_java):
        info = of_java.get_job_machine_info(job_id)
        assert info["width"] is not None
        assert info["height"] is not None
        for x, y in itertools.product(range(info["width"]), range(0, info["height"], 3)):
            question = {"job_id": job_id, "chip_x": x, "chip_y": y}
            told = facts(of_java, **question)
            assert told == facts(of_python, **question)
            assert told is None or told["job_chip"] == [x, y]


def test_point_7_a_chip_outside_a_job_is_nowhere(
    alike: tuple[ProtocolClient, ProtocolClient],
) -> None:
    for job_id, x, y in ((1, 36, 0), (1, 0, 28), (2, 15, 15), (5, 8, 8), (5, 0, -1), (9, 0, 0)):
        assert alike[1].where_is(job_id=job_id, chip_x=x, chip_y=y) is None


def test_point_7_to_ask_for_a_board_keeps_nobodys_job_alive(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    await_ready(client, client.create_job(4, 2, owner="me"))
    before = len(server.commands_seen)
    told = client.where_is(machine="m", x=2, y=1, z=2)
    assert told is not None
    assert told["job_chip"] == [28, 20]
    assert [command.name for command in server.commands_seen][before:] == [
        "where_is",
        "list_machines",
        "list_jobs",
    ]


def test_point_7_places_are_right_where_the_list_of_jobs_is_hung_up_on(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    job_id = client.create_job(2, 1, 2, owner="me")
    await_ready(client, job_id)
    poison(server)
    told = client.where_is(machine="m", chip_x=29, chip_y=22)
    assert told is not None
    assert (told["job_id"], told["job_chip"], told["board_chip"]) == (job_id, [1, 2], [1, 2])


def test_point_7_a_job_tells_where_its_chips_are(server: SimulatedServer) -> None:
    with job_of(server, 2, 1, 2, config_filenames=[]) as job:
        job.wait_until_ready(PATIENCE_S)
        with connected(server) as client:
            place = client.get_board_position("m", 2, 1, 2)
        assert list(job.where_is_machine(1, 2)) == place
        with pytest.raises(ValueError, match="has no chip"):
            job.where_is_machine(8, 8)


@pytest.mark.parametrize(("size", "chip"), [((2, 1, 2), (1, 2)), ((2, 1), (5, 10))])
def test_point_7_a_chip_is_reported_by_its_board_wherever_the_job_is(
    server: SimulatedServer, client: ProtocolClient, size: tuple[int, ...], chip: tuple[int, int]
) -> None:
    await_ready(client, client.create_job(1, 1, owner="me"))
    job_id = client.create_job(*size, owner="me")
    await_ready(client, job_id)
    client.report_chip(job_id, *chip, description="smoke")
    told = client.where_is(job_id=job_id, chip_x=chip[0], chip_y=chip[1])
    assert told is not None
    info = client.get_job_machine_info(job_id)
    origin = job_origin([(x, y, z) for x, y, z in info["boards"] or ()])
    assert origin != (0, 0, 0)
    x, y, z = told["logical"]
    hostnames = {tuple(corner): hostname for corner, hostname in info["connections"] or ()}
    (report,) = [each for each in server.commands_seen if each.name == "report_problem"]
    assert report.args == [hostnames[ethernet_chip_in_job((x, y, z), origin)]]
    assert [report.kwargs["x"], report.kwargs["y"]] == told["board_chip"] == [1, 2]


def test_point_8_dead_links_have_the_numbers_of_the_python_server() -> None:
    # As in tests/recordings: the real server tells of these in machines.jsonl.
    links = [(2, 2, 0, Link.north), (0, 1, 2, Link.east)]
    spec = MachineSpec("m", 3, 3, absent=[(1, 1, 1)], dead_boards=[(0, 2, 2)], dead_links=links)
    with SimulatedServer([spec], dialect="java") as server, connected(server) as client:
        assert client.call("list_machines")[0]["dead_links"][0] == [0, 0, 0, 2]
        told = client.list_machines()[0]["dead_links"]
    of_dead_board = [(0, 2, 2, link) for link in Link]
    ends = {
        (*board, int(link))
        for dead in [*links, *of_dead_board]
        for board, link in ends_of_link((dead[0], dead[1], dead[2], int(dead[3])), (3, 3))
    }
    assert {tuple(link) for link in told} == ends


def test_point_8_a_machine_is_counted_and_drawn_as_on_the_python_server(
    capsys: pytest.CaptureFixture[str],
) -> None:
    north = (2, 2, 0, Link.north)
    ends = [(*board, link) for board, link in ends_of_link(north, (3, 3))]
    servers = (
        SimulatedServer([MachineSpec("m", 3, 3, dead_boards=TORN, dead_links=ends)]),
        SimulatedServer([MachineSpec("m", 3, 3, absent=TORN, dead_links=[north])], dialect="java"),
    )
    shown = []
    for server in servers:
        with server:
            where = ["--hostname", server.host, "--port", str(server.port)]
            for what in ([], ["m"], ["m", "--json"]):
                assert machine.main([*what, *where]) == 0
            *pages, document = capsys.readouterr().out.splitlines()
            shown.append((pages, json.loads(document)["machine"]))
    assert shown[0] == shown[1]
    assert shown[1][1]["num_boards"] == 25


# -- 9, 11, 12: what would harm others is not sent --------------------------------------


def test_point_9_machines_are_not_subscribed_to(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    client.list_machines()
    client.notify_machine("m")
    client.notify_machine()
    client.no_notify_machine()
    assert server.command_counts["notify_machine"] == 0


def test_point_9_machines_are_not_subscribed_to_before_it_is_known_what_server_it_is(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    client.notify_machine("m")
    assert client.session.server.is_java
    assert server.command_counts["notify_machine"] == 0


def test_point_9_nothing_is_subscribed_to_while_no_job_is_held(server: SimulatedServer) -> None:
    with job_of(server, config_filenames=[]) as job:
        session = job._client.session
        waiting = in_thread(lambda: job.wait_for_state_change(JobState.ready))
        await_true(lambda: session.subscriptions.connections == 1)
        job.destroy()
        assert waiting.result(PATIENCE_S) is JobState.destroyed
        await_true(lambda: session.subscriptions.connections == 0)


def seen_by(looking: Poller[list[Any]]) -> list[Any]:
    assert select.select([looking], [], [], PATIENCE_S)[0]
    snapshot = looking.take()
    assert snapshot is not None
    return snapshot.data or []


def test_point_9_who_looks_on_subscribes_to_nothing(
    server: SimulatedServer, client: ProtocolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "UNTOLD_INTERVAL_S", 0.05)
    with closing(client.monitor(client.list_jobs)) as looking:
        seen = [seen_by(looking)]
        client.create_job(owner="me")
        while not seen[-1]:
            seen.append(seen_by(looking))
    assert seen[0] == []
    counts = server.command_counts
    assert (counts["notify_job"], counts["notify_machine"]) == (0, 0)


@pytest.mark.parametrize("size", [(5, 1), (2, 4), (24,)])
def test_point_11_a_shape_that_no_machine_can_hold_is_not_sent(
    server: SimulatedServer, client: ProtocolClient, size: tuple[int, ...]
) -> None:
    for ask in (
        # As the first thing that a client asks, too.
        lambda: client.create_job(*size, owner="me"),
        lambda: client.call("create_job", *size, owner="me"),
        lambda: job_of(server, *size, config_filenames=[]),
    ):
        with pytest.raises(ValueError, match=r"no machine can hold .*m 4 x 2"):
            ask()
    assert server.command_counts["create_job"] == 0


@pytest.mark.parametrize("size", [(), (1,), (2,), (12,), (4, 2)])
def test_point_11_a_shape_that_fits_is_sent(client: ProtocolClient, size: tuple[int, ...]) -> None:
    client.list_machines()
    assert client.create_job(*size, owner="me") == 1


def test_point_12_a_destroyed_job_is_sent_no_power(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    with job_of(server, config_filenames=[]) as job:
        job.wait_until_ready(PATIENCE_S)
    assert job.id is not None
    client.list_machines()
    for set_power in (client.power_on_job_boards, client.power_off_job_boards):
        with pytest.raises(JobDestroyedError, match="has been destroyed"):
            set_power(job.id)
    assert client.get_job_state(job.id)["state"] == JobState.destroyed


# -- 13 to 17: its words ----------------------------------------------------------------


def test_point_13_power_of_a_queued_job_does_nothing_and_nothing_is_none(
    server: SimulatedServer, client: ProtocolClient
) -> None:
    client.create_job(4, 2, owner="me")
    queued = client.create_job(owner="me")
    await_true(lambda: client.get_job_state(1)["state"] == JobState.ready)
    client.power_on_job_boards(queued)
    with pytest.raises(SpallocServerException, match="no boards currently allocated"):
        client.call("power_on_job_boards", queued)
    assert client.get_job_state(queued)["state"] == JobState.queued
    assert client.where_is(job_id=queued, chip_x=0, chip_y=0) is None
    assert set(client.get_job_machine_info(queued).values()) == {None}


def test_point_14_boards_are_final_once_the_job_was_ready(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    java = JavaOptions(failing_power_ons=1)
    with SimulatedServer(dialect="java", java=java, power_seconds=0.6) as server:
        job = job_of(server, ledger=str(ledger), config_filenames=[])
        # Moved while it is powered on for the first time, and that fails.
        assert job.wait_for_state_change(JobState.queued, PATIENCE_S) is JobState.power
        at_first = job.boards
        job.wait_until_ready(PATIENCE_S)
        finally_ = job.boards
        job.destroy()
    assert at_first is not None
    assert finally_ is not None
    assert at_first != finally_
    (entered,), _ = read_ledger(ledger.read_bytes().splitlines())
    assert [list(board) for board in entered.boards] == finally_


def test_point_14_a_job_that_is_queued_again_has_no_boards_and_no_size() -> None:
    left = {"width": 8, "height": 8, "machine_name": "m", "connections": [], "boards": []}
    assert set(machine_info(left).values()) == {None}


def test_point_15_a_destroyed_job_is_destroyed_however_often_it_is_asked(
    client: ProtocolClient,
) -> None:
    job_id = client.create_job(3, owner="me")
    await_true(lambda: client.get_job_state(job_id)["state"] == JobState.ready)
    client.destroy_job(job_id, "done")
    for _ in range(2):
        told = client.get_job_state(job_id)
        assert (told["state"], told["reason"], told["power"]) == (JobState.destroyed, "done", None)
        assert set(client.get_job_machine_info(job_id).values()) == {None}


def test_point_16_boards_that_rest_are_waited_for_in_state_power_and_not_in_the_queue() -> None:
    one_triad = [MachineSpec("m", 1, 1)]
    with SimulatedServer(one_triad, dialect="java", seconds_before_free=600.0) as server:
        with job_of(server, 3, config_filenames=[]):
            pass
        with pytest.raises(PowerTimeoutError, match="not powered on within"):
            allocate(3, hostname=server.host, port=server.port, owner="me", config_filenames=[],
                     queue_timeout=PATIENCE_S, power_timeout=0.2, attempts=1)  # fmt: skip


@pytest.mark.parametrize(
    ("asked_s", "kept_s"), [(None, 60.0), (40.5, 40.0), (0.9, 0.9), (7.0, 7.0)]
)
def test_point_17_a_job_is_kept_alive_in_the_interval_that_the_server_makes_of_its_keepalive(
    client: ProtocolClient, asked_s: float | None, kept_s: float
) -> None:
    assert client.session.server.effective_keepalive_s(asked_s) == asked_s
    client.version()
    assert client.session.server.effective_keepalive_s(asked_s) == kept_s


@pytest.mark.parametrize(
    ("keepalive", "remark"),
    [(60.0, None), (10.0, "only every 30 s"), (40.5, "to 40 s"), (None, "one of 60 s")],
)
def test_point_17_a_keepalive_that_the_server_takes_otherwise_is_remarked_on(
    server: SimulatedServer,
    caplog: pytest.LogCaptureFixture,
    keepalive: float | None,
    remark: str | None,
) -> None:
    with job_of(server, keepalive=keepalive, config_filenames=[]):
        pass
    remarks = [entry.message for entry in caplog.records if "the server" in entry.message]
    assert len(remarks) == (remark is not None)
    assert all(str(remark) in told for told in remarks)
