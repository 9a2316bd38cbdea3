"""Which connections are known to lead to the server that has our jobs.

A connection that is made while jobs are held may lead to a server that has
lost its memory since. It is vouched for by another one that is: when that
answers a command which was sent after the new one was there, both lead to a
server that lives now. Where there is no other one, or it does not answer, the
new connection is vetted: by the server's list of jobs, which is dear.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from spalloc_gevent.deadline import Clock
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.connection import Connection
from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.engine.outcome import Unawaited
from spalloc_gevent.engine.roll import Roll, Vetting

WORD_WITHIN_S = 0.25
"""How long a new connection waits for another one's word before it is vetted."""

ANOTHER_AFTER_S = 0.5
"""After how long a second one is vetted beside the first; each further one after twice as long."""

PATIENCE_S = 5.0
LONGEST_PATIENCE_S = 60.0
"""How long the answer to one question of a vetting is waited for, at first and at most."""


class Vouching:
    """What the answers so far prove; changed on the hub only."""

    def __init__(self, roll: Roll, clock: Clock = time.monotonic) -> None:
        self.roll = roll
        self._clock = clock
        self._since: dict[Connection, float] = {}
        self._proven_at = -math.inf
        """When the last command was sent that came back over a connection vouched for."""

    def admit(self, connection: Connection) -> None:
        """Take note of a connection that has just been made."""
        connection.vouched = not self.roll
        self._since[connection] = self._clock()

    def dismiss(self, connection: Connection) -> None:
        """It is of no use any more; harmless when that is known."""
        self._since.pop(connection, None)

    def answered(self, connection: Connection) -> None:
        """The last command on `connection` came back."""
        if connection.vouched and connection.asked_at is not None:
            self._proven_at = max(self._proven_at, connection.asked_at)

    def approve(self, connection: Connection) -> None:
        """It has been vetted."""
        connection.vouched = True
        self.answered(connection)

    def vouches_for(self, connection: Connection) -> bool:
        """Whether `connection` leads to the server that has our jobs."""
        if not connection.vouched and self._since.get(connection, math.inf) < self._proven_at:
            connection.vouched = True
        return connection.vouched

    def may_carry(self, connection: Connection, call: Call) -> bool:
        """False while the held job that `call` names may be another one at that end."""
        return not call.held or self.vouches_for(connection)


class Doubted:
    """A pool's connections that are not vouched for yet; on the hub.

    One at a time is vetted, since the list is dear; another one beside it only
    after a while, for a connection that stands still must not keep the others
    from telling. The longer a list takes, the longer the next is waited for.
    """

    def __init__(
        self,
        thread: HubThread,
        vouching: Vouching,
        send: Callable[[Connection, Call], object],
        free: Callable[[Connection], object],
        clock: Clock = time.monotonic,
    ) -> None:
        self._thread = thread
        self._vouching = vouching
        self._send = send
        self._free = free
        self._clock = clock
        self._waiting: dict[Connection, Timer] = {}
        self._vettings: dict[Connection, Vetting] = {}
        self._next_at = -math.inf
        """When another one may be vetted beside those that are."""
        self._patience_s = PATIENCE_S

    def take(self, connection: Connection, *, others: bool) -> None:
        """Keep an idle connection until it is vouched for; `others`: some may do so soon."""
        if others:
            self._wait(connection)
        else:
            self._vet(connection)

    def _wait(self, connection: Connection) -> None:
        self._waiting[connection] = self._thread.timer(WORD_WITHIN_S, self._vet, connection)

    def _vet(self, connection: Connection) -> None:
        now = self._clock()
        if self._vettings and now < self._next_at:
            self._wait(connection)
            return
        self._waiting.pop(connection, None)
        self._vettings[connection] = Vetting(self._vouching.roll, self._patience_s)
        self._next_at = now + ANOTHER_AFTER_S * 2 ** (len(self._vettings) - 1)
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        call = self._vettings[connection].next_call(Unawaited())
        if call is not None:
            self._send(connection, call)
            return
        del self._vettings[connection]
        self._patience_s = PATIENCE_S
        self._vouching.approve(connection)
        self._free(connection)
        self._release()

    def answered(self, connection: Connection) -> bool:
        """Go on after an answer; True if the connection is not ours."""
        if connection in self._vettings:
            self._go_on(connection)
            return False
        self._vouching.answered(connection)
        if self._waiting:
            self._release()
        return True

    def _release(self) -> None:
        for connection in [one for one in self._waiting if self._vouching.vouches_for(one)]:
            self._waiting.pop(connection).cancel()
            self._free(connection)

    def dismiss(self, connection: Connection) -> None:
        """The connection is lost, or closed; harmless if it is not ours."""
        self._vouching.dismiss(connection)
        if self._vettings.pop(connection, None) is not None:
            self._patience_s = min(2 * self._patience_s, LONGEST_PATIENCE_S)
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()
