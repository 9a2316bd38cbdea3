"""The simulated server on real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from spalloc_gevent.simulator import (
    Delay,
    Drop,
    Duplicate,
    Fault,
    Garbage,
    JavaOptions,
    MachineSpec,
    NotificationFlood,
    Refuse,
    Silence,
    SimulatedServer,
    Split,
    Unsolicited,
)
from spalloc_gevent.simulator import connection as connection_module
from spalloc_gevent.simulator.dialects import DIALECTS
from spalloc_gevent.states import JobState
from tests.transport.recordings import Time

GIVE_UP_S = 20.0


class Raw:
    """A client without any comfort; reads whole lines and keeps nothing back."""

    def __init__(self, server: Any) -> None:
        self.sock = socket.create_connection((server.host, server.port), GIVE_UP_S)
        self._stream = self.sock.makefile("rb")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.sock.close()

    def send(self, name: str, *args: Any, **kwargs: Any) -> None:
        request = {"command": name, "args": args, "kwargs": kwargs}
        self.sock.sendall(json.dumps(request).encode() + b"\n")

    def line(self) -> bytes:
        return self._stream.readline()

    def message(self) -> Any:
        line = self.line()
        assert line.endswith(b"\n"), "the server hung up"
        return json.loads(line)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.send(name, *args, **kwargs)
        return self.message()

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self.call(name, *args, **kwargs)["return"]

    def create(self, *args: Any, **kwargs: Any) -> Any:
        return self.ask("create_job", *args, **{"owner": "me", **kwargs})

    def hung_up_on(self) -> bool:
        try:
            return self.line() == b""
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Go away as a process does that is killed with something unread."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.__exit__()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what is certain to come; fail when it does not."""
    gives_up_at = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < gives_up_at, "it never came"
        time.sleep(0.001)


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as server:
        yield server


@pytest.fixture
def client(server: SimulatedServer) -> Iterator[Raw]:
    with Raw(server) as client:
        yield client


def test_commands_are_answered_in_order(client: Raw) -> None:
    assert client.call("version") == {"return": "1!7.0.0"}
    assert client.create() == 1
    assert client.ask("get_job_machine_info", 1)["boards"] == [[0, 0, 0]]


def test_job_is_ready_when_its_power_time_is_over() -> None:
    with SimulatedServer(power_seconds=0.05) as server, Raw(server) as client:
        client.ask("notify_job")
        client.create()
        assert client.message() == {"jobs_changed": [1]}
        assert client.ask("get_job_state", 1)["state"] == 2
        assert client.message() == {"jobs_changed": [1]}
        assert client.ask("get_job_state", 1)["state"] == 3


def test_answer_comes_before_the_notification_that_it_causes(client: Raw) -> None:
    client.ask("notify_machine", "m")
    client.send("create_job", owner="me")
    assert client.message() == {"return": 1}
    assert client.message() == {"machines_changed": ["m"]}


def test_each_watcher_is_told_of_what_it_watches(server: SimulatedServer) -> None:
    with Raw(server) as one, Raw(server) as every, Raw(server) as client:
        one.ask("notify_job", 2)
        every.ask("notify_job")
        client.create(24)
        client.create()
        client.ask("destroy_job", 2, reason="x")
        assert one.message() == one.message() == {"jobs_changed": [2]}
        assert {every.message()["jobs_changed"][0] for _ in range(3)} == {1, 2}


def test_lost_connection_takes_its_watches_and_leaves_its_jobs(server: SimulatedServer) -> None:
    with Raw(server) as client:
        client.ask("notify_job")
        client.create()
    until(lambda: server.connections == 0)
    assert [job["job_id"] for job in server.jobs] == [1]


@pytest.mark.parametrize(
    "line",
    [
        b'{"command": "no_such_command", "args": [], "kwargs": {}}\n',
        b'{"command": "report_problem"}\n',
        b"this is no JSON\n",
        b"[1, 2]\n",
        b'{"command": "version", "args": {}}\n',
        b'{"command": "version", "kwargs": []}\n',
        b'{"command": 5}\n',
        b'{"args": []}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"x" * (connection_module.MOST_COMMAND_BYTES + 1),
    ],
)
def test_nonsense_is_hung_up_on_and_harms_nobody_else(
    server: SimulatedServer, client: Raw, line: bytes
) -> None:
    with Raw(server) as bad:
        bad.sock.sendall(line)
        assert bad.hung_up_on()
    assert client.ask("version") == "1!7.0.0"


