"""Plays the recorded conversations of ``tests/recordings`` to a simulated server."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spalloc_gevent.simulator import MachineSpec, SimulatedServer

FOLDER = Path(__file__).resolve().parents[1] / "recordings"
GIVE_UP_S = 20.0
STEP_S = 0.1
LONGEST_STEP_S = 0.5
MOST_STEPS = 100
JOB_BY_PLACE = frozenset(
    (
        "get_job_state",
        "job_keepalive",
        "get_job_machine_info",
        "destroy_job",
        "power_on_job_boards",
        "power_off_job_boards",
        "notify_job",
        "no_notify_job",
    )
)


def lines_of(name: str) -> Iterator[dict[str, Any]]:
    with open(FOLDER / f"{name}.jsonl", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def machines_of(name: str) -> list[MachineSpec]:
    machines = next(lines_of(name))["machines"]
    return [MachineSpec(machine, **facts) for machine, facts in machines.items()]


class Time:
    """A server's clock, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Peer:
    """One connection: answers are asked for, notifications kept."""

    def __init__(self, server: SimulatedServer) -> None:
        self.socket = socket.create_connection((server.host, server.port), GIVE_UP_S)
        self._lines = self.socket.makefile("rb")
        self.answered: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
        """Commands with their answers, {} for a line that is no command, None for none."""
        self.told: list[dict[str, Any]] = []

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def answer(self) -> dict[str, Any] | None:
        """The next answer; None if the server hangs up."""
        while line := self._line():
            assert line.endswith(b"\r\n")
            message: dict[str, Any] = json.loads(line)
            if {"return", "exception"} & message.keys():
                return message
            self.told.append(message)
        return None

    def _line(self) -> bytes:
        try:
            return self._lines.readline()
        except ConnectionError:
            return b""

    def ask(self, command: dict[str, Any]) -> Any:
        self.socket.sendall(json.dumps(command).encode() + b"\n")
        return self.answer()


