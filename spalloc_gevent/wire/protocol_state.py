"""The order of things on one connection: one command in flight, and whose turn it is.

Replies carry no identifier, so order is the key.
"""

from __future__ import annotations

from spalloc_gevent.errors import LifecycleBugError, ProtocolError
from spalloc_gevent.wire.lines import DEFAULT_MAX_LINE_BYTES, LineSplitter
from spalloc_gevent.wire.messages import Message, Notification, decode_message
from spalloc_gevent.wire.quoting import quoted


class ProtocolState:
    """What one connection owes; knows bytes, no socket and no clock.

    After a :class:`ProtocolError` the connection is out of step for good and
    must be closed.
    """

    __slots__ = ("_lines", "in_flight", "violation")

    def __init__(self, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> None:
        self._lines = LineSplitter(max_line_bytes)
        self.in_flight = False
        """True while the answer to a command is owed. To be read only."""
        self.violation: ProtocolError | None = None
        """What no server may send, and this one has."""

    @property
    def ends_lines_with_crlf(self) -> bool:
        """True once a line has ended as the Java server's do."""
        return self._lines.seen_crlf

    def sent(self) -> None:
        """Note that a command is on its way, from before its first byte.

        Raises:
            LifecycleBugError: another command is in flight.
        """
        if self.in_flight:
            raise LifecycleBugError("a second command on a connection that has one in flight")
        self.in_flight = True

    def receive(self, data: bytes) -> list[Message]:
        """What the server's bytes mean, in order, up to a violation of the protocol.

        Raises:
            ProtocolError: a violation, if nothing came before it: a line too long, no JSON
                object, or a reply that nobody asked for.
        """
        messages: list[Message] = []
        try:
            if self.violation is not None:
                raise self.violation
            for line in self._lines.lines(data):
                message = decode_message(line)
                if not isinstance(message, Notification):
                    if not self.in_flight:
                        unasked = f"the server answered a question nobody asked: {quoted(line)}"
                        raise ProtocolError(unasked)
                    self.in_flight = False
                messages.append(message)
        except ProtocolError as error:
            self.violation = error
            if not messages:
                raise
        return messages