def test_blank_lines_are_skipped(client: Raw) -> None:
    client.sock.sendall(b"\n\n")
    assert client.ask("version") == "1!7.0.0"


def test_command_in_pieces_is_one_command(client: Raw) -> None:
    for byte in b'{"command": "version"}\n':
        client.sock.sendall(bytes([byte]))
    assert client.message() == {"return": "1!7.0.0"}


def test_abrupt_close_with_many_in_flight_leaves_the_server_alive(
    server: SimulatedServer, client: Raw
) -> None:
    bad = Raw(server)
    for _ in range(50):
        bad.send("list_jobs")
    bad.reset()
    assert client.ask("version") == "1!7.0.0"


def test_last_answers_reach_a_client_that_has_stopped_sending(server: SimulatedServer) -> None:
    server.set_faults([Delay(0.05)])
    with Raw(server) as client:
        client.send("version")
        client.send("version")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.message() == client.message() == {"return": "1!7.0.0"}
        assert client.hung_up_on()


def test_subscriber_that_never_reads_stalls_nobody_and_is_hung_up_on() -> None:
    long_name = "m" * (connection_module.MOST_UNREAD_BYTES // 20)
    with SimulatedServer([MachineSpec(long_name)]) as server, Raw(server) as client:
        with Raw(server) as deaf:
            deaf.ask("notify_machine")
            until(lambda: server.connections == 2)
            while server.connections == 2:
                client.ask("destroy_job", client.create())
        assert client.ask("version") == "1!7.0.0"


def test_client_that_asks_and_never_reads_stalls_nobody(
    server: SimulatedServer, client: Raw
) -> None:
    for _ in range(200):
        client.create()
    with Raw(server) as deaf:
        deaf.sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                deaf.send("list_jobs")
        assert client.ask("version") == "1!7.0.0"
        assert server.command_counts["list_jobs"] < 10_000


def test_commands_seen_are_kept_in_order_with_their_connection(server: SimulatedServer) -> None:
    with Raw(server) as first, Raw(server) as second:
        first.ask("version")
        second.create(3, tags=["default"])
    seen = server.commands_seen
    assert seen.names == ["version", "create_job"]
    assert seen[0].args == []
    assert seen[1][1:3] == ([3], {"tags": ["default"], "owner": "me"})
    assert seen[0].connection != seen[1].connection
    assert (seen.count("version"), seen.count(seen[1]), seen.count("list_jobs")) == (1, 1, 0)
    assert seen.on(seen[1].connection).names == ["create_job"]
    assert server.command_counts["version"] == 1


def test_connections_are_counted(server: SimulatedServer) -> None:
    with Raw(server) as first, Raw(server) as second:
        first.ask("version")
        second.ask("version")
        assert server.connections == 2
    until(lambda: server.connections == 0)
    assert (server.connections_made, server.most_connections) == (2, 2)


def test_one_command_at_a_time_shows_as_one_in_flight(server: SimulatedServer, client: Raw) -> None:
    for _ in range(100):
        client.ask("version")
    assert server.max_in_flight == 1


def test_pipelining_is_noticed_in_one_piece_and_behind_a_slow_answer(
    server: SimulatedServer, client: Raw
) -> None:
    client.sock.sendall(b'{"command": "version"}\n' * 3)
    for _ in range(3):
        client.message()
    assert server.max_in_flight == 3


def test_command_sent_while_one_is_unanswered_is_noticed(
    server: SimulatedServer, client: Raw
) -> None:
    server.set_faults([Silence(on="version")])
    client.send("version")
    until(lambda: server.command_counts["version"] == 1)
    client.ask("list_jobs")
    assert server.max_in_flight == 2


def test_drop_hangs_up_with_the_command_carried_out(server: SimulatedServer, client: Raw) -> None:
    server.set_faults([Drop(on="create_job")])
    client.send("create_job", owner="me")
    assert client.hung_up_on()
    assert len(server.jobs) == 1


def test_drop_before_hangs_up_without_the_command_carried_out(
    server: SimulatedServer, client: Raw
) -> None:
    server.set_faults([Drop(on="create_job", before=True)])
    client.send("create_job", owner="me")
    assert client.hung_up_on()
    assert server.jobs == []
    assert server.commands_seen.count("create_job") == 1


def test_silence_leaves_only_its_own_command_unanswered(
    server: SimulatedServer, client: Raw
) -> None:
    server.set_faults([Silence(on="create_job")])
    client.send("create_job", owner="me")
    assert client.call("version") == {"return": "1!7.0.0"}
    assert len(server.jobs) == 1


def test_delayed_answer_does_not_delay_others(server: SimulatedServer, client: Raw) -> None:
    server.set_faults([Delay(3600.0, on="version")])
    client.send("version")
    until(lambda: server.command_counts["version"] == 1)
    with Raw(server) as other:
        assert other.ask("version") == "1!7.0.0"


def test_notification_may_come_while_an_answer_is_delayed(
    server: SimulatedServer, client: Raw
) -> None:
    client.ask("notify_job")
    server.set_faults([Delay(0.1, on="version")])
    client.send("version")
    with Raw(server) as other:
        other.create()
    assert client.message() == {"jobs_changed": [1]}
    assert client.message() == {"jobs_changed": [1]}
    assert client.message() == {"return": "1!7.0.0"}


def test_refusal_does_nothing_and_the_connection_stays_in_step(
    server: SimulatedServer, client: Raw
) -> None:
    server.set_faults([Refuse("no, thank you", on="create_job")])
    assert client.call("create_job", owner="me") == {"exception": "no, thank you"}
    assert client.create() == 1


def test_garbage_duplicates_and_unsolicited_answers_are_sent_as_ordered(
    server: SimulatedServer, client: Raw
) -> None:
    server.set_faults([Garbage(b"?\n"), Duplicate(on="list_jobs"), Unsolicited(7, on="version")])
    client.send("version")
    assert [client.line(), client.message()] == [b"?\n", {"return": 7}]
    client.send("list_jobs")
    assert client.message() == client.message() == {"return": []}
    assert client.ask("version") == "1!7.0.0"
    assert server.faults == ()


def test_split_answer_is_whole_in_the_end_and_nothing_comes_within(
    server: SimulatedServer, client: Raw
) -> None:
    client.ask("notify_job")
    server.set_faults([Split((3, 1, 4, 1, 5), on="version")])
    client.send("version")
    with Raw(server) as other:
        other.create()
    messages = [client.message() for _ in range(3)]
    assert {"return": "1!7.0.0"} in messages
    assert messages.count({"jobs_changed": [1]}) == 2


def test_flood_of_notifications_arrives_whole(server: SimulatedServer, client: Raw) -> None:
    server.set_faults([NotificationFlood(on="version", count=5000)])
    client.send("version")
    numbers = [client.message()["jobs_changed"][0] for _ in range(5000)]
    assert numbers == list(range(1, 5001))
    assert client.message() == {"return": "1!7.0.0"}


def test_new_connections_can_be_dropped_and_talked_to(server: SimulatedServer) -> None:
    server.faults = (Drop(on="connect"),)
    with Raw(server) as client:
        assert client.hung_up_on()
    server.faults = (Garbage(b"hello\n", on="connect"),)
    with Raw(server) as client:
        assert client.line() == b"hello\n"
        assert client.ask("version") == "1!7.0.0"


def test_warm_restart_keeps_jobs_and_port_and_loses_connections_and_watches(
    server: SimulatedServer,
) -> None:
    port = server.port
    with Raw(server) as client:
        client.ask("notify_job")
        client.create()
        server.restart()
        while client.line():  # what was on its way
            pass
    assert server.port == port
    with Raw(server) as client:
        assert client.ask("get_job_state", 1)["state"] == 3
        assert client.create() == 2


def test_cold_restart_forgets_everything_and_ids_begin_at_1(server: SimulatedServer) -> None:
    for _ in range(2):
        with Raw(server) as client:
            assert client.ask("get_job_state", 1)["state"] == 0
            assert client.create() == 1
        server.restart(cold=True)
    assert server.jobs == []


def test_stopped_server_refuses_connections_and_can_be_started_again(
    server: SimulatedServer,
) -> None:
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        Raw(server)
    assert (server.connections, "stopped" in repr(server)) == (0, True)
    server.start()
    server.start()
    with Raw(server) as client:
        assert client.ask("version") == "1!7.0.0"


def test_port_in_use_is_an_error_at_the_start(server: SimulatedServer) -> None:
    with pytest.raises(OSError, match="in use"):
        SimulatedServer(port=server.port).start()


def test_server_speaks_ipv6() -> None:
    with SimulatedServer(host="::1") as server, Raw(server) as client:
        client.create()
        assert client.ask("get_job_state", 1)["keepalivehost"] == "::1"


def test_job_expires_by_the_clock_given() -> None:
    now = 0.0
    with SimulatedServer(clock=lambda: now) as server, Raw(server) as client:
        client.ask("notify_job", 1)
        client.create(keepalive=60.0)
        client.message(), client.message()
        now = 60.0
        server.wake()
        assert client.message() == {"jobs_changed": [1]}
        assert client.ask("get_job_state", 1)["reason"] == "Job timed out."


def test_job_expires_by_itself_when_nobody_says_anything(client: Raw) -> None:
    client.ask("notify_job", 1)
    client.create(keepalive=0.05)
    messages = [client.message() for _ in range(3)]
    assert messages == [{"jobs_changed": [1]}] * 3
    assert client.ask("get_job_state", 1)["reason"] == "Job timed out."


def test_breakdown_of_the_server_surfaces_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SimulatedServer()
    server.start()
    monkeypatch.setattr(server._jobs.timers, "run_due", lambda: 1 / 0)
    with Raw(server) as client:
        assert client.hung_up_on()
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        server.stop()


@pytest.mark.parametrize("options", [{"dialect": "klingon"}, {"machines": [MachineSpec()] * 2}])
def test_server_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"dialect|same name"):
        SimulatedServer(**options)


