"""One client of the simulated server: what it asks, what it is still to be sent, its socket."""

from __future__ import annotations

import contextlib
import socket
from collections import deque

from spalloc_gevent.simulator.dialects import Dialect
from spalloc_gevent.simulator.faults import Fault, Piece, Pieces
from spalloc_gevent.wire.lines import LineSplitter
from spalloc_gevent.wire.messages import CommandRequest

MOST_COMMAND_BYTES = 1024 * 1024
MOST_WAITING_COMMANDS = 1000
MOST_UNREAD_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 65_536

ANSWERED = Piece(b"")
"""Stands behind the last piece of an answer."""


class ServedConnection:
    """A client; what is kept for it is bounded, and nobody waits for it.

    OSError from its methods, and ProtocolError, mean that it is to be hung up on.
    """

    def __init__(self, sock: socket.socket, number: int, host: str, dialect: Dialect) -> None:
        """`number`: counted from 1 over all the server's connections; `host`: its address."""
        self.sock = sock
        self.fd = sock.fileno()
        self.number = number
        self.host = host
        self.is_open = True
        self.interest: int | None = None
        """The events that the loop waits for."""
        self.paused = False
        """A timer is running for the next piece of its answer."""
        self.held: tuple[CommandRequest, list[Fault]] | None = None
        """The command that cannot be carried out yet."""
        self.unsent = bytearray()
        """What its socket did not take."""
        self._dialect = dialect
        self._lines = LineSplitter(MOST_COMMAND_BYTES)
        self._heard_at = 0.0
        self._has_ended = False
        self._waiting: deque[bytes] = deque()
        self._output: deque[Piece] = deque()
        self._owed = 0
        self._is_mid_line = False

    # -- what it asks -------------------------------------------------------------------

    def receive(self, now: float) -> None:
        """Take in what it has sent."""
        data = self.sock.recv(CHUNK_BYTES)
        if self._lines.held_bytes and now - self._heard_at > self._dialect.line_patience_s:
            self._lines = LineSplitter(MOST_COMMAND_BYTES)
        self._heard_at = now
        begins_line = not self._lines.held_bytes
        self._waiting.extend(self._lines.feed(data))
        blank = [not line.strip() for line in data.split(b"\n")[:-1]]
        has_blank_line = any(blank if begins_line else blank[1:])
        self._has_ended = not data or (self._dialect.blank_line_ends and has_blank_line)

    def next_line(self) -> bytes | None:
        """The command to carry out now; None before the one before has been answered."""
        if not self._waiting or self._output or self.unsent or self.held:
            return None
        self._owed += 1
        return self._waiting.popleft()

    @property
    def in_flight(self) -> int:
        """How many of its commands have arrived and not been answered."""
        return self._owed + len(self._waiting)

    @property
    def has_sent_more(self) -> bool:
        """Whether there is something to read already."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    @property
    def wants_reading(self) -> bool:
        """False while it has enough to digest: one that does not read gets no more answers."""
        is_full = len(self._waiting) >= MOST_WAITING_COMMANDS
        return not (self._has_ended or self.unsent or is_full)

    @property
    def is_finished(self) -> bool:
        """It has ended and has everything it can get, or has left too much of it unread."""
        busy = self._waiting or self._output or self.unsent or self.held
        return (self._has_ended and not busy) or len(self.unsent) > MOST_UNREAD_BYTES

    # -- what it is sent ----------------------------------------------------------------

    def greet(self, pieces: Pieces) -> None:
        """Have it sent something before it has said anything."""
        self._output.extend(pieces)

    def answer(self, pieces: Pieces) -> None:
        """Have it sent the answer to the command that was taken last; none at all is silence."""
        if pieces:
            self._output.extend((*pieces, ANSWERED))

    def tell(self, data: bytes) -> None:
        """Send it a notification: at once, but not in the middle of an answer's line."""
        if self._is_mid_line and self._output:
            self._output.append(Piece(data))
        else:
            self._send(data)

    def send_pieces(self) -> float:
        """Send what is due of its answer; the seconds to wait before the next piece, or 0."""
        while self._output and not self.unsent:
            piece = self._output[0]
            if piece.after_s > 0:
                return piece.after_s
            self._output.popleft()
            if piece is ANSWERED:
                self._owed -= 1
            elif piece.data is None:
                raise ConnectionAbortedError
            elif piece.data:
                self._send(piece.data)
        return 0.0

    def end_pause(self) -> None:
        """Have the next piece sent now."""
        self.paused = False
        self._output[0] = Piece(self._output[0].data)

    def flush(self) -> None:
        """Send more of what its socket did not take."""
        with contextlib.suppress(BlockingIOError):
            del self.unsent[: self.sock.send(self.unsent)]

    def _send(self, data: bytes) -> None:
        count = 0
        with contextlib.suppress(BlockingIOError):
            count = 0 if self.unsent else self.sock.send(data)
        self.unsent += data[count:]
        self._is_mid_line = not data.endswith(b"\n")
