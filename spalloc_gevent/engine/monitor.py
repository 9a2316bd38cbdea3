"""A server looked at again and again on the hub: at every piece of news, and at the latest in time.

Its owner sleeps on a file descriptor together with whatever else it waits for
(keys, signals, other sockets), and finds the latest look there. Bursts of news
are one look; a look that is dear makes the next one wait longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import gevent
import gevent.event

from spalloc_gevent.engine.arming import Kind
from spalloc_gevent.engine.backoff import retry_delays
from spalloc_gevent.engine.hub import HubThread
from spalloc_gevent.engine.watches import Watches
from spalloc_gevent.errors import ClosedError, SpallocError
from spalloc_gevent.wire.messages import Notification

SHORTEST_REST_S = 0.1
"""At most about ten looks a second, however much happens."""
LONGEST_REST_S = 2.0
"""News waits no longer than this, however dear a look is."""

SHARE_OF_CPU = 0.06
"""What looking, and showing what was seen, may take of one core while news never ends."""
SHARE_OF_SERVER = 0.1
"""What looking may take of the time of a server that has one thread for everybody."""

T = TypeVar("T")


@dataclass(frozen=True)
class Look(Generic[T]):
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


class Monitor(Generic[T]):
    """Calls ``collect()`` in a greenlet of the hub, as often as there is news; until closed.

    ``collect`` asks the server what it wants to know and must not block otherwise. Trouble
    with the server ends nothing: it is told, and the server tried again.
    """

    def __init__(
        self,
        thread: HubThread,
        watches: Watches,
        collect: Callable[[], T],
        kinds: Collection[Kind],
        interval_s: float,
    ) -> None:
        """`interval_s`: the longest time without a look; notifications can be lost."""
        self._thread = thread
        self._watches = watches
        self._collect = collect
        self._kinds = kinds
        self._interval_s = interval_s
        self._look: Look[T] | None = None
        self._failure: Exception | None = None
        self._rung = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        try:
            thread.post(self._start)
        except ClosedError:
            self._hang_up()
            os.close(self._reader)
            raise

    # -- from outside ---------------------------------------------------------

    def fileno(self) -> int:
        """Readable when there is a look that :meth:`take` has not given yet."""
        return self._reader

    def take(self) -> Look[T] | None:
        """The latest look; None if there is none yet. Call it once :meth:`fileno` is readable.

        Raises what ``collect`` raised, unless that was trouble with the server.
        """
        os.read(self._reader, 1)
        # Before the look is taken: one that comes now rings again.
        self._rung = False
        if self._failure is not None:
            raise self._failure
        return self._look

    def close(self) -> None:
        """Stop looking; harmless when that is done already."""
        reader, self._reader = self._reader, -1
        if reader < 0:
            return
        try:
            self._thread.post(self._end)
        except ClosedError:
            self._hang_up()
        os.close(reader)

    # -- on the hub -----------------------------------------------------------

    def _start(self) -> None:
        self._news = gevent.event.Event()
        self._watches.listen(self)
        for kind in self._kinds:
            self._watches.want(kind, None)
        self._greenlet = self._thread.spawn(self._run)

    def _run(self) -> None:
        delays = retry_delays()
        while self._failure is None:
            self._news.clear()
            if self._look_and_rest():
                delays = retry_delays()
                self._news.wait(self._interval_s)
            else:
                self._news.wait(next(delays))

    def _look_and_rest(self) -> bool:
        """Whether the server told; returns when the next look may be."""
        cpu_s, began_s = time.process_time(), time.monotonic()
        look = self._look_once()
        asked_s = time.monotonic() - began_s
        self._deliver(look)
        gevent.sleep(SHORTEST_REST_S)
        # By now the owner has shown it, which counts too.
        more_s = rest_s(time.process_time() - cpu_s, asked_s) - SHORTEST_REST_S
        is_told = look is not None and look.trouble is None
        if is_told and more_s > 0:
            gevent.sleep(more_s)
        return is_told

    def _look_once(self) -> Look[T] | None:
        try:
            return Look(time.time(), data=self._collect())
        except SpallocError as trouble:
            return Look(time.time(), trouble=trouble)
        except Exception as error:  # noqa: BLE001 - raised again by take(), in its owner's thread
            self._failure = error
            return None

    def _deliver(self, look: Look[T] | None) -> None:
        self._look = look
        if not self._rung and self._writer >= 0:
            self._rung = True
            # The owner may have closed its end.
            with suppress(BrokenPipeError, BlockingIOError):
                os.write(self._writer, b"!")

    def _end(self) -> None:
        self._greenlet.kill(block=False)
        self._watches.unlisten(self)
        for kind in self._kinds:
            self._watches.unwant(kind, None)
        self._hang_up()

    def _hang_up(self) -> None:
        os.close(self._writer)
        self._writer = -1

    # -- what the watches tell --------------------------------------------------

    def notified(self, _notification: Notification, /) -> None:
        self._news.set()

    def lost(self, _error: Exception, /) -> None:
        self._news.set()

    def caught_up(self) -> None:
        self._news.set()
