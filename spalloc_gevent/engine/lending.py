"""Connections lent to plain threads, which then send and receive on them themselves.

A call by way of the hub costs two hand-overs between threads, and those take
longer than the server's answer. Callers whose threads have no gevent hub, and so
nothing to run meanwhile, are spared them. Whatever does not go smoothly is left
to the background hub: the connection comes home with all that it owes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from spalloc_gevent.engine import native
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import Connection
from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.errors import ProtocolError

PLAIN_CALLS = 3
"""A connection is lent after so many calls in a row that plain threads could have made on it."""

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

    def taken_by(self, name: object) -> bool:
        """Take it for `name` if it is free; True if `name` holds it now."""
        return self._slot.setdefault("holder", name) is name

    def is_held_by(self, name: object) -> bool:
        return self._slot.get("holder") is name

    def carry(self, call: Call) -> bool:
        """Have `call`, which holds it, answered here and now; in the caller's own thread.

        False when `call` has to be submitted as usual, because the hub has to
        go on with it, or has asked for the connection. After an exception,
        which is an interruption, it has to be abandoned as usual.
        """
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
    """Decides when a connection is lent and when it comes home; on the hub, all but `borrow`."""

    def __init__(self, thread: HubThread, came_home: Callable[[Loan], None]) -> None:
        self.loans: tuple[Loan, ...] = ()
        """What is lent at present; looked at from any thread."""
        self._thread = thread
        self._came_home = came_home
        self._plain_calls = 0
        self._looks: dict[Loan, Timer] = {}

    def borrow(self, call: Call) -> Loan | None:
        """A loan that was free and is held by `call` now; from any thread."""
        for loan in self.loans:
            if not loan.recalled and loan.taken_by(call):
                return loan
        return None

    def count(self, call: Call) -> None:
        """Note that `call` has come to the hub."""
        self._plain_calls = self._plain_calls + 1 if call.lendable else 0

    def willing(self, waiting: int) -> bool:
        """True if it is plain threads that call, all `waiting` calls included."""
        return self._plain_calls >= max(PLAIN_CALLS, waiting) and native.has_poll

    def lend(self, connection: Connection) -> None:
        """Leave an idle connection to plain threads."""
        connection.lend()
        loan = Loan(connection)
        self.loans = (*self.loans, loan)
        self._look_later(loan)

    def bring_home(self, holder: object) -> None:
        """Take back what `holder` holds, and what was asked for and is free by now."""
        for loan in self.loans:
            if loan.is_held_by(holder) or (loan.recalled and loan.taken_by(self)):
                self._take_home(loan)

    def free_one(self, *, soon: bool) -> None:
        """Take one back that nobody holds; where there is none, `soon` asks a holder for it."""
        for loan in self.loans:
            if loan.taken_by(self):
                self._take_home(loan)
                return
        held = next((loan for loan in self.loans if not loan.recalled), None)
        if soon and held is not None:
            self._recall(held)

    def recall_all(self) -> None:
        """Have all that is lent come home: what is free now, the rest soon."""
        for loan in self.loans:
            self._recall(loan)

    def _recall(self, loan: Loan) -> None:
        # Asked for first, then looked at: the holder does it the other way round.
        loan.recalled = True
        if loan.taken_by(self):
            self._take_home(loan)

    def _take_home(self, loan: Loan) -> None:
        self.loans = tuple(one for one in self.loans if one is not loan)
        self._stop_looking(loan)
        self._came_home(loan)

    def _look_later(self, loan: Loan) -> None:
        self._looks[loan] = self._thread.timer(UNUSED_FOR_S, self._look_after, loan, loan.calls)

    def _look_after(self, loan: Loan, calls: int) -> None:
        del self._looks[loan]
        if loan.calls == calls:
            self._recall(loan)
        else:
            self._look_later(loan)

    def _stop_looking(self, loan: Loan) -> None:
        look = self._looks.pop(loan, None)
        if look is not None:
            look.cancel()

    def stop(self) -> None:
        """Have everything come home, and look after nothing any more."""
        self.recall_all()
        for loan in list(self._looks):
            self._stop_looking(loan)
