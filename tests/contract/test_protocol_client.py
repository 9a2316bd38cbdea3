"""The manual's 8.2, sentence by sentence, on every kind of server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from spalloc_gevent import (
    JobState,
    ProtocolClient,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocServerException,
)
from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.geometry import ethernet_chip
from spalloc_gevent.wire.commands import COMMANDS
from tests.contract.support import (
    PATIENCE_S,
    Server,
    StoppableServer,
    Tap,
    await_end_of,
    await_true,
    boards_of,
    client_of,
    in_thread,
    nothing_left_behind,
    ours,
    owner,
    results,
)
from tools.real_server import free_port

Place = list[int] | None
Board = tuple[str, int, int, int]
NOBODYS = 2_000_000_000
"""A number that no job has, on a live server either."""


@pytest.fixture
def client(server: Server) -> Iterator[ProtocolClient]:
    with client_of(server) as client:
        yield client


@pytest.fixture
def tap(server: Server) -> Iterator[Tap]:
    """Listens in on everything between the test and its server."""
    with Tap(server) as tap:
        yield tap


def ready_job(client: ProtocolClient, *what: int) -> int:
    """A job without keepalive whose boards are on."""
    job_id = client.create_job(*what, owner=owner(), keepalive=None)
    await_true(lambda: client.get_job_state(job_id)["state"] == JobState.ready)
    return job_id


def hears_of(client: ProtocolClient, job_id: int) -> bool:
    """True once a notification tells of the job; on a live server others come as well."""
    while job_id not in (client.wait_for_notification(PATIENCE_S) or {}).get("jobs_changed", ()):
        pass
    return True


# ---------------------------------------------------------------- connecting


def test_as_in_the_manual(server: Server, version: str) -> None:
    with ProtocolClient(server.host, server.port) as c:
        assert c.call("version") == c.version() == version
        c.notify_job()
        assert hears_of(c, c.create_job(owner=owner(), keepalive=None))


def test_does_not_connect_to_the_server_until_connect_is_called(tap: Tap) -> None:
    client = ProtocolClient(tap.host, tap.port)
    assert "not connected" in repr(client)
    assert tap.connections_made == 0
    client.connect()
    await_true(lambda: tap.connections_made == 1)
    client.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.version(),
        lambda client: client.call("nonsense"),
        lambda client: client.notify_job(),
        lambda client: client.wait_for_notification(),
        lambda client: client.wait_for_notification(-1),
        lambda client: client.monitor(client.list_jobs),
    ],
)
def test_nothing_can_be_asked_before_connect(
    tap: Tap, use: Callable[[ProtocolClient], object]
) -> None:
    client = ProtocolClient(tap.host, tap.port)
    with pytest.raises(ProtocolError, match="call connect"):
        use(client)
    assert tap.connections_made == 0


def test_a_command_connects_an_open_client_when_nobody_has(tap: Tap, version: str) -> None:
    client = ProtocolClient(tap.host, tap.port).open()
    assert client.version() == version
    client.close()


def test_the_port_may_be_text(server: Server, version: str) -> None:
    with ProtocolClient(server.host, str(server.port)) as client:
        assert client.version() == version


def test_the_port_is_22244_when_not_given() -> None:
    assert "somewhere:22244" in repr(ProtocolClient("somewhere"))


@pytest.mark.parametrize(
    ("hostname", "port", "kind"),
    [
        ("", 1, ValueError),
        (" ", 1, ValueError),
        (None, 1, TypeError),
        ("h", 0, ValueError),
        ("h", 65536, ValueError),
        ("h", "", ValueError),
        ("h", "http", ValueError),
        ("h", 1.0, TypeError),
        ("h", None, TypeError),
        ("h", True, TypeError),
    ],
)
def test_a_host_or_port_that_cannot_be_one_is_refused(
    hostname: Any, port: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"hostname|port"):
        ProtocolClient(hostname, port)


def test_connect_raises_an_os_error_if_a_connection_failure_occurs() -> None:
    client = ProtocolClient("127.0.0.1", port := free_port())
    with nothing_left_behind():
        with pytest.raises(OSError, match=str(port)):
            client.connect()
        with pytest.raises(ProtocolError), client:
            raise AssertionError("there is nobody to connect to")
        client.close()


@pytest.mark.own_server("stops it and starts it again")
def test_connect_makes_an_attempt_whatever_failed_before(
    server: StoppableServer, version: str
) -> None:
    with client_of(server) as client:
        server.stop()
        for _ in range(3):
            with pytest.raises(OSError, match=str(server.port)):
                client.connect()
        server.restart()
        client.connect()
        assert client.version() == version


def test_connect_on_a_connected_client_makes_a_new_connection(tap: Tap, version: str) -> None:
    with client_of(tap) as client:
        assert client.version() == version
        assert tap.connections_made == 1
        client.connect()
        assert client.version() == version
        assert tap.connections_made == 2
        assert client.session.connections == 1


def test_connect_does_not_wait_for_an_answer() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        client = ProtocolClient(*silent.getsockname())
        in_thread(client.connect).result(PATIENCE_S)
        with pytest.raises(ProtocolTimeoutError):
            client.version(timeout=0.1)
        client.close()


def test_connect_raises_an_os_error_when_it_takes_too_long() -> None:
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting_one = opened.enter_context(socket.socket())
            waiting_one.setblocking(False)
            waiting_one.connect_ex(full.getsockname())
        with pytest.raises(OSError, match="no answer to the connection attempt"):
            ProtocolClient(*full.getsockname()).connect(timeout=0.2)


def test_the_timeout_of_the_constructor_is_for_connecting_and_not_for_calls(
    tap: Tap, version: str
) -> None:
    with ProtocolClient(tap.host, tap.port, timeout=0.1) as client:
        with tap.held():
            waiting = in_thread(client.version)
            # Longer than the constructor's, which is over when this is.
            with pytest.raises(ProtocolTimeoutError):
                client.list_jobs(timeout=0.5)
        assert waiting.result(PATIENCE_S) == version


def test_close_disconnects_from_the_server(server: Server) -> None:
    with nothing_left_behind():
        client = client_of(server)
        client.connect()
        client.close()
        client.close()


def test_a_closed_client_refuses_commands_until_it_is_connected_again(
    client: ProtocolClient,
    version: str,
) -> None:
    client.close()
    with pytest.raises(ClosedError, match="connect"):
        client.version()
    client.connect()
    assert client.version() == version


@pytest.mark.own_server("stops it and starts it again")
def test_connect_reconnects_after_the_server_was_away(
    server: StoppableServer, version: str
) -> None:
    with client_of(server) as client:
        server.stop()
        with pytest.raises(ProtocolError):
            client.version()
        server.restart()
        await_true(lambda: _succeeds(client.connect))
        assert client.version() == version


def test_close_wakes_those_who_wait_for_a_notification(tap: Tap) -> None:
    client = client_of(tap)
    client.notify_job()
    waiting = in_thread(client.wait_for_notification)
    client.close()
    with pytest.raises(ProtocolError, match="closed"):
        waiting.result(PATIENCE_S)


# ---------------------------------------------------------------- commands by name


def test_every_command_of_the_protocol_is_a_method() -> None:
    assert all(callable(getattr(ProtocolClient, name)) for name in COMMANDS)


def test_an_unknown_method_is_an_attribute_error(client: ProtocolClient) -> None:
    with pytest.raises(AttributeError):
        client.report_problems  # type: ignore[attr-defined] # noqa: B018


def test_call_returns_the_object_returned_by_the_server(client: ProtocolClient) -> None:
    job_id = client.call("create_job", 3, owner=owner(), keepalive=None)
    assert client.call("get_job_state", job_id)["state"] in (1, 2, 3)
    machine, x, y, z = boards_of(client)[-1]
    place = client.call("get_board_position", machine_name=machine, x=x, y=y, z=z)
    assert place == client.get_board_position(machine, x, y, z)
    assert client.call("job_keepalive", job_id) is None
    assert client.call("destroy_job", job_id, reason="over", timeout=PATIENCE_S) is None
    assert client.call("get_job_state", job_id)["reason"] == "over"


def test_an_unknown_command_is_an_error_that_names_it(client: ProtocolClient) -> None:
    # The Python server hangs up on it, the Java server says so.
    with pytest.raises((ProtocolError, SpallocServerException), match="nonsense"):
        client.call("nonsense")


def test_call_takes_watches_too(client: ProtocolClient) -> None:
    client.call("notify_job", None)
    assert hears_of(client, client.call("create_job", owner=owner(), keepalive=None))


def test_an_unknown_command_goes_alone_and_hurts_nobody(tap: Tap, version: str) -> None:
    with client_of(tap) as client:
        client.version()
        before = tap.connections_made
        for command, args in (("nonsense", ()), ("get_job_state", ()), ("job_keepalive", ())):
            with pytest.raises((ProtocolError, SpallocServerException)):
                client.call(command, *args)
        assert tap.connections_made == before + 3
        assert client.version() == version
        assert tap.connections_made == before + 3


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_commands_name_is_text(client: ProtocolClient, name: Any) -> None:
    with pytest.raises(TypeError, match="name"):
        client.call(name)


def test_call_checks_create_job_before_sending(tap: Tap) -> None:
    client = client_of(tap)
    with pytest.raises(ValueError, match="owner"):
        client.call("create_job", 3)
    with pytest.raises(ValueError, match="boards"):
        client.call("create_job", 0, owner="me")
    assert tap.connections_made == 0


# ---------------------------------------------------------------- typed commands


def test_create_job_gives_its_number_and_list_jobs_all_of_it(client: ProtocolClient) -> None:
    job_id = client.create_job(3, owner=owner(), keepalive=12.0, tags={"default"})
    await_true(lambda: client.get_job_state(job_id)["state"] == JobState.ready)
    (job,) = ours(client.list_jobs())
    assert (job["job_id"], job["owner"], job["keepalive"]) == (job_id, owner(), 12.0)
    assert (job["args"], job["kwargs"]["tags"]) == ([3], ["default"])
    assert job["allocated_machine_name"] in [machine["name"] for machine in client.list_machines()]
    assert len({tuple(board[:2]) for board in job["boards"]}) == 1
    assert sorted(board[2] for board in job["boards"]) == [0, 1, 2]
    assert abs(job["start_time"] - time.time()) < 600


def test_list_jobs_tells_the_oldest_first_and_none_that_is_destroyed(
    client: ProtocolClient,
) -> None:
    first, second, third = [client.create_job(owner=owner(), keepalive=None) for _ in range(3)]
    # What is destroyed while it is allocated is brought back by the Java server (point 3).
    await_true(lambda: client.get_job_state(second)["state"] == JobState.ready)
    client.destroy_job(second)
    assert [job["job_id"] for job in ours(client.list_jobs())] == [first, third]


@pytest.mark.parametrize(
    ("what", "keywords"),
    [((0,), {}), ((1, 2, 3, 4), {}), ((), {"owner": None}), ((), {"keepalive": 0}),
     ((), {"machine": "m", "tags": ["t"]}), ((), {"require_torus": True})],
)  # fmt: skip
def test_create_job_is_refused_before_anything_is_sent(
    tap: Tap, what: tuple[int, ...], keywords: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        client_of(tap).create_job(*what, **{"owner": owner(), **keywords})
    assert tap.connections_made == 0


def test_get_job_state_tells_everything(client: ProtocolClient, on_java: bool) -> None:
    job_id = client.create_job(owner=owner(), keepalive=60.0)
    # The Java server tells who kept it alive before.
    client.job_keepalive(job_id)
    state = client.get_job_state(job_id)
    assert set(state) >= {"state", "power", "keepalive", "reason", "start_time", "keepalivehost"}
    assert state["reason"] is None
    assert state["keepalivehost"]
    # Point 17: there it is the time of the last keepalive.
    assert abs((state["keepalive"] or 0) - (time.time() if on_java else 60.0)) < 600 * on_java + 1


def test_an_unknown_job_has_state_unknown_and_nothing_else(client: ProtocolClient) -> None:
    state = client.get_job_state(NOBODYS)
    assert state.pop("state") == JobState.unknown  # type: ignore[misc]
    assert not any(state.values())
    assert not any(client.get_job_machine_info(NOBODYS).values())


def test_commands_about_an_unknown_job_do_nothing(client: ProtocolClient) -> None:
    client.job_keepalive(NOBODYS)
    client.power_on_job_boards(NOBODYS)
    client.power_off_job_boards(NOBODYS)
    client.destroy_job(NOBODYS, "whatever")
    assert ours(client.list_jobs()) == []


def test_get_job_machine_info_tells_size_names_and_boards(client: ProtocolClient) -> None:
    info = client.get_job_machine_info(ready_job(client, 3))
    assert info["machine_name"] in [machine["name"] for machine in client.list_machines()]
    assert (info["width"], info["height"]) == (16, 16)
    assert sorted(z for _, _, z in info["boards"] or []) == [0, 1, 2]
    assert sorted(tuple(at) for at, _ in info["connections"] or []) == [(0, 0), (4, 8), (8, 4)]


def test_power_commands_turn_boards_off_and_on(client: ProtocolClient) -> None:
    job_id = ready_job(client)
    for command, power in (
        (client.power_off_job_boards, False),
        (client.power_on_job_boards, True),
    ):
        command(job_id)
        await_true(lambda: client.get_job_state(job_id)["state"] == JobState.ready)
        assert client.get_job_state(job_id)["power"] is power


def test_job_keepalive_keeps_a_job_alive(server: Server, client: ProtocolClient) -> None:
    job_id = client.create_job(owner=owner(), keepalive=1.0)
    neglected = client.create_job(owner=owner(), keepalive=1.0)
    for _ in range(8):
        time.sleep(0.25)
        client.job_keepalive(job_id)
    keeping = in_thread(lambda: await_end_of(server, neglected))
    while not keeping.done():
        client.job_keepalive(job_id)
        time.sleep(0.05)
    assert [job["job_id"] for job in ours(client.list_jobs())] == [job_id]


def test_destroy_job_gives_everybody_the_reason(client: ProtocolClient) -> None:
    job_id = ready_job(client)
    client.destroy_job(job_id, reason="too long")
    assert client.get_job_state(job_id)["state"] == JobState.destroyed
    assert client.get_job_state(job_id)["reason"] == "too long"


@pytest.mark.own_server("has machines of its own")
def test_list_machines_tells_size_in_triads_and_tags(client: ProtocolClient) -> None:
    assert client.list_machines() == [
        {"name": "m", "tags": ["default"], "width": 4, "height": 2,
         "dead_boards": [], "dead_links": []}
    ]  # fmt: skip


def test_positions_of_boards_translate_both_ways(client: ProtocolClient) -> None:
    boards = boards_of(client)
    places = [client.get_board_position(*board) for board in boards]
    assert len({str(place) for place in places}) == len(boards)
    for (machine, *board), place in zip(boards, places, strict=True):
        assert isinstance(place, list)
        assert client.get_board_at_position(machine, *place) == board


def test_boards_that_do_not_exist_have_no_position(client: ProtocolClient) -> None:
    machine = boards_of(client)[0][0]
    assert client.get_board_position(machine, 9000, 0, 0) is None
    assert client.get_board_position("elsewhere", 0, 0, 0) is None
    assert client.get_board_at_position(machine, 9000, 9, 9) is None


def test_a_board_coordinate_is_a_whole_number(tap: Tap) -> None:
    client = client_of(tap)
    with pytest.raises(TypeError, match="x must"):
        client.get_board_position("m", 0.5, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="job_id"):
        client.get_job_state("1")  # type: ignore[arg-type]
    assert tap.connections_made == 0


def test_where_is_answers_in_its_four_styles(client: ProtocolClient) -> None:
    # With others' jobs around it: the second board of a row, if there is more than one.
    ready_job(client)
    job_id = ready_job(client)
    info = client.get_job_machine_info(job_id)
    machine, boards = info["machine_name"] or "", info["boards"] or []
    x, y, z = boards[0]
    chip = ethernet_chip((x, y, z))
    place = client.get_board_position(machine, x, y, z)
    assert place is not None
    styles: list[dict[str, Any]] = [
        {"machine": machine, "x": x, "y": y, "z": z},
        {"machine": machine, **dict(zip(("cabinet", "frame", "board"), place, strict=True))},
        {"machine": machine, "chip_x": chip[0], "chip_y": chip[1]},
        {"job_id": job_id, "chip_x": 0, "chip_y": 0},
    ]
    for style in styles:
        assert client.where_is(**style) == {
            "machine": machine, "logical": [x, y, z], "physical": list(place),
            "chip": list(chip), "board_chip": [0, 0], "job_id": job_id, "job_chip": [0, 0],
        }  # fmt: skip


def test_where_is_nothing_is_none(client: ProtocolClient) -> None:
    assert client.where_is(machine="elsewhere", x=0, y=0, z=0) is None
    assert client.where_is(job_id=NOBODYS, chip_x=0, chip_y=0) is None


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ({}, ValueError),
        ({"machine": "m"}, ValueError),
        ({"machine": "m", "x": 0, "y": 0}, ValueError),
        ({"machine": "m", "x": 0, "y": 0, "z": 0, "chip_x": 0}, ValueError),
        ({"machine": "m", "x": 0, "y": 0, "board": 0}, ValueError),
        ({"job_id": 1, "machine": "m", "chip_x": 0, "chip_y": 0}, ValueError),
        ({"machine": 3, "x": 0, "y": 0, "z": 0}, TypeError),
        ({"machine": "m", "x": "0", "y": 0, "z": 0}, TypeError),
        ({"job_id": 1, "chip_x": 0.5, "chip_y": 0}, TypeError),
    ],
)
def test_where_is_in_any_other_style_is_refused_before_sending(
    tap: Tap, question: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        client_of(tap).where_is(**question)
    assert tap.connections_made == 0


def test_a_refusal_is_an_exception_and_the_connection_stays_in_use(tap: Tap, version: str) -> None:
    with client_of(tap) as client:
        with pytest.raises(SpallocServerException) as caught:
            client.call("where_is", machine="m")
        assert caught.value.command == "where_is"
        before = tap.connections_made
        assert client.version() == version
        assert tap.connections_made == before


# ---------------------------------------------------------------- notifications


def test_wait_for_notification_returns_the_next_to_arrive(client: ProtocolClient) -> None:
    job_id = ready_job(client)
    client.notify_job(job_id)
    waiting = in_thread(client.wait_for_notification)
    client.destroy_job(job_id)
    assert waiting.result(PATIENCE_S) == {"jobs_changed": [job_id]}


def test_wait_for_notification_raises_if_a_timeout_occurs(client: ProtocolClient) -> None:
    client.notify_job(ready_job(client))
    for timeout in (0.05, 0):
        with pytest.raises(ProtocolTimeoutError, match="no notification"):
            client.wait_for_notification(timeout)


def test_wait_for_notification_gives_only_what_has_come_when_negative(
    client: ProtocolClient,
) -> None:
    assert client.wait_for_notification(-1) is None
    job_id = ready_job(client)
    client.notify_job(job_id)
    assert client.wait_for_notification(timeout=-0.5) is None
    client.destroy_job(job_id)
    come: list[Any] = []

    def something_came() -> bool:
        come.append(client.wait_for_notification(-1))
        return come[-1] is not None

    await_true(something_came)
    assert come[-1] == {"jobs_changed": [job_id]}


@pytest.mark.own_server("stops it")
def test_wait_for_notification_raises_if_the_connection_is_lost(server: StoppableServer) -> None:
    with client_of(server) as client:
        client.notify_job()
        waiting = in_thread(client.wait_for_notification)
        server.stop()
        with pytest.raises(ProtocolError):
            waiting.result(PATIENCE_S)


def test_notify_job_tells_of_that_job_only(client: ProtocolClient) -> None:
    first, second = ready_job(client), ready_job(client)
    client.notify_job(second)
    client.destroy_job(first)
    client.destroy_job(second)
    assert client.wait_for_notification(PATIENCE_S) == {"jobs_changed": [second]}


def test_no_notify_job_undoes_notify_job(client: ProtocolClient) -> None:
    first, second = ready_job(client), ready_job(client)
    client.notify_job(first)
    client.notify_job(second)
    client.no_notify_job(first)
    client.destroy_job(first)
    client.destroy_job(second)
    assert client.wait_for_notification(PATIENCE_S) == {"jobs_changed": [second]}


@pytest.mark.own_server("listens to all machines, which are its own")
@pytest.mark.not_on_java("machines are not subscribed to (point 9)")
def test_no_notify_job_without_a_number_undoes_all(client: ProtocolClient) -> None:
    job_id = ready_job(client)
    client.notify_job(job_id)
    client.notify_job()
    client.no_notify_job()
    client.notify_machine("m")
    client.destroy_job(job_id)
    assert client.wait_for_notification(PATIENCE_S) == {"machines_changed": ["m"]}
    assert client.wait_for_notification(-1) is None


@pytest.mark.own_server("listens to all machines, which are its own")
@pytest.mark.not_on_java("machines are not subscribed to (point 9)")
def test_notify_machine_tells_of_a_machine_or_of_any(client: ProtocolClient) -> None:
    for name in ("m", None):
        client.notify_machine(name)
        client.create_job(owner="me", keepalive=None)
        assert client.wait_for_notification(PATIENCE_S) == {"machines_changed": ["m"]}
        client.no_notify_machine(name)
        while client.wait_for_notification(-1) is not None:
            pass


def test_no_notify_machine_undoes_notify_machine(client: ProtocolClient) -> None:
    for name in (boards_of(client)[0][0], None):
        client.notify_machine(name)
        client.no_notify_machine(name)
    job_id = ready_job(client)
    client.notify_job(job_id)
    client.destroy_job(job_id)
    assert client.wait_for_notification(PATIENCE_S) == {"jobs_changed": [job_id]}


def test_notify_job_takes_only_a_whole_number(tap: Tap) -> None:
    with pytest.raises(TypeError, match="job_id"):
        client_of(tap).notify_job("1")  # type: ignore[arg-type]
    assert tap.connections_made == 0


def test_two_clients_each_get_their_own_notifications(server: Server) -> None:
    with client_of(server) as one, client_of(server) as other:
        job_id = ready_job(other)
        one.notify_job(job_id)
        other.destroy_job(job_id)
        assert one.wait_for_notification(PATIENCE_S) == {"jobs_changed": [job_id]}
        assert other.wait_for_notification(-1) is None


# ---------------------------------------------------------------- time-outs, lost servers


def test_a_command_raises_when_the_server_does_not_answer_in_time(tap: Tap) -> None:
    with client_of(tap) as client, tap.held():
        with pytest.raises(ProtocolTimeoutError, match="version"):
            client.version(timeout=0.05)
        with pytest.raises(ProtocolTimeoutError):
            client.call("list_jobs", timeout=0.05)


def test_the_timeout_of_the_client_holds_for_every_command(tap: Tap) -> None:
    with contextlib.closing(client_of(tap, timeout=0.05)) as client, tap.held():
        for command in (client.version, client.list_jobs, client.notify_job):
            with pytest.raises(ProtocolTimeoutError):
                command()


def test_a_late_answer_is_not_given_to_the_next_caller(tap: Tap, version: str) -> None:
    with client_of(tap) as client:
        with tap.held(), pytest.raises(ProtocolTimeoutError):
            client.list_machines(timeout=0.05)
        assert client.version() == version
        assert ours(client.list_jobs()) == []


@pytest.mark.own_server("stops it")
def test_a_command_raises_when_the_connection_is_unavailable(server: StoppableServer) -> None:
    with client_of(server) as client:
        server.stop()
        with pytest.raises(ConnectionLostError):
            client.version()
        with pytest.raises(OSError, match=str(server.port)):
            client.create_job(owner=owner())


@pytest.mark.own_server("stops it and starts it again")
def test_commands_find_a_server_that_has_come_back(server: StoppableServer) -> None:
    with client_of(server) as client:
        job_id = ready_job(client)
        server.restart()
        await_true(lambda: _succeeds(client.version))
        assert client.get_job_state(job_id)["state"] in (JobState.power, JobState.ready)


def _succeeds(ask: Callable[[], object]) -> bool:
    """False while the server is taken for unreachable: attempts to reach it are paced."""
    try:
        ask()
    except ConnectionLostError:
        return False
    return True


# ---------------------------------------------------------------- threads and greenlets


def test_a_hundred_threads_on_one_client_each_get_their_own_answer(tap: Tap) -> None:
    with client_of(tap) as client:
        boards, expected = _places(client)
        at_once = threading.Barrier(100, timeout=PATIENCE_S)

        def ask(n: int) -> list[Place]:
            at_once.wait()
            mine = [boards[(n + i) % len(boards)] for i in range(10)]
            return [client.get_board_position(*board) for board in mine]

        asked = [in_thread(_bound(ask, n)) for n in range(100)]
        for n, answers in enumerate(results(asked)):
            assert answers == [expected[(n + i) % len(boards)] for i in range(10)]
        _was_fair(tap)


def test_200_greenlets_on_one_client_each_get_their_own_answer(tap: Tap) -> None:
    with client_of(tap) as client:
        boards, expected = _places(client)

        def ask(n: int) -> Place:
            return client.get_board_position(*boards[n % len(boards)])

        greenlets = [gevent.spawn(ask, n) for n in range(200)]
        gevent.joinall(greenlets, timeout=PATIENCE_S, raise_error=True)
        assert [g.value for g in greenlets] == [expected[n % len(boards)] for n in range(200)]
        _was_fair(tap)


def test_greenlets_that_give_up_disturb_nobody(tap: Tap) -> None:
    with client_of(tap) as client:
        boards, expected = _places(client)
        with tap.held():
            lost = [gevent.spawn(_times_out, client, board) for board in boards]
            gevent.joinall(lost, timeout=PATIENCE_S, raise_error=True)
        answers = [client.get_board_position(*board) for board in boards]
        assert answers == expected
        assert tap.most_in_flight == 1


def _times_out(client: ProtocolClient, board: Board) -> None:
    with pytest.raises(ProtocolTimeoutError):
        client.get_board_position(*board, timeout=0.05)


def _places(client: ProtocolClient) -> tuple[list[Board], list[Place]]:
    boards = boards_of(client)
    return boards, [client.get_board_position(*board) for board in boards]


def _bound(ask: Callable[[int], list[Place]], n: int) -> Callable[[], list[Place]]:
    return lambda: ask(n)


def _was_fair(tap: Tap) -> None:
    """At most 9 connections, and never two commands in flight on one of them."""
    assert tap.most_connections <= 9
    assert tap.most_in_flight == 1