def test_java_dialect_answers_nonsense_and_ends_lines_both_ways() -> None:
    with SimulatedServer(dialect="java") as server, Raw(server) as client:
        assert client.ask("version") == "5.0.0"
        client.send("no_such_command")
        line = client.line()
        assert line.endswith(b"\r\n")
        assert "exception" in json.loads(line)
        client.sock.sendall(b"?\n")
        assert "exception" in client.message()
        client.sock.sendall(b"\r\n")
        assert client.hung_up_on()


@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (b"@\n", False),
        (b"@\r\n@\r\n", False),
        (b"\n", True),
        (b"\r\n", True),
        (b"@\n\n", True),
        (b"@\n\r\n", True),
    ],
)
def test_blank_line_ends_a_session_with_the_java_server(sent: bytes, ends: bool) -> None:
    with SimulatedServer(dialect="java") as server, Raw(server) as client:
        client.sock.sendall(sent.replace(b"@", b'{"command": "version"}'))
        for _ in range(sent.count(b"@")):
            assert client.message() == {"return": "5.0.0"}
        if ends:
            assert client.hung_up_on()
        else:
            assert client.ask("version") == "5.0.0"


def test_client_that_sends_too_much_is_not_read_for_a_while() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = connection_module.ServedConnection(ours, 1, "::1", DIALECTS["python"])
        theirs.sendall(b"x\n" * connection_module.MOST_WAITING_COMMANDS)
        connection.receive(0.0)
        assert not connection.wants_reading
        assert connection.next_line() == b"x"
        assert connection.wants_reading


