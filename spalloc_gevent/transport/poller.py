"""A server looked at again and again in the background: on every notification, and in time.

Its owner sleeps on a file descriptor together with whatever else it waits for (keys, signals,
other sockets), and finds the latest snapshot there. Bursts of notifications are one look; a
look that is expensive makes the next one wait longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar

from spalloc_gevent.errors import BadRequestError, ClosedError, SpallocError
from spalloc_gevent.transport.background import BackgroundUse
from spalloc_gevent.transport.backoff import RECONNECT_DELAY_S
from spalloc_gevent.transport.notification_queue import Kind
from spalloc_gevent.transport.subscriptions import Subscriptions
from spalloc_gevent.transport.waiting import Waiter, sleep

SHORTEST_REST_S = 0.1
"""At most about ten looks a second, however much happens."""
UNTOLD_INTERVAL_S = 3.0
"""The longest time without a look while nothing would be told of a change."""
LONGEST_REST_S = 2.0
"""A change is looked at within this time, however expensive a look is."""

SHARE_OF_CPU = 0.06
"""What looking, and showing what was seen, may take of one core while changes never end."""
SHARE_OF_SERVER = 0.1
"""What looking may take of the time of a server that has one thread for everybody."""

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot(Generic[T]):
    """What one look told: `data`, or the `trouble` that kept the server from telling."""

    at: float
    """Unix time."""
    data: T | None = None
    """What ``collect()`` returned."""
    trouble: SpallocError | None = None
    """Why it could not; it is tried again."""


def rest_s(cpu_s: float, asked_s: float) -> float:
    """Seconds to let pass after a look that took `cpu_s` of this process and `asked_s` in all."""
    wanted_s = max(cpu_s / SHARE_OF_CPU, asked_s / SHARE_OF_SERVER, SHORTEST_REST_S)
    return min(wanted_s, LONGEST_REST_S)


class Poller(Generic[T]):
    """Calls ``collect()`` in a background greenlet, as often as there are changes; until closed.

    ``collect`` asks the server what it wants to know and must not block otherwise. Trouble
    with the server ends nothing: it is told, and the server tried again.
    """

    def __init__(
        self,
        background: BackgroundUse,
        subscriptions: Subscriptions,
        collect: Callable[[], T],
        kinds: Collection[Kind],
        interval_s: float,
    ) -> None:
        """Start to look.

        Args:
            background, subscriptions: of the session with the server.
            collect: asks, and returns what is to be shown.
            kinds: the notifications that tell of changes; none are asked for where they would
                harm the server.
            interval_s: the longest time without a look, in seconds; notifications can be lost.

        Raises:
            ClosedError: the session is closed.
        """
        self._background = background
        self._subscriptions = subscriptions
        self._collect = collect
        self._kinds = kinds
        self._subscribed: Collection[Kind] = ()
        self._hears = False
        """True while changes are told."""
        self._interval_s = interval_s
        self._snapshot: Snapshot[T] | None = None
        self._failure: Exception | None = None
        self._is_told = False
        self._has_changed = False
        self._pause = Waiter()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        try:
            background.call_soon(self._start)
        except ClosedError:
            self._hang_up()
            os.close(self._reader)
            raise

    # -- from outside ---------------------------------------------------------

    def fileno(self) -> int:
        """Readable when there is a snapshot that :meth:`take` has not given yet."""
        return self._reader

    def take(self) -> Snapshot[T] | None:
        """The latest snapshot; None if there is none yet. To be called when readable.

        Raises:
            Exception: what ``collect`` raised, unless that was trouble with the server.
        """
        os.read(self._reader, 1)
        # Before the snapshot is taken: one that comes now is told again.
        self._is_told = False
        if self._failure is not None:
            raise self._failure
        return self._snapshot

    def close(self) -> None:
        """Stop looking; harmless when that is done already."""
        reader, self._reader = self._reader, -1
        if reader < 0:
            return
        try:
            self._background.call_soon(self._end)
        except ClosedError:
            self._hang_up()
        os.close(reader)

    # -- in the background ------------------------------------------------------

    def _start(self) -> None:
        self._subscriptions.listen(self)
        self._background.hub.spawn_here(self._run)

    def _run(self) -> None:
        while self._failure is None and self._reader >= 0:
            self._has_changed = False
            if self._look_and_rest():
                self._subscribe()
                self._wait_for_change(self._longest_s)
            else:
                self._wait_for_change(RECONNECT_DELAY_S)

    def _subscribe(self) -> None:
        """Once: after the first reply, which shows what server it is."""
        if not self._subscribed and self._writer >= 0 and self._subscriptions.are_harmless:
            self._subscribed = self._kinds
            for kind in self._subscribed:
                self._subscriptions.subscribe(kind, None)

    @property
    def _longest_s(self) -> float:
        return self._interval_s if self._hears else min(self._interval_s, UNTOLD_INTERVAL_S)

    def _wait_for_change(self, longest_s: float) -> None:
        self._pause = Waiter()
        if not self._has_changed and self._reader >= 0:
            self._pause.wait(monotonic() + longest_s)

    def _look_and_rest(self) -> bool:
        """Whether the server told; returns when the next look may be."""
        cpu_s, began = time.process_time(), monotonic()
        snapshot = self._look()
        asked_s = monotonic() - began
        self._deliver(snapshot)
        sleep(SHORTEST_REST_S)
        # By now the owner has shown it, which counts too.
        more_s = rest_s(time.process_time() - cpu_s, asked_s) - SHORTEST_REST_S
        is_told = snapshot is not None and snapshot.trouble is None
        if is_told and more_s > 0:
            sleep(more_s)
        return is_told

    def _look(self) -> Snapshot[T] | None:
        try:
            return Snapshot(time.time(), data=self._collect())
        except Exception as error:  # noqa: BLE001 - raised again by take(), in its owner's thread
            if isinstance(error, SpallocError) and not isinstance(error, BadRequestError):
                return Snapshot(time.time(), trouble=error)
            self._failure = error
            return None

    def _deliver(self, snapshot: Snapshot[T] | None) -> None:
        self._snapshot = snapshot
        if not self._is_told and self._writer >= 0:
            self._is_told = True
            # The owner may have closed its end.
            with suppress(BrokenPipeError, BlockingIOError):
                os.write(self._writer, b"!")

    def _end(self) -> None:
        self._changed()
        self._subscriptions.unlisten(self)
        for kind in self._subscribed:
            self._subscriptions.unsubscribe(kind, None)
        self._hang_up()

    def _hang_up(self) -> None:
        os.close(self._writer)
        self._writer = -1

    def _changed(self) -> None:
        self._has_changed = True
        if not self._pause.woken:
            self._pause.wake()

    # -- what the subscriptions tell ----------------------------------------------

    def put(self, _body: dict[str, Any], /) -> None:
        self._changed()

    def put_gap(self, _error: Exception, /) -> None:
        self._hears = False
        self._changed()

    def caught_up(self) -> None:
        self._hears = bool(self._subscribed)
        self._changed()
