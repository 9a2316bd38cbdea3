"""``spalloc-simulator`` as a user runs it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from spalloc_gevent.simulator import JavaOptions
from spalloc_gevent.simulator.__main__ import make_parser, server_from

COMMAND = (sys.executable, "-m", "spalloc_gevent.simulator")
GIVE_UP_S = 60.0


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=GIVE_UP_S, **options
    )


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(address: str, name: str, *args: object, **kwargs: object) -> Any:
    host, _, port = address.rpartition(":")
    request = {"command": name, "args": args, "kwargs": kwargs}
    with socket.create_connection((host, int(port)), GIVE_UP_S) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            return json.loads(stream.readline())["return"]


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_prints_its_address_when_it_is_ready_and_describes_itself_on_stderr() -> None:
    with running("--port", "0") as process:
        address = first_line(process)
        assert ask(address, "version") == "1!7.0.0"
        process.send_signal(signal.SIGTERM)
        _, described = process.communicate(timeout=GIVE_UP_S)
        assert (process.returncode, address in described) == (0, True)
        assert "m of 4 x 2 triads (24 boards)" in described


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with running("--port", "0", "--quiet") as process:
        first_line(process)
        process.send_signal(number)
        assert process.communicate(timeout=GIVE_UP_S) == ("", "")
        assert process.returncode == 0


def test_machines_are_as_the_options_say() -> None:
    options = [
        "--port=0",
        "--machine=m:4x2",
        "--machine=big:8x8:fast,new",
        "--dead-board=1,0,2",
        "--dead-link=big:7,7,0,3",
        "--version-string=0.5.2",
    ]
    with running(*options) as process:
        address = first_line(process)
        first, second = ask(address, "list_machines")
        assert (first["name"], first["tags"]) == ("m", ["default"])
        assert first["dead_boards"] == [[1, 0, 2]]
        assert (second["width"], second["tags"]) == (8, ["fast", "new"])
        assert second["dead_links"] == [[7, 7, 0, 3]]
        assert ask(address, "version") == "0.5.2"


def test_java_dialect_says_it_is_one() -> None:
    with running("--port=0", "--dialect=java") as process:
        assert ask(first_line(process), "version") == "5.0.0"


def test_machines_come_from_a_file_with_their_absent_boards(tmp_path: Path) -> None:
    path = tmp_path / "machines.json"
    facts = {
        "width": 2,
        "height": 1,
        "tags": ["t"],
        "absent": [[0, 0, 1]],
        "dead_boards": [[1, 0, 0]],
    }
    path.write_text(json.dumps({"machines": {"m": facts}}) + '\n{"t": 0.0}\n')
    with running("--port=0", "--dialect=java", "--machines", str(path)) as process:
        address = first_line(process)
        (machine,) = ask(address, "list_machines")
        assert (machine["width"], machine["tags"], machine["dead_boards"]) == (
            2,
            ["t"],
            [[1, 0, 0]],
        )
        dead = {"machine_name": "m", "x": 1, "y": 0, "z": 0}
        assert ask(address, "get_board_position", **dead) == [0, 0, 3]
    path.write_text(json.dumps({"m": facts}, indent=1))
    with running("--port=0", "--machines", str(path), "--machine=n:1x1") as process:
        machines = ask(first_line(process), "list_machines")
        assert sorted(machine["name"] for machine in machines) == ["m", "n"]


def test_what_is_chance_on_the_java_server_is_ordered() -> None:
    words = ["--allocator-seconds=0.036", "--revive=half", "--database-refusals=9",
             "--notify-twice", "--failing-power-ons=2", "--expiry-check-seconds=7"]  # fmt: skip
    server = server_from(make_parser().parse_args(words), 0)
    assert server.java == JavaOptions(0.036, "half", 9, True, 2, 7.0)
    assert server_from(make_parser().parse_args([]), 0).java == JavaOptions()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--machine", "m"], "'m' is not NAME:WxH[:TAG,...]"),
        (["--machine", "m:0x2"], "needs at least 1 triad, not 0"),
        (["--machine", "a:1x1", "--machine", "a:2x2"], "two machines have the same name"),
        (["--dead-board", "1,1"], "'1,1' is not [NAME:]X,Y,Z"),
        (["--dead-board", "9,9,0"], "not on machine 'm'"),
        (["--dead-board", "b:0,0,0"], "there is no machine 'b'; there is m"),
        (["--dead-link", "0,0,0"], "is not [NAME:]X,Y,Z,LINK"),
        (["--dead-link", "0,0,0,6"], "links are numbered 0 to 5"),
        (["--port", "65536"], "is not a port"),
        (["--power-seconds", "-1"], "not a number of seconds"),
        (["--free-seconds", "nan"], "not a number of seconds"),
        (["--database-refusals", "-1"], "not a whole number"),
        (["--expiry-check-seconds", "0"], "must be more than 0"),
        (["--revive", "sometimes"], "invalid choice: 'sometimes'"),
        (["--machines", "no-such-file"], "no-such-file: No such file"),
        (["--machines", __file__], "has no machines"),
        (["--run"], "--run needs a command"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments: Sequence[str], told: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert told in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_port_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        ended = run("--port", str(busy.getsockname()[1]))
    assert ended.returncode == 1
    assert ended.stderr.startswith("cannot listen on 127.0.0.1:")
    assert len(ended.stderr.splitlines()) == 1


def test_command_is_pointed_at_the_server_and_its_exit_code_is_ours() -> None:
    script = "import os, sys; print(os.environ['SPALLOC_HOSTNAME'], os.environ['SPALLOC_OWNER'])"
    ended = run("--quiet", "--run", *python(f"{script}; sys.exit(7)"))
    assert ended.stdout == "127.0.0.1 spalloc-simulator\n"
    assert (ended.returncode, ended.stderr) == (7, "")


def test_owner_of_the_environment_is_kept() -> None:
    environment = {**os.environ, "SPALLOC_OWNER": "me"}
    script = "import os; print(os.environ['SPALLOC_OWNER'])"
    assert run("--run", *python(script), env=environment).stdout == "me\n"


def test_command_finds_a_server_that_answers() -> None:
    script = """if True:
        import os, socket
        server = os.environ["SPALLOC_HOSTNAME"], int(os.environ["SPALLOC_PORT"])
        with socket.create_connection(server) as connection:
            connection.sendall(b'{"command": "version"}\\n')
            print(connection.recv(100).decode(), end="")
    """
    assert run("--host=::", "--run", "--", *python(script)).stdout == '{"return": "1!7.0.0"}\n'


def test_options_of_the_command_are_its_own() -> None:
    script = "import sys; print(sys.argv[1:])"
    ended = run("--run", *python(script), "--port", "5", "--run", "-q")
    assert ended.stdout == "['--port', '5', '--run', '-q']\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_command_ended_by_a_signal_gives_128_and_its_number(number: signal.Signals) -> None:
    script = f"import os, signal; signal.signal({number}, signal.SIG_DFL)" if (
        number is not signal.SIGKILL
    ) else "import os"  # fmt: skip
    ended = run("-q", "--run", *python(f"{script}; os.kill(os.getpid(), {number})"))
    assert ended.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on_to_the_command(number: signal.Signals) -> None:
    script = f"""if True:
        import signal, sys, time
        signal.signal({number}, lambda *_: sys.exit(42))
        print("ready", flush=True)
        while True:
            time.sleep(0.01)  # pause() would miss a signal that comes just before it
    """
    with running("-q", "--run", *python(script)) as process:
        assert first_line(process) == "ready"
        process.send_signal(number)
        process.communicate(timeout=GIVE_UP_S)
        assert process.returncode == 42


def read_until(stream: io.FileIO, pattern: bytes) -> None:
    said = b""
    while re.search(pattern, said) is None:
        said += stream.read(100) or b""


def test_ctrl_c_in_a_terminal_reaches_the_command_once() -> None:
    script = """if True:
        import signal, sys, time
        seen = []
        def count(*_):
            seen.append(1)
            print("interrupted", flush=True)
        def tell(*_):
            print("times:", len(seen), flush=True)
            sys.exit(42)
        signal.signal(signal.SIGINT, count)
        signal.signal(signal.SIGTERM, tell)
        print("ready", flush=True)
        while True:
            time.sleep(0.01)  # pause() would miss a signal that comes just before it
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(COMMAND[0], [*COMMAND, "-q", "--run", *python(script)])
    with io.FileIO(terminal, "r+b") as stream:
        read_until(stream, b"ready")
        stream.write(b"\x03")
        read_until(stream, b"interrupted")
        # What is passed on of the first signal is passed on before this one.
        os.kill(pid, signal.SIGTERM)
        read_until(stream, rb"times: 1\s")
        # Before the terminal is closed, which would be a signal as well.
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/", 126)])
def test_command_that_cannot_be_run_is_told_in_one_line(command: str, code: int) -> None:
    ended = run("-q", "--run", command)
    assert ended.returncode == code
    assert command in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_nobody_reading_its_address_does_no_harm() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with subprocess.Popen(
        [*COMMAND, "--port=0"], stdout=write_end, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(write_end)
        assert process.stderr is not None
        process.stderr.readline()
        process.terminate()
        assert process.communicate(timeout=GIVE_UP_S)[1] == ""
        assert process.returncode == 0
