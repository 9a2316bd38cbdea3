"""Bytes in pieces of any size to whole lines, in time linear in their number."""

from __future__ import annotations

from collections.abc import Iterator

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.wire.quoting import quoted

DEFAULT_MAX_LINE_BYTES = 64 * 1024 * 1024


class LineSplitter:
    """Collects the bytes of one connection and gives back the lines in them.

    Lines end with ``\\n`` or, from the Java server, ``\\r\\n``. Blank lines
    carry nothing and are left out. A line longer than `max_line_bytes` is a
    :class:`ProtocolError`, raised as soon as that much of it is here; it is
    final, and no more than that much is kept.
    """

    def __init__(self, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        # Not a list of pieces: those of a byte each would take many times their size.
        self._held = bytearray()
        self.seen_crlf = False
        """True once a line has ended in ``\\r\\n``."""

    @property
    def held_bytes(self) -> int:
        """How many bytes of an unfinished line are kept."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take in `data`; return the lines that it completes, without their ends."""
        return list(self.lines(data))

    def lines(self, data: bytes) -> Iterator[bytes]:
        """As :meth:`feed`, one at a time: those before one too long still come out.

        Go through all of them: the rest of `data` is taken in after the last.
        """
        *ends, rest = data.split(b"\n")
        for end in ends:
            # Most lines come whole: they need not be put together.
            if self._held or len(end) > self._max_line_bytes:
                self._hold(end)
                end = bytes(self._held)
                self._held.clear()
            if end.endswith(b"\r"):
                self.seen_crlf = True
            line = end.strip(b" \t\r")
            if line:
                yield line
        if rest:
            self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        # One byte more than allowed is kept, so that a line too long stays so.
        self._held += piece[: self._max_line_bytes + 1 - len(self._held)]
        if len(self._held) > self._max_line_bytes:
            raise ProtocolError(
                f"the server sent a line of more than {self._max_line_bytes} bytes, "
                f"beginning {quoted(self._beginning())}"
            )

    def _beginning(self) -> bytes:
        return bytes(self._held[:400])
