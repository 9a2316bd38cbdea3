"""Those who wait for a connection: the keepalives, and after them all other callers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from time import monotonic

from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.transport.connection import Connection
from spalloc_gevent.transport.waiting import Waiter
from spalloc_gevent.wire.requests import Request

HAND_OVER_AFTER_S = 0.01
"""A plain thread is woken for a connection only after this time in the line. Woken at once, for
every call anew, it would cost more than the call."""


class PlaceInLine(Waiter):
    """One caller that waits for a connection; woken with one, or with an error."""

    __slots__ = ("look_at", "request", "since", "wants_new")

    def __init__(self, request: Request, wants_new: bool) -> None:
        super().__init__()
        self.request = request
        self.wants_new = wants_new
        """True if only a connection will do that is made from now on."""
        self.since = monotonic()
        self.look_at = math.inf
        """When it looks itself for what was left idle; only the first in line does."""

    def is_early(self) -> bool:
        """True while a plain thread has not waited long enough to be woken.

        It looks itself then: those that leave idle what they would find again may stay away.
        """
        if not self.blocks_thread or monotonic() - self.since >= HAND_OVER_AFTER_S:
            return False
        if self.look_at == math.inf:
            self.look_at = self.since + HAND_OVER_AFTER_S
            self.nudge()
        return True

    def hub_ended(self) -> None:
        """The connection that it was woken with, if so, is given up."""
        if isinstance(self.value, Connection):
            self.value.lose()


class Line:
    """The places of all who wait; the pool's lock guards every change."""

    def __init__(self) -> None:
        self.keepalives: deque[PlaceInLine] = deque()
        self.callers: deque[PlaceInLine] = deque()

    def __len__(self) -> int:
        return len(self.keepalives) + len(self.callers)

    def __iter__(self) -> Iterator[PlaceInLine]:
        # A copy: others may come and leave meanwhile.
        return iter((*self.keepalives, *self.callers))

    @property
    def wants_new(self) -> bool:
        """True if an idle connection will not do for somebody."""
        return any(place.wants_new for place in self)

    @property
    def waits_for_server(self) -> bool:
        """True if somebody waits until a server that is away has returned."""
        return any(place.request.wait_for_server for place in self)

    def asks_at_once(self, tried_at: float) -> bool:
        """True if a caller does not wait for the server, or has come since `tried_at`."""
        return any(
            not place.request.wait_for_server
            or (place.request.tries_at_once and place.since > tried_at)
            for place in tuple(self.callers)
        )

    def leave(self, place: PlaceInLine) -> None:
        """Take `place` out; harmless when it has left."""
        for places in (self.keepalives, self.callers):
            if place in places:
                places.remove(place)

    def fail_impatient(self, error: Exception) -> None:
        """Tell the callers that do not wait for the server why they get no connection."""
        for place in [p for p in self.callers if not p.request.wait_for_server]:
            self.callers.remove(place)
            place.wake(ConnectionLostError(str(error)))


def first_for(
    connection: Connection, places: deque[PlaceInLine], at_once: bool
) -> PlaceInLine | None:
    """The first place that a connection will do for, if it is time."""
    while places and (places[0].woken or places[0].hub_is_gone):
        # Left over by an interruption between its wake and its leaving the line.
        places[0].signal()
        places.popleft()
    for place in places:
        if not at_once and place.is_early():
            return None
        if not place.wants_new or connection.made_at >= place.since:
            return place
    return None