@contextlib.contextmanager
def storing_allocator() -> Iterator[tuple[SimulatedServer, int, Callable[[], None]]]:
    """A Java server whose allocator is storing its run: the run's job, and what ends it."""
    time = Time()
    slow = JavaOptions(allocator_seconds=10.0)
    with SimulatedServer(dialect="java", clock=time, java=slow) as server:

        def end() -> None:
            time.now = 10.0
            server.wake()

        with Raw(server) as client:
            job_id = client.create()
        time.now = 9.0
        yield server, job_id, end


def test_command_that_names_a_job_waits_for_the_allocator_and_others_do_not() -> None:
    with storing_allocator() as (server, job_id, end_run), Raw(server) as waiting:
        waiting.send("get_job_state", job_id)
        waiting.send("version")
        with Raw(server) as other:
            assert [job["state"] for job in other.ask("list_jobs")] == [JobState.queued]
            made_meanwhile = other.create()
            assert other.ask("get_job_state", made_meanwhile)["state"] == JobState.queued
        end_run()
        assert waiting.message()["return"]["state"] == JobState.ready
        assert waiting.message() == {"return": "5.0.0"}


def test_command_that_waits_is_carried_out_when_its_client_has_gone() -> None:
    with storing_allocator() as (server, job_id, end_run):
        with Raw(server) as leaving:
            leaving.send("destroy_job", job_id)
            until(lambda: server.command_counts["destroy_job"] == 1)
            leaving.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: server.connections == 0)
        assert len(server.jobs) == 1
        end_run()
        until(lambda: not server.jobs)


