"""Notifications that nobody has asked for yet, in bounded memory.

The socket is read even when nobody asks (a server stands still for everybody
when a subscriber does not read), so what comes is kept here: as it came up to
:data:`MOST_UNREAD` messages, then folded into the last one of its kind, which
keeps the news and loses only their number. Beyond that limit, messages of kinds
that this client does not know are dropped.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from spalloc_gevent.engine.arming import Key, Kind
from spalloc_gevent.engine.outcome import Outcome
from spalloc_gevent.errors import ClosedError, ConnectionLostError
from spalloc_gevent.wire.messages import Notification

MOST_UNREAD = 1_000
MOST_NAMES = 20_000
"""The most job IDs or machine names in a folded notification; the oldest are dropped."""


class Inbox:
    """The unread notifications of one client; every method runs on the hub."""

    def __init__(self) -> None:
        self.wanted: set[tuple[Kind, Key]] = set()
        self._unread: deque[dict[str, Any]] = deque()
        self._folded: dict[str, OrderedDict[Key, None]] = {}
        self._waiting: deque[Outcome[dict[str, Any]]] = deque()

    def notified(self, notification: Notification) -> None:
        body = self._only_wanted(notification.body)
        if body is None:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.settled:
                waiter.settle(body)
                return
        self._keep(body)

    def lost(self, error: Exception) -> None:
        """Tell everyone who waits that notifications may have been missed."""
        waiting, self._waiting = self._waiting, deque()
        for outcome in waiting:
            if isinstance(error, ClosedError):
                outcome.fail(error)
            else:
                outcome.fail(ConnectionLostError(f"the connection was lost: {error}"))

    def caught_up(self) -> None:
        """Nothing to keep: whoever waited has been told of the gap by :meth:`lost`."""

    def take(self, outcome: Outcome[dict[str, Any]]) -> None:
        """Give the oldest unread notification, or the next one to come."""
        body = self.take_unread()
        if body is None:
            self._waiting.append(outcome)
        else:
            outcome.settle(body)

    def take_unread(self) -> dict[str, Any] | None:
        """The oldest unread notification, or None."""
        if self._unread:
            return self._unread.popleft()
        for label in list(self._folded):
            return {label: list(self._folded.pop(label))}
        return None

    def give_back(self, outcome: Outcome[dict[str, Any]]) -> None:
        """Its waiter has given up: what it got meanwhile is unread again."""
        if outcome in self._waiting:
            self._waiting.remove(outcome)
        elif outcome.value is not None:
            self._unread.appendleft(outcome.value)

    def _only_wanted(self, body: dict[str, Any]) -> dict[str, Any] | None:
        # One watch for all may stand behind a few wanted ones: their owner is told of those.
        for kind in Kind:
            names = body.get(kind.label)
            if isinstance(names, list) and (kind, None) not in self.wanted:
                names = [name for name in _keys(names) if (kind, name) in self.wanted]
                return {kind.label: names} if names else None
        return body

    def _keep(self, body: dict[str, Any]) -> None:
        if len(self._unread) < MOST_UNREAD and not self._folded:
            self._unread.append(body)
            return
        for kind in Kind:
            names = body.get(kind.label)
            if isinstance(names, list):
                self._fold(kind.label, _keys(names))

    def _fold(self, label: str, names: list[Key]) -> None:
        # An ordered one: what a plain dictionary has lost in front it passes by every time.
        folded = self._folded.setdefault(label, OrderedDict())
        for name in names:
            folded[name] = None
            folded.move_to_end(name)
        while len(folded) > MOST_NAMES:
            folded.popitem(last=False)


def _keys(names: list[Any]) -> list[Key]:
    return [name for name in names if isinstance(name, int | str)]