class Playback:
    """A conversation with a server that has its machines and no job.

    Job numbers are translated, and time is the recording's.
    """

    def __init__(self, name: str, server: SimulatedServer, time: Time) -> None:
        _, *self._events = lines_of(name)
        self._server = server
        self._time = time
        self._peers: dict[str, Peer] = {}
        self._jobs: dict[Any, Any] = {}
        self._clockwork = Peer(server)
        self.recorded: dict[str, list[str]] = {}
        """The notifications that each connection got, with the numbers of today's jobs."""
        self.told: dict[str, list[str]] = {}
        """The notifications that came."""
        self.differences: list[tuple[str, Any, Any]] = []
        """Where an answer is not as recorded, what was recorded, and what came."""

    def run(self) -> None:
        """Play it to its end."""
        before = 0.0
        try:
            for number, event in enumerate(self._events):
                if event["t"] > before:
                    self._pass(event["t"] - before)
                before = event["t"]
                self._play(number, event)
        finally:
            for peer in (self._clockwork, *self._peers.values()):
                peer.close()

    def _pass(self, seconds: float) -> None:
        until = self._time.now + seconds
        while self._time.now < until:
            self._time.now = min(self._time.now + LONGEST_STEP_S, until)
            self._server.wake()
            # When this is answered, the server is in the round that sees the new time.
            self._clockwork.ask({"command": "version"})

    def _play(self, number: int, event: dict[str, Any]) -> None:
        name, what = event.get("on", ""), event.get("event")
        if what == "opened":
            self._peers[name] = Peer(self._server)
        elif what == "closed by the server":
            _, got = self._peers[name].answered.pop(0)
            self._compare(number, None, got)
        elif what == "closed":
            self._close(name)
        elif "sent" in event:
            self._send(name, event["sent"])
        elif "received" in event:
            message = json.loads(event["received"])
            if {"return", "exception"} & message.keys():
                self._check(number, name, message)
            else:
                self.recorded.setdefault(name, []).append(self._news(message))

    def _send(self, name: str, text: str) -> None:
        peer, commands = self._peers[name], []
        sent = ""
        for line in text.splitlines(keepends=True):
            try:
                command = self._translated(json.loads(line))
            except (ValueError, AttributeError):
                command = {}
            commands += [command] if line.endswith("\n") else []
            sent += json.dumps(command) + "\n" if command.get("command") else line
        with contextlib.suppress(ConnectionError):
            peer.socket.sendall(sent.encode())
        # Time stands still until they are answered.
        peer.answered += [(command, peer.answer()) for command in commands]

    def _translated(self, command: dict[str, Any]) -> dict[str, Any]:
        args = command.get("args")
        if command.get("command") in JOB_BY_PLACE and args and type(args[0]) is int:
            args[0] = self._jobs.get(args[0], args[0])
        named = command.get("kwargs") or {}
        if isinstance(named, dict) and "job_id" in named:
            named["job_id"] = self._jobs.get(named["job_id"], named["job_id"])
        return command

    def _check(self, number: int, name: str, recorded: dict[str, Any]) -> None:
        peer = self._peers[name]
        command, got = peer.answered.pop(0)
        if command.get("command") == "create_job" and "return" in recorded and got:
            self._jobs[recorded["return"]] = got.get("return")
        if self._looks_again(number, command):
            return
        expected = self._comparable(command, recorded)
        steps = MOST_STEPS if command.get("command") in ("get_job_state", "list_jobs") else 0
        while steps and self._comparable(command, got) != expected:
            steps -= 1
            self._pass(STEP_S)
            got = peer.ask(command)
        self._compare(number, expected, self._comparable(command, got))

    def _looks_again(self, number: int, command: dict[str, Any]) -> bool:
        """Whether the next command looks at the same job's state: only the last look counts."""
        following = next((e["sent"] for e in self._events[number:] if "sent" in e), "")
        try:
            return (
                "get_job_state" in following and self._translated(json.loads(following)) == command
            )
        except ValueError:
            return False

    def _compare(self, number: int, expected: object, got: object) -> None:
        if expected != got:
            self.differences.append((f"line {number + 2}", expected, got))

    def _comparable(self, command: dict[str, Any], message: dict[str, Any] | None) -> Any:
        """An answer without numbers of jobs, times, addresses, and which boards they are."""
        if message is None or "exception" in message:
            text = "hung up on" if message is None else message["exception"]
            is_long = text.startswith(("PreparedStatementCallback", "class ", "Cannot ", "Un"))
            return text.split()[:2] if is_long else text
        value, name = message["return"], command.get("command")
        if name == "create_job":
            return type(value)
        if name in ("get_job_state", "get_job_machine_info"):
            return _without_chance(value)
        if name == "list_jobs":
            return sorted(map(_without_chance, value), key=repr)
        if name == "list_machines":
            return [{key: _in_order(part) for key, part in machine.items()} for machine in value]
        if name == "where_is" and value["job_id"] is not None:
            chance = ("job_id", "job_chip", "logical", "physical")
            keys = chance if "job_id" in command["kwargs"] else chance[:2]
            return {key: part for key, part in value.items() if key not in keys}
        return value

    def _close(self, name: str) -> None:
        peer = self._peers.pop(name, None)
        if peer is None:
            return
        if name in self.recorded:
            # Whatever the server has to tell comes before this answer.
            peer.ask({"command": "version"})
            self.told[name] = [json.dumps(message) for message in peer.told]
        peer.close()

    def _news(self, message: dict[str, Any]) -> str:
        ((kind, what),) = message.items()
        return json.dumps({kind: [self._jobs.get(one, one) for one in what]})


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _without_chance(job: dict[str, Any]) -> dict[str, Any]:
    by_chance: dict[str, Callable[[Any], object]] = {
        "start_time": lambda value: type(value),
        "keepalive": lambda value: value if value < 1e9 else "a time",
        "keepalivehost": lambda value: type(value),
        "job_id": lambda value: type(value),
        "boards": len,
        "connections": lambda value: sorted(chip for chip, _ in value),
    }
    return {key: by_chance[key](part) if key in by_chance else part for key, part in job.items()}
