"""A connection lent to plain threads, which then send and receive on it themselves.

A call by way of the hub costs two hand-overs between threads, and those take
longer than the server's answer. A lone caller is spared them, if its thread has
no gevent hub and so nothing to run meanwhile. Whatever does not go smoothly is
left to the background hub: the connection comes home with all that it owes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from spalloc_gevent.engine import native
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import Connection
from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.errors import ProtocolError

LONE_CALLS = 3
"""A connection is lent after so many calls in a row, none of which met another."""

LONGEST_WAIT_S = 0.05
"""An answer that takes longer is waited for on the hub, so a loan comes home within this time."""

UNUSED_FOR_S = 1.0
"""A lent connection that is not used for about this long is taken back, and watched again."""


class Loan:
    """The use of one connection, which one caller or the hub holds at a time.

    Who holds it is a name in a slot, and all else stays where it is: wherever
    an interruption strikes, it is clear whose turn it was.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.recalled = False
        """True once the hub wants it: whoever holds it then brings it by submitting their call."""
        self.calls = 0
        """How many were answered over it."""
        self.in_doubt = False
        """True when it is not known for sure what has been sent and received."""
        self.error: Exception | None = None
        """Why the connection is of no more use."""
        self._slot: dict[str, object] = {}
        self._arrivals = native.poll_for_arrivals(connection.socket)

    def held_by(self, name: object) -> bool:
        """Take it for `name` if it is free; True if `name` holds it now."""
        return self._slot.setdefault("holder", name) is name

    def carry(self, call: Call) -> bool:
        """Have `call` answered here and now; in the caller's own thread.

        False when `call` has to be submitted as usual, because the hub has to
        go on with it, or has asked for the connection. After an exception,
        which is an interruption, it has to be abandoned as usual.
        """
        if self.recalled or not self.held_by(call):
            return False
        try:
            self._converse(call)
        except BlockingIOError:
            self.in_doubt = False
        except (OSError, ProtocolError) as error:
            self.error = error
        if self.error is not None or not call.outcome.settled:
            return False
        self.calls += 1
        self._slot.clear()
        # Looked at last: the hub asks for it first, and then looks into the slot.
        return not self.recalled

    def _converse(self, call: Call) -> None:
        # What is here before the question is no answer to it: the hub sees to that.
        if self._arrivals(0):
            return
        self.in_doubt = True
        all_sent = self.connection.begin_lent(call, time.monotonic())
        self.in_doubt = False
        if all_sent and self._arrivals(LONGEST_WAIT_S * 1000):
            self.in_doubt = True
            self.connection.receive_lent()
            self.in_doubt = False


class Lender:
    """Decides when a connection is lent and when it comes home; on the hub, all but `loan`."""

    def __init__(self, thread: HubThread, came_home: Callable[[Loan], None]) -> None:
        self.loan: Loan | None = None
        """What is lent at present; looked at from any thread."""
        self._thread = thread
        self._came_home = came_home
        self._lone_calls = 0
        self._look: Timer | None = None

    def count(self, call: Call, *, alone: bool) -> None:
        """Note that `call` has come, and whether it met another."""
        self._lone_calls = self._lone_calls + 1 if alone and call.lendable else 0

    @property
    def willing(self) -> bool:
        """True if whoever calls seems to be alone."""
        return self._lone_calls >= LONE_CALLS and native.has_poll

    def lend(self, connection: Connection) -> None:
        """Leave an idle connection to plain threads."""
        self._lone_calls = 0
        connection.lend()
        self.loan = Loan(connection)
        self._look_later(self.loan)

    def recall(self, taker: object) -> None:
        """Have what is lent come home: now, if it is free or `taker` holds it, else soon."""
        loan = self.loan
        if loan is None:
            return
        loan.recalled = True
        if loan.held_by(taker):
            self.loan = None
            self.stop_looking()
            self._came_home(loan)

    def _look_later(self, loan: Loan) -> None:
        self._look = self._thread.timer(UNUSED_FOR_S, self._look_after, loan, loan.calls)

    def _look_after(self, loan: Loan, calls: int) -> None:
        self._look = None
        if loan.calls == calls:
            self.recall(self)
        else:
            self._look_later(loan)

    def stop_looking(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.cancel()
