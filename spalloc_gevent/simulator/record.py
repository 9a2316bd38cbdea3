"""What a server has seen of its clients, for tests that want to know."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST_KEPT = 20_000


class SeenCommand(NamedTuple):
    """One command that has arrived."""

    name: str
    """``create_job``, for example."""
    args: list[Any]
    """By position."""
    kwargs: dict[str, Any]
    """By name."""
    connection: int
    """On which it came; numbered from 1."""


class CommandsSeen(tuple[SeenCommand, ...]):
    """The latest commands, oldest first; counts names as well as whole commands."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"CommandsSeen({list(self)!r})"

    @property
    def names(self) -> list[str]:
        """What each is called."""
        return [command.name for command in self]

    def count(self, value: object) -> int:
        """How many are called `value`, or are `value`."""
        return sum(value in (command.name, command) for command in self)

    def on(self, connection: int) -> CommandsSeen:
        """Those of one connection."""
        return CommandsSeen(command for command in self if command.connection == connection)


@dataclass
class ServerRecord:
    """Counts and keeps what arrives."""

    commands: deque[SeenCommand] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """The latest ones."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often each command of the protocol has come, ever."""
    max_in_flight: int = 0
    connections_made: int = 0
    most_connections: int = 0

    def in_flight(self, commands: int) -> None:
        """Note how many commands of one connection are unanswered now."""
        self.max_in_flight = max(self.max_in_flight, commands)

    def connected(self, open_now: int) -> int:
        """Count a new connection; return its number."""
        self.connections_made += 1
        self.most_connections = max(self.most_connections, open_now)
        return self.connections_made
