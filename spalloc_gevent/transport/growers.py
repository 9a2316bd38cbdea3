"""Greenlets of the background hub that make connections, as long as somebody waits for one."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from spalloc_gevent.transport.background import BackgroundUse
from spalloc_gevent.transport.backoff import ConnectBackoff
from spalloc_gevent.transport.waiting import Waiter

MOST_GROWING = 4
"""The server's backlog is 5: no more connections than this are made at once."""


class Growers:
    """A few at once, and one at a time while the server does not answer."""

    def __init__(
        self,
        background: BackgroundUse,
        backoff: ConnectBackoff,
        *,
        wanted: Callable[[], int],
        next_attempt_at: Callable[[], float | None],
        connect: Callable[[], None],
    ) -> None:
        """Have no grower yet.

        Args:
            background: where they run.
            backoff: told when an attempt begins.
            wanted: how many more connections could be used, those in the making included.
            next_attempt_at: when one may be tried; None when nobody waits any more.
            connect: makes one connection and hands it on, or notes why that failed.
        """
        self.count = 0
        self._background = background
        self._backoff = backoff
        self._wanted = wanted
        self._next_attempt_at = next_attempt_at
        self._connect = connect
        self._pause: Waiter | None = None

    def is_wanted(self) -> bool:
        """True if one more could make a connection; one at a time in an outage."""
        if self._backoff.is_pending and self.count:
            return False
        return self.count < min(self._wanted(), MOST_GROWING)

    def start(self) -> None:
        """Start what is wanted, and have those that pause look again; in the background."""
        if self._pause is not None and not self._pause.woken:
            self._pause.wake()
        while self.is_wanted():
            self.count += 1
            self._background.hub.spawn_here(self._grow)

    def _grow(self) -> None:
        try:
            while self._is_needed():
                self._pause_before_attempt()
                self._backoff.began(monotonic())
                self._connect()
        finally:
            self.count -= 1

    def _is_needed(self) -> bool:
        # Each of the other growers has a connection in the making.
        if self._wanted() < self.count:
            return False
        return self.count == 1 or not self._backoff.is_pending

    def _pause_before_attempt(self) -> None:
        while (moment := self._next_attempt_at()) is not None and monotonic() < moment:
            self._pause = Waiter()
            self._pause.wait(moment)