def test_java_server_gives_no_number_twice() -> None:
    with SimulatedServer(dialect="java") as server:
        with Raw(server) as client:
            assert client.create() == 1
        server.restart(cold=True)
        with Raw(server) as client:
            assert client.ask("list_jobs") == []
            assert client.create() == 2


def test_lines_that_faults_make_up_end_as_the_java_server_s_do() -> None:
    faults = [Refuse(on="list_jobs"), NotificationFlood(1, on="version"), Unsolicited(on="version")]
    with SimulatedServer(dialect="java", faults=faults) as server, Raw(server) as client:
        client.send("list_jobs")
        client.send("version")
        assert all(client.line().endswith(b"\r\n") for _ in range(4))


def test_options_of_the_java_server_can_be_set_while_it_runs() -> None:
    with SimulatedServer(dialect="java") as server, Raw(server) as client:
        assert client.ask("list_jobs") == []
        server.java = JavaOptions(database_refusals=1)
        client.send("list_jobs")
        assert "try restarting transaction" in client.message()["exception"]
        server.java = JavaOptions()
        assert client.ask("list_jobs") == []


def test_connections_beyond_the_process_limit_wait_and_are_served_later() -> None:
    script = """if True:
        import resource, socket, sys, time
        from spalloc_gevent.simulator import SimulatedServer
        with SimulatedServer() as server:
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
            clients = []
            try:
                while True:
                    clients.append(socket.create_connection((server.host, server.port)))
            except OSError:
                pass
            waiting = clients.pop()
            waiting.sendall(b'{"command": "version"}\\n')
            for client in clients:
                client.close()
            print(waiting.recv(100).decode(), end="")
    """
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (run.stdout, run.stderr) == (b'{"return": "1!7.0.0"}\n', b"")


PATCHED = """if True:
    {before}
    from spalloc_gevent.simulator import SimulatedServer
    {after}
    import socket, time
    with SimulatedServer() as server:
        client = socket.create_connection((server.host, server.port))
        client.sendall(b'{{"command": "version"}}\\n')
        print(client.recv(100).decode(), end="")
        server.restart()
        assert client.recv(100) == b""
"""
PATCH = "import gevent.monkey; gevent.monkey.patch_all()"


@pytest.mark.parametrize(("before", "after"), [("", ""), (PATCH, ""), ("", PATCH)])
def test_server_works_whenever_the_program_is_monkey_patched(before: str, after: str) -> None:
    script = PATCHED.format(before=before, after=after)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (run.stdout, run.stderr) == (b'{"return": "1!7.0.0"}\n', b"")


def test_program_that_never_stops_its_server_ends_all_the_same() -> None:
    script = "from spalloc_gevent.simulator import SimulatedServer; SimulatedServer().start()"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, b"")


def test_restart_takes_the_port_back_from_a_forked_child(server: SimulatedServer) -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    try:
        with Raw(server) as client:
            client.ask("version")
            server.restart()
            assert client.hung_up_on()
        with Raw(server) as client:
            assert client.ask("version") == "1!7.0.0"
    finally:
        os.close(read_end)
        os.close(write_end)
        os.waitpid(child, 0)


def test_many_jobs_are_held_and_listed() -> None:
    with SimulatedServer([MachineSpec(width=60, height=56)]) as server, Raw(server) as client:
        for _ in range(10_000):
            client.create(keepalive=60.0)
        assert sum(job["boards"] is not None for job in server.jobs) == 10_000


