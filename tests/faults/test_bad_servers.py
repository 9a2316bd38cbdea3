"""A server that talks nonsense, or not at all, is a clear error in time; then all is well again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spalloc_gevent import ProtocolClient
from spalloc_gevent.errors import (
    IncompatibleServerError,
    ProtocolError,
    ProtocolTimeoutError,
    SpallocError,
)
from tests.contract.support import await_true, in_thread, job_of
from tests.faults.proxy import ChaosProxy
from tests.faults.support import EXCUSED, JobScript, ask, connected, own
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer, echo

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 1.0
MIB = 1024 * 1024

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>no</html>\r\n"
SAID = {
    "garbage": b"\x00\x01\x02 garbage \xfe\n",
    "an HTTP answer": HTTP,
    "invalid UTF-8": b'{"return": "\xff\xfe"}\n',
    "half a character": b'{"return": "\xc3"}\n',
    "a list": b"[1, 2, 3]\n",
    "a number": b"42\n",
    "null": b"null\n",
    "text": b'"hello"\n',
    "JSON nested too deep": b'{"return": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "a notification nested too deep": b'{"x": ' + b'{"x": ' * 100_000 + b"1\n",
    "a number too long": b'{"return": ' + b"9" * 100_000 + b"}\n",
    "not a number": b'{"return": NaN',
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as started:
        yield started


def fails_clearly(server: ScriptedServer | ChaosProxy, ask_once: Callable[[], object]) -> None:
    """A SpallocError that names host and port, in time: none is waited for for ever."""
    with pytest.raises(SpallocError, match=f"127.0.0.1:{server.port}") as caught:
        in_thread(ask_once).result(LONG_S)
    assert isinstance(caught.value, ProtocolError | ProtocolTimeoutError)


def works(client: ProtocolClient, number: int) -> bool:
    try:
        assert ask(client, number, timeout=LONG_S) == own(number)
    except EXCUSED:
        return False
    return True


def works_again(client: ProtocolClient) -> None:
    """At once or, as a server that was found away is not asked by everybody, very soon."""
    await_true(lambda: works(client, 7))
    assert all(works(client, number) for number in range(20))


@pytest.mark.parametrize("what", list(SAID))
def test_nonsense_is_a_clear_error_and_the_client_works_again(
    server: ScriptedServer, what: str
) -> None:
    def say(peer: Peer, command: Command) -> None:
        peer.sock.sendall(SAID[what])

    server.script = say
    with connected(server, TIMEOUT_S) as client:
        fails_clearly(server, client.version)
        server.script = echo
        works_again(client)


def truncated(peer: Peer, command: Command) -> None:
    peer.sock.sendall(b'{"return": "1!7')
    peer.hang_up()


def hung_up(peer: Peer, command: Command) -> None:
    peer.hang_up()


def silent(peer: Peer, command: Command) -> None:
    pass


def unfinished(peer: Peer, command: Command) -> None:
    peer.sock.sendall(b'{"return": "1!7')


def a_gibibyte(peer: Peer, command: Command) -> None:
    chunk = b"x" * MIB
    try:
        for _ in range(1024):
            peer.sock.sendall(chunk)
    except OSError:
        return
    raise AssertionError("the client read a line of 1 GiB")


def blank_lines(peer: Peer, command: Command) -> None:
    for _ in range(100):
        peer.sock.sendall(b"\r\n\n")


BEHAVIOURS = (truncated, hung_up, silent, unfinished, a_gibibyte, blank_lines)


@pytest.mark.parametrize("behave", BEHAVIOURS)
def test_an_answer_that_never_comes_whole_is_a_clear_error_and_the_client_works_again(
    server: ScriptedServer, behave: Callable[[Peer, Command], None]
) -> None:
    server.script = behave
    with connected(server, 5 * TIMEOUT_S if behave is a_gibibyte else TIMEOUT_S) as client:
        fails_clearly(server, client.version)
        server.script = echo
        works_again(client)


@pytest.mark.parametrize("keep_off", ["swallow", "fill_accept_queue", "refuse"])
def test_a_server_that_cannot_be_reached_is_a_clear_error_and_the_client_works_again(
    server: ScriptedServer, keep_off: str
) -> None:
    with ChaosProxy(server) as proxy, connected(proxy, TIMEOUT_S) as client:
        getattr(proxy, keep_off)()
        fails_clearly(proxy, client.version)
        proxy.accept()
        works_again(client)


def test_one_byte_a_second_is_a_clear_error_and_the_client_works_again(
    server: ScriptedServer,
) -> None:
    with ChaosProxy(server) as proxy, connected(proxy, TIMEOUT_S) as client:
        proxy.pieces(1, pace_s=1.0)
        fails_clearly(proxy, client.version)
        proxy.pieces(None)
        works_again(client)


def test_unknown_notifications_and_blank_lines_disturb_nobody(server: ScriptedServer) -> None:
    def chatter(peer: Peer, command: Command) -> None:
        peer.send({"weather_changed": "rain"}, {}, {"jobs_changed": None}, {"jobs_changed": ["x"]})
        peer.sock.sendall(b"\n\r\n")
        echo(peer, command)

    server.script = chatter
    with connected(server) as client:
        assert [ask(client, n) for n in range(50)] == [own(n) for n in range(50)]
        client.notify_job()
        assert client.wait_for_notification(LONG_S) is not None
    assert len(server.peers) <= 2


# -- versions ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["5.0", "6.0.0-SNAPSHOT", "1!7.0.0"])
def test_a_job_is_made_on_a_server_of_a_version_that_is_spoken(version: str) -> None:
    script = JobScript()
    script.version = version
    with ScriptedServer(script) as server:
        job = job_of(server, keepalive=None, config_filenames=[])
        assert job.id == 1
        job.destroy()


@pytest.mark.parametrize("version", ["0.0.1", "99.0.0", "banana", "", None, [], {}])
def test_a_server_of_another_version_is_refused_by_name(version: object) -> None:
    script = JobScript()
    script.version = version  # type: ignore[assignment]
    with ScriptedServer(script) as server:
        with pytest.raises(IncompatibleServerError, match=f"127.0.0.1:{server.port}"):
            job_of(server, keepalive=None, config_filenames=[])
        assert server.counts["create_job"] == 0
        job = job_of(server, keepalive=None, config_filenames=[], ignore_version=True)
        job.destroy()


# -- the commands ------------------------------------------------------------------------------

COMMANDS = {
    "ps": [],
    "machine": [],
    "job": ["1"],
    "where-is": ["--board", "m", "0", "0", "0"],
    "alloc": ["--timeout", "1", "-c", "true"],
}


@pytest.mark.parametrize("what", ["garbage", "an HTTP answer", "JSON nested too deep", "a list"])
@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_command_tells_of_nonsense_in_one_line_without_a_traceback(
    server: ScriptedServer, command: str, what: str
) -> None:
    server.script = lambda peer, _: peer.sock.sendall(SAID[what])
    where = ["--hostname", server.host, "--port", str(server.port)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "SPALLOC_OWNER": "me"}
    done = subprocess.run(
        [sys.executable, "-m", "spalloc_gevent", command, *where, *COMMANDS[command]],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=2 * LONG_S,
    )  # fmt: skip
    assert done.returncode not in (0, -6, -11)
    assert "Traceback" not in done.stderr
    assert f"{server.host}:{server.port}" in done.stderr.splitlines()[-1]


def test_answers_of_the_wrong_shape_are_spalloc_errors_of_their_commands(
    server: ScriptedServer,
) -> None:
    server.script = lambda peer, _: peer.sock.sendall(json.dumps({"return": 7}).encode() + b"\n")
    with connected(server) as client:
        with pytest.raises(SpallocError, match="the state of a job and said 7"):
            client.get_job_state(1)
        with pytest.raises(SpallocError, match="a job's machine and said 7"):
            client.get_job_machine_info(1)
