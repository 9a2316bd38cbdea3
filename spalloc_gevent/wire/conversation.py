"""What one connection owes whom: one command in flight, everyone their own answer.

Replies carry no identifier, so order is the key. A caller that gives up leaves
the debt behind: the late answer is still swallowed before the next command may
go out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from spalloc_gevent.errors import LifecycleBugError, ProtocolError, SpallocServerException
from spalloc_gevent.wire.lines import DEFAULT_MAX_LINE_BYTES, LineSplitter
from spalloc_gevent.wire.messages import Message, Notification, Refused, Returned, decode_message
from spalloc_gevent.wire.quoting import quoted

Waiter = TypeVar("Waiter")


@dataclass(frozen=True)
class Answer(Generic[Waiter]):
    """The answer to the command in flight, and whose it is."""

    waiter: Waiter
    reply: Returned | Refused


@dataclass(frozen=True)
class Swallowed(Generic[Waiter]):
    """The late answer to a command whose caller had given up."""

    waiter: Waiter
    reply: Returned | Refused


class Conversation(Generic[Waiter]):
    """The order of things on one connection; knows bytes, no socket and no clock.

    After a :class:`ProtocolError` the connection is out of step for good and
    must be closed.
    """

    def __init__(self, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> None:
        self._lines = LineSplitter(max_line_bytes)
        self.in_flight: Waiter | None = None
        """Whose command has been sent and not been answered; None when idle. To be read only."""
        self.abandoned = False
        """True while the answer that is owed has nobody waiting for it any more. As above."""

    def sent(self, waiter: Waiter) -> None:
        """Note that `waiter`'s command is on its way; there must be no other.

        `waiter` is whatever names the caller, but not None. Raises
        LifecycleBugError while another command is in flight.
        """
        if self.in_flight is not None:
            raise LifecycleBugError("a second command on a connection that has one in flight")
        self.in_flight = waiter
        self.abandoned = False

    def abandon(self) -> None:
        """Forget who waits, keep the debt: the answer still has to be swallowed."""
        self.abandoned = self.in_flight is not None

    def receive(self, data: bytes) -> list[Answer[Waiter] | Swallowed[Waiter] | Notification]:
        """Take in bytes of the server; return what they mean, in order.

        Raises ProtocolError for what no server may send: a line too long, no
        JSON object, or an answer that nobody asked for.
        """
        return list(self.events(data))

    def events(self, data: bytes) -> Iterator[Answer[Waiter] | Swallowed[Waiter] | Notification]:
        """As :meth:`receive`, one at a time: those before a violation still come out.

        Go through all of them before the next command is sent, so that a second
        answer to the first one is not taken for its own.
        """
        for line in self._lines.lines(data):
            yield self._event(line)

    def _event(self, line: bytes) -> Answer[Waiter] | Swallowed[Waiter] | Notification:
        message: Message = decode_message(line)
        if isinstance(message, Notification):
            return message
        return self._answer(message, line)

    def _answer(self, reply: Returned | Refused, line: bytes) -> Answer[Waiter] | Swallowed[Waiter]:
        waiter, self.in_flight = self.in_flight, None
        if waiter is None:
            raise ProtocolError(f"the server answered a question nobody asked: {quoted(line)}")
        was_abandoned, self.abandoned = self.abandoned, False
        return Swallowed(waiter, reply) if was_abandoned else Answer(waiter, reply)


def value_of(command: str, reply: Returned | Refused) -> Any:
    """The value that `reply` returns; raises the server's exception if it is one."""
    if isinstance(reply, Refused):
        raise SpallocServerException(command, reply.reason)
    return reply.value
