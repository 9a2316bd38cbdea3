"""Notifications that nobody has asked for yet, in bounded memory.

The socket is read even when nobody asks (a server stands still for everybody when a
subscriber does not read), so what comes is kept here: as it came up to :data:`MOST_UNREAD`
messages, then merged into one of its kind, which keeps the news and loses only their number.
Beyond that limit, messages of kinds that this client does not know are dropped.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from typing import Any

from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.transport import native
from spalloc_gevent.transport.waiting import Waiter

MOST_UNREAD = 1_000
MOST_KEYS = 20_000
"""The most job IDs or machine names in a merged notification; the oldest are dropped."""

Key = int | str | None
"""A job ID or a machine name; None stands for all of them."""


class Kind(enum.Enum):
    """What a subscription is about; the values are part of the protocol's names."""

    JOB = "job"
    MACHINE = "machine"

    @property
    def label(self) -> str:
        """The key of its notifications."""
        return f"{self.value}s_changed"


class NotificationQueue:
    """The unread notifications of one client; for any thread or greenlet."""

    def __init__(self) -> None:
        self.subscribed: set[tuple[Kind, Key]] = set()
        """What the client has subscribed to; nothing else is kept for it."""
        self._lock = native.new_rlock()
        self._unread: deque[dict[str, Any] | Exception] = deque()
        self._merged: dict[str, OrderedDict[Key, None]] = {}
        self._waiters: deque[Waiter] = deque()

    def put(self, body: dict[str, Any]) -> None:
        """Give a notification to the first that waits, or keep it."""
        wanted = self._only_subscribed(body)
        if wanted is None:
            return
        with self._lock:
            if self._waiters:
                self._waiters.popleft().wake(wanted)
            else:
                self._keep(wanted)

    def put_gap(self, error: Exception) -> None:
        """Notifications may have been missed: all who wait are told, or the next that does."""
        if not isinstance(error, ClosedError):
            error = ConnectionLostError(f"the connection was lost: {error}")
        with self._lock:
            if not self._waiters and not (self._unread and self._unread[-1] is error):
                self._unread.append(error)
            while self._waiters:
                self._waiters.popleft().wake(error)

    def take(self, deadline: float) -> dict[str, Any] | None:
        """The oldest unread notification, or the next to come.

        Args:
            deadline: when to give up, on the monotonic clock; a moment that has passed takes
                what is there.

        Returns:
            The notification, or None at the deadline.

        Raises:
            ConnectionLostError, ClosedError: notifications may have been missed, told once.
        """
        waiter = Waiter()
        with self._lock:
            value = self._next_unread()
            if value is None:
                self._waiters.append(waiter)
        if value is None:
            try:
                waiter.wait(deadline)
            except BaseException:
                self._stop_waiting(waiter)
                raise
            value = self._come_of(waiter)
        if isinstance(value, Exception):
            raise value
        return value

    def _next_unread(self) -> dict[str, Any] | Exception | None:
        if self._unread:
            return self._unread.popleft()
        for label in list(self._merged):
            return {label: list(self._merged.pop(label))}
        return None

    def _come_of(self, waiter: Waiter) -> Any:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            return waiter.value

    def _stop_waiting(self, waiter: Waiter) -> None:
        """Its thread or greenlet was interrupted: what it got meanwhile is unread again."""
        value = self._come_of(waiter)
        if value is not None:
            with self._lock:
                self._unread.appendleft(value)

    def caught_up(self) -> None:
        """Nothing to keep: the gap has been told by :meth:`put_gap`."""

    def _only_subscribed(self, body: dict[str, Any]) -> dict[str, Any] | None:
        # One subscription for all may stand behind a few: their owner is told of those.
        for kind in Kind:
            keys = body.get(kind.label)
            if isinstance(keys, list) and (kind, None) not in self.subscribed:
                keys = [key for key in _keys_in(keys) if (kind, key) in self.subscribed]
                return {kind.label: keys} if keys else None
        return body

    def _keep(self, body: dict[str, Any]) -> None:
        if len(self._unread) < MOST_UNREAD and not self._merged:
            self._unread.append(body)
            return
        for kind in Kind:
            keys = body.get(kind.label)
            if isinstance(keys, list):
                self._merge(kind.label, _keys_in(keys))

    def _merge(self, label: str, keys: list[Key]) -> None:
        # An ordered one: what a plain dictionary has lost in front it passes by every time.
        merged = self._merged.setdefault(label, OrderedDict())
        for key in keys:
            merged[key] = None
            merged.move_to_end(key)
        while len(merged) > MOST_KEYS:
            merged.popitem(last=False)


def _keys_in(keys: list[Any]) -> list[Key]:
    return [key for key in keys if isinstance(key, int | str)]