QUESTIONS: Sequence[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("version", (), {}),
    ("version", (1,), {}),
    ("list_machines", (), {}),
    ("create_job", (), {}),
    ("create_job", (0,), {"owner": "me"}),
    ("create_job", (-1,), {"owner": "me"}),
    ("create_job", (1, 1, 1, 1), {"owner": "me"}),
    ("create_job", (25,), {"owner": "me"}),
    ("create_job", (4, 2), {"owner": "me", "require_torus": True, "machine": "m"}),
    ("create_job", (4, 1), {"owner": "me", "require_torus": True}),
    ("create_job", (3, 3), {"owner": "me", "max_dead_boards": 1}),
    ("create_job", (3, 3), {"owner": "me", "max_dead_boards": 2}),
    ("create_job", (3, 3), {"owner": "me", "max_dead_links": 0}),
    ("create_job", (7,), {"owner": "me"}),
    ("create_job", (7,), {"owner": "me", "min_ratio": 1.0}),
    ("create_job", (0, 0, 1), {"owner": "me", "machine": "b"}),
    ("create_job", (1, 2, 0), {"owner": "me", "tags": ["big"]}),
    ("create_job", (), {"owner": "me", "tags": ["nowhere"]}),
    ("create_job", (), {"owner": "me", "require_torus": True}),
    ("create_job", (), {"owner": "me", "colour": "red"}),
    ("create_job", (), {"owner": "me", "keepalive": "soon"}),
    ("get_job_state", (99,), {}),
    ("get_job_state", ([],), {}),
    ("get_job_machine_info", (99,), {}),
    ("destroy_job", (99,), {}),
    ("where_is", (), {"machine": "b", "x": 2, "y": 1, "z": 1}),
    ("where_is", (), {"machine": "b", "x": -7, "y": 9, "z": 9}),
    ("where_is", (), {"machine": "b", "x": 0, "y": 0, "z": 1}),
    ("where_is", (), {"machine": "m", "chip_x": 1234, "chip_y": -55}),
    ("where_is", (), {"machine": "m", "cabinet": 0, "frame": 0, "board": 17}),
    ("where_is", (), {"machine": "m", "chip_x": "a", "chip_y": 0}),
    ("where_is", (), {"machine": "m"}),
    ("get_board_position", ("b", 2, 2, 2), {}),
    ("get_board_position", ("b", 2, 2, 0), {}),
    ("get_board_at_position", (), {"machine_name": "b", "x": 0, "y": 0, "z": 11}),
]


def comparable(question: str, answer: Any) -> Any:
    """What two servers must agree on: not times, wording, nor the order of sets."""
    if "exception" in answer:
        return "exception"
    value = answer["return"]
    if question == "list_machines":
        return [
            {name: sorted(v) if isinstance(v, list) else v for name, v in machine.items()}
            for machine in value
        ]
    return value


def settled_job(client: Raw, job_id: int) -> Any:
    """What the server tells of a job once its boards, and those it waits for, do nothing more."""
    state: dict[str, Any] = {}

    def ready() -> bool:
        # All machines here are this test's: nothing but a switch keeps a job waiting.
        state.update(client.ask("get_job_state", job_id))
        return state["state"] not in (1, 2)

    until(ready)
    info = client.ask("get_job_machine_info", job_id)
    if info["boards"] is not None:
        info["boards"], info["connections"] = len(info["boards"]), len(info["connections"])
    state["start_time"] = state["start_time"] is not None
    return state, info


@pytest.mark.real_server
def test_simulated_server_answers_what_the_real_one_answers(
    make_real_server: Callable[..., Any],
) -> None:
    machines = [
        MachineSpec(),
        MachineSpec("b", 3, 3, ("big",), [(0, 0, 1), (2, 2, 0)], [(1, 1, 0, 2), (1, 1, 2, 5)]),
    ]
    real = make_real_server(machines)
    with SimulatedServer(machines) as simulated, Raw(real) as there, Raw(simulated) as here:
        for name, args, kwargs in QUESTIONS:
            answers = [client.call(name, *args, **kwargs) for client in (there, here)]
            compared = [comparable(name, answer) for answer in answers]
            assert compared[0] == compared[1], (name, args, kwargs)
            if name == "create_job" and "return" in answers[0]:
                job_id = answers[0]["return"]
                assert settled_job(there, job_id) == settled_job(here, job_id), (args, kwargs)
                for client in (there, here):
                    client.ask("destroy_job", job_id, reason="enough")
                assert settled_job(there, job_id) == settled_job(here, job_id), (args, kwargs)


def test_faults_have_readable_names() -> None:
    faults: list[Fault] = [Drop(on="version"), Delay(0.5)]
    assert repr(faults[0]) == "Drop(on='version', times=1, before=False)"
