"""What a server has seen of its clients, for tests that want to know."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

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


class CommandsSeen(Sequence[SeenCommand]):
    """The latest commands, oldest first; counts names as well as whole commands."""

    def __init__(self, commands: Iterable[SeenCommand] = ()) -> None:
        self._commands = tuple(commands)

    @overload
    def __getitem__(self, index: int) -> SeenCommand: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SeenCommand, ...]: ...
    def __getitem__(self, index: int | slice) -> SeenCommand | tuple[SeenCommand, ...]:
        return self._commands[index]

    def __len__(self) -> int:
        return len(self._commands)

    def __iter__(self) -> Iterator[SeenCommand]:
        return iter(self._commands)

    def __repr__(self) -> str:
        return f"CommandsSeen({list(self._commands)!r})"

    @property
    def names(self) -> list[str]:
        """What each is called."""
        return [command.name for command in self._commands]

    def count(self, value: object) -> int:
        """How many are called `value`, or are `value`."""
        return sum(value in (command.name, command) for command in self._commands)

    def on(self, connection: int) -> CommandsSeen:
        """Those of one connection."""
        return CommandsSeen(c for c in self._commands if c.connection == connection)


class Record:
    """Counts and keeps what arrives; of the commands themselves the latest 20,000."""

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._commands: deque[SeenCommand] = deque(maxlen=most_kept)
        self.counts: Counter[str] = Counter()
        """How often each command of the protocol has come, ever."""
        self.max_in_flight = 0
        self.connections_made = 0
        self.most_connections = 0

    def command(self, seen: SeenCommand, *, known: bool) -> None:
        self._commands.append(seen)
        if known:
            self.counts[seen.name] += 1

    def in_flight(self, commands: int) -> None:
        """Note how many commands of one connection are unanswered now."""
        self.max_in_flight = max(self.max_in_flight, commands)

    def connected(self, open_now: int) -> int:
        """Count a new connection; return its number."""
        self.connections_made += 1
        self.most_connections = max(self.most_connections, open_now)
        return self.connections_made

    @property
    def commands(self) -> CommandsSeen:
        return CommandsSeen(self._commands)
