"""One client of the simulated server, as bytes in and bytes out: no socket, no clock."""

from __future__ import annotations

from collections import deque
from typing import Any

from spalloc_gevent.simulator.faults import Piece, Pieces
from spalloc_gevent.wire.lines import LineSplitter

MOST_COMMAND_BYTES = 1024 * 1024
MOST_WAITING_COMMANDS = 1000
MOST_UNREAD_BYTES = 16 * 1024 * 1024


class Client:
    """What one connection has asked for, and what it has still to be sent.

    number: counted from 1 over all the server's connections; host: its address.
    """

    def __init__(self, number: int, host: str, *, blank_line_ends: bool = False) -> None:
        self.number = number
        self.host = host
        self.ended = False
        """It has said all that it will say."""
        self._blank_line_ends = blank_line_ends
        self._lines = LineSplitter(MOST_COMMAND_BYTES)
        self._waiting: deque[bytes] = deque()
        self._answer: deque[Piece] = deque()
        self._unsent = bytearray()
        self._owed = 0
        self._answering = False
        self._mid_line = False
        self.held: Any = None
        """The command that cannot be carried out yet."""

    @property
    def is_mid_command(self) -> bool:
        """Whether it has sent the beginning of a line and not its end."""
        return self._lines.held_bytes > 0

    def lose_beginning(self) -> None:
        """Forget the beginning of the line that it is sending."""
        self._lines = LineSplitter(MOST_COMMAND_BYTES)

    def take_in(self, data: bytes) -> None:
        """Note what it sent; ProtocolError for a line without end."""
        begins_line = not self._lines.held_bytes
        self._waiting.extend(self._lines.feed(data))
        if self._blank_line_ends and _has_blank_line(data, begins_line):
            self.ended = True

    def next_line(self) -> bytes | None:
        """The command to carry out now; None before the one before has been answered."""
        if not self._waiting or self._answer or self._unsent or self.held:
            return None
        self._owed += 1
        return self._waiting.popleft()

    @property
    def in_flight(self) -> int:
        """How many of its commands have arrived and not been answered."""
        return self._owed + len(self._waiting)

    def greet(self, pieces: Pieces) -> None:
        """Queue what it is sent before it has said anything."""
        self._answer.extend(pieces)

    @property
    def wants_reading(self) -> bool:
        """False while it has enough to digest: one that does not read gets no more answers."""
        full = len(self._waiting) >= MOST_WAITING_COMMANDS
        return not (self.ended or self._unsent or full)

    @property
    def finished(self) -> bool:
        """It has ended, and has everything it can get."""
        busy = self._waiting or self._answer or self._unsent or self.held
        return self.ended and not busy

    @property
    def overwhelmed(self) -> bool:
        """It has left so much unread that it is better hung up on."""
        return len(self._unsent) > MOST_UNREAD_BYTES

    def answer(self, pieces: Pieces) -> None:
        """Queue the answer to the command that was taken last; none at all is silence."""
        self._answer.extend(pieces)
        self._answering = bool(pieces)

    def answered(self) -> None:
        """Note that the answer has gone out whole without having been queued."""
        self._owed -= 1

    def next_piece(self) -> Piece | None:
        """The next piece of the answer; None while there is none, or the last is on its way."""
        return None if self._unsent or not self._answer else self._answer[0]

    def piece_done(self) -> None:
        """Note that the next piece has been taken to be sent."""
        self._answer.popleft()
        if not self._answer and self._answering:
            self._answering = False
            self._owed -= 1

    def waited(self) -> None:
        """The pause before the next piece is over."""
        self._answer[0] = Piece(self._answer[0].data)

    def may_interrupt(self) -> bool:
        """Whether a notification may go out now: not in the middle of an answer's line."""
        return not (self._mid_line and self._answer)

    def interrupt_later(self, data: bytes) -> None:
        self._answer.append(Piece(data))

    @property
    def unsent(self) -> bytearray:
        return self._unsent

    def sent(self, data: bytes, count: int) -> None:
        """Note that `count` bytes of `data` went out; the rest has to follow."""
        self._unsent += data[count:]
        self._mid_line = not data.endswith(b"\n")

    def flushed(self, count: int) -> None:
        """Note that `count` more bytes of the rest went out."""
        del self._unsent[:count]


def _has_blank_line(data: bytes, begins_line: bool) -> bool:
    lines = [line.strip() for line in data.split(b"\n")[:-1]]
    return b"" in (lines if begins_line else lines[1:])
