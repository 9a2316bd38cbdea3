"""Faults to order: what the server does wrong, by command.

    server.set_faults([Drop(on="notify_job"), Delay(0.5, on="*", times=3)])

Each fault strikes `times` times (None: always) when the command `on` arrives;
"*" is any command. Besides commands there is ``on="connect"``, a new
connection. Several that fit strike together, in the order given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.wire.checks import as_int, as_number, make_plain
from spalloc_gevent.wire.commands import COMMANDS
from spalloc_gevent.wire.messages import ErrorReply, encode_message

ANY_COMMAND = "*"
CONNECT = "connect"

_OCCASIONS = (ANY_COMMAND, CONNECT, *COMMANDS)


@dataclass(frozen=True)
class Piece:
    """Bytes to send in one go, some time after the piece before; ``None`` hangs up instead."""

    data: bytes | None
    after_s: float = 0.0


Pieces = list[Piece]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What all faults have: where they strike, and how often.

    on: the command at whose arrival it strikes; ``"*"``: any; ``"connect"``: a new connection.
    times: how often it strikes; None: always.

    Raises ValueError for a command that no server has. Several that fit strike together,
    in the order given.
    """

    on: str = ANY_COMMAND
    times: int | None = 1

    def __post_init__(self) -> None:
        make_plain(self, as_int, "times")
        if self.on not in _OCCASIONS:
            raise ValueError(f"no such command: on={self.on!r}; there is {', '.join(_OCCASIONS)}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be 1 or more, or None for always, not {self.times}")

    @property
    def instead(self) -> ErrorReply | bytes | None:
        """What is answered instead of carrying the command out; None: it is carried out."""
        return None

    def reshape(self, answer: Pieces) -> Pieces:
        """What is sent instead of `answer`."""
        return answer

    def fits(self, command: str) -> bool:
        return self.on == command or (self.on == ANY_COMMAND and command != CONNECT)


@dataclass(frozen=True)
class Drop(Fault):
    """Hang up instead of answering; with `before`, without having carried the command out."""

    before: bool = False

    @property
    def instead(self) -> bytes | None:
        return b"" if self.before else None

    def reshape(self, answer: Pieces) -> Pieces:
        return [*_pauses(answer), Piece(None)]


@dataclass(frozen=True)
class Silence(Fault):
    """Carry the command out and never answer it."""

    def reshape(self, answer: Pieces) -> Pieces:
        return answer[:0]


@dataclass(frozen=True)
class Delay(Fault):
    """Carry the command out at once and answer it after `seconds`; other clients do not wait."""

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        make_plain(self, as_number, "seconds")

    def reshape(self, answer: Pieces) -> Pieces:
        return [Piece(b"", self.seconds), *answer]


@dataclass(frozen=True)
class Refuse(Fault):
    """Answer with an exception of this text, and do nothing."""

    text: str = "refused"

    @property
    def instead(self) -> ErrorReply:
        return ErrorReply(self.text)


@dataclass(frozen=True)
class Garbage(Fault):
    """Send these bytes, as they are, instead of the answer."""

    data: bytes = b"this is no JSON\n"

    def reshape(self, answer: Pieces) -> Pieces:
        hang_ups = [piece for piece in answer if piece.data is None]
        return [*_pauses(answer), Piece(self.data), *hang_ups]


@dataclass(frozen=True)
class Duplicate(Fault):
    """Send the answer twice."""

    def reshape(self, answer: Pieces) -> Pieces:
        return [*answer, *(piece for piece in answer if piece.data)]


@dataclass(frozen=True)
class Unsolicited(Fault):
    """After the answer (with `before`: before it) send `value`, for which nobody asked."""

    value: Any = None
    before: bool = False

    def reshape(self, answer: Pieces) -> Pieces:
        stray = Piece(_line({"return": self.value}, answer))
        return [stray, *answer] if self.before else [*answer, stray]


@dataclass(frozen=True)
class Split(Fault):
    """Send the answer in pieces of these sizes in bytes, the last with all that is left.

    pause_s: seconds between two pieces.
    """

    sizes: tuple[int, ...] = (1,)
    pause_s: float = 0.002

    def __post_init__(self) -> None:
        super().__post_init__()
        make_plain(self, as_number, "pause_s")

    def reshape(self, answer: Pieces) -> Pieces:
        cut: Pieces = []
        for piece in answer:
            rest, after_s = piece.data or b"", piece.after_s
            if not rest:
                cut.append(piece)
            for size in (*self.sizes, len(rest)):
                if rest:
                    cut.append(Piece(rest[:size], after_s))
                    rest, after_s = rest[size:], self.pause_s
        return cut


@dataclass(frozen=True)
class NotificationFlood(Fault):
    """Send `count` notifications, of made-up jobs, before the answer."""

    count: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        make_plain(self, as_int, "count")

    def reshape(self, answer: Pieces) -> Pieces:
        lines = (_line({"jobs_changed": [number]}, answer) for number in range(1, self.count + 1))
        return [Piece(b"".join(lines)), *answer]


def _pauses(pieces: Pieces) -> Pieces:
    return [Piece(b"", piece.after_s) for piece in pieces if piece.after_s]


def _line(body: dict[str, Any], answer: Pieces) -> bytes:
    """A line that ends as the answer does."""
    end = b"\r\n" if any((piece.data or b"").endswith(b"\r\n") for piece in answer) else b"\n"
    return json.dumps(body).encode("ascii") + end


class FaultScript:
    """The faults that are still to strike."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._left = [(fault, fault.times or math.inf) for fault in faults]

    @property
    def left(self) -> tuple[Fault, ...]:
        """Each fault that can still strike, whatever its `times` has come down to."""
        return tuple(fault for fault, _ in self._left)

    def strike(self, command: str) -> list[Fault]:
        """The faults for a command that has arrived; each has struck once more now."""
        struck = [fault for fault, _ in self._left if fault.fits(command)]
        if struck:
            left = ((fault, times - fault.fits(command)) for fault, times in self._left)
            self._left = [(fault, times) for fault, times in left if times > 0]
        return struck


def answer_instead(
    faults: Iterable[Fault], encode: Callable[[ErrorReply], bytes] = encode_message
) -> bytes | None:
    """What is answered when a fault keeps the command from being carried out; else None."""
    for fault in faults:
        instead = fault.instead
        if instead is not None:
            return encode(instead) if isinstance(instead, ErrorReply) else instead
    return None


def reshaped(faults: Iterable[Fault], answer: bytes) -> Pieces:
    """What the faults make of an answer, which is empty when there is none."""
    pieces = [Piece(answer)] if answer else []
    for fault in faults:
        pieces = fault.reshape(pieces)
    return pieces
