"""Which watches a connection must have for what is wanted; pure.

A few jobs or machines are watched one by one; past a handful, one watch for all
serves better (the Java server starts a thread for each watch).
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, field

Key = int | str | None
"""A job ID or a machine name; None stands for all of them."""

HANDFUL = 8


class Kind(enum.Enum):
    """What a watch is about; the values are part of the protocol's names."""

    JOB = "job"
    MACHINE = "machine"

    @property
    def label(self) -> str:
        """The key of its notifications."""
        return f"{self.value}s_changed"


@dataclass
class Armed:
    """The watches of one kind that the server has confirmed on this connection."""

    kind: Kind
    keys: set[Key] = field(default_factory=set)

    def next_command(self, wanted: Collection[Key]) -> tuple[str, Key] | None:
        """The command, and its argument, that brings these watches nearer to `wanted`.

        None when they cover it. Once there is a watch for all it stays until
        nothing is wanted any more: going back and forth would cost more.
        """
        everything = bool(wanted) and (None in wanted or None in self.keys or len(wanted) > HANDFUL)
        target = {None} if everything else set(wanted)
        if missing := target - self.keys:
            return f"notify_{self.kind.value}", _first(missing)
        # One by one before all: the Python server forgets every watch with the latter.
        if spare := self.keys - target:
            return f"no_notify_{self.kind.value}", _first(spare - {None} or spare)
        return None

    def done(self, command: str, key: Key) -> None:
        """The server has carried out a command of :meth:`next_command`."""
        if command.startswith("no_"):
            self.keys.discard(key)
        else:
            self.keys.add(key)


def _first(keys: Collection[Key]) -> Key:
    return min(keys, key=lambda key: (key is None, str(key)))
