"""One result, carried from the hub to whoever waits for it.

A plain thread blocks; a greenlet waits and lets its own hub run. Both can be
interrupted: by a signal handler that raises, by ``gevent.Timeout``, by
``Greenlet.kill``.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import gevent

# The public gevent.get_hub() would make a hub for every plain thread that waits.
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub as GeventHub
from greenlet import greenlet

from spalloc_gevent.engine import native
from spalloc_gevent.errors import WouldDeadlockError

_log = logging.getLogger(__name__)

T = TypeVar("T")

_UNSETTLED: Any = object()

SIGNAL_WITHIN_S = 1.0
"""A wait of the main thread looks up this often: a signal that arrives in the last moment before
the thread falls asleep would else not be handled, Ctrl+C not be heard, until the wait is over."""

_of_thread = native.ThreadLocal()
"""``bell``: the thread's :class:`Doorbell`; ``chimes``: on the background thread only."""


class NotSettledError(Exception):
    """The time that a waiter was ready to wait is over and there is no result yet."""


class Outcome(Generic[T]):
    """A one-shot result with one waiter: whoever made it.

    It is made by the waiter, in the waiter's own thread, and may be settled
    from any thread. The first settling counts, later ones are ignored.
    """

    __slots__ = ("_bell", "_error", "_greenlet", "_lock", "_value")

    def __init__(self) -> None:
        self._value: T = _UNSETTLED
        self._error: BaseException | None = None
        self._greenlet: greenlet | None = None
        self._lock: Any = None
        self._bell = _doorbell_of_this_thread()
        if self._bell is None:
            self._lock = native.new_lock()
            self._lock.acquire()

    @property
    def settled(self) -> bool:
        return self._value is not _UNSETTLED

    @property
    def blocks_thread(self) -> bool:
        """True if its waiter is a plain thread, with nothing to run meanwhile."""
        return self._bell is None

    @property
    def value(self) -> T | None:
        """The value if there is one; None before, and after a failure."""
        return self._value if self.settled else None

    def settle(self, value: T) -> None:
        """Give the waiter `value`."""
        if not self.settled:
            self._value = value
            self._ring()

    def fail(self, error: BaseException) -> None:
        """Make the waiter's :meth:`wait` raise `error`."""
        if not self.settled:
            self._error = error
            self._value = None  # type: ignore[assignment]
            self._ring()

    def _ring(self) -> None:
        bell = self._bell
        if bell is not None:
            bell.rung.append(self)
        strike = self._lock.release if bell is None else bell.strike
        chimes: Chimes | None = getattr(_of_thread, "chimes", None)
        if chimes is None:
            _strike(strike)
        else:
            chimes.add(strike)

    def wait(self, timeout_s: float | None = None) -> T:
        """The value, once it is there; raises what :meth:`fail` was given.

        Raises NotSettledError after `timeout_s` seconds without a result.
        """
        if not self.settled:
            self._block(timeout_s)
        if self._error is not None:
            raise self._error
        return self._value

    def _block(self, timeout_s: float | None) -> None:
        if self._bell is not None:
            self._bell.wait(self, timeout_s)
        else:
            _acquire(self._lock, native.LONGEST_WAIT_S if timeout_s is None else timeout_s)
        if not self.settled:
            raise NotSettledError

    def wake(self) -> None:
        """Resume the waiting greenlet, if it still waits; called in its own thread."""
        if self._greenlet is not None:
            self._greenlet.switch()

    def waiting(self, greenlet: greenlet | None) -> None:
        """Note which greenlet :meth:`wake` has to resume."""
        self._greenlet = greenlet


def _acquire(lock: Any, timeout_s: float) -> None:
    if not native.is_main_thread():
        lock.acquire(True, min(timeout_s, native.LONGEST_WAIT_S))
        return
    until = time.monotonic() + timeout_s
    while not lock.acquire(True, max(0.0, min(SIGNAL_WITHIN_S, until - time.monotonic()))):
        if time.monotonic() >= until:
            return


class Unawaited(Outcome[T]):
    """A result that nobody waits for, as of a command of the hub's own."""

    __slots__ = ()

    def __init__(self) -> None:
        self._value = _UNSETTLED
        self._error = None

    @property
    def blocks_thread(self) -> bool:
        return False

    def _ring(self) -> None:
        pass


class Followed(Outcome[T]):
    """A result that is gone on with on the hub, by a callback, without a greenlet that waits."""

    __slots__ = ("_go_on", "_loop")

    def __init__(self, loop: Any, go_on: Callable[[], object]) -> None:
        """``go_on()`` is called by the hub's loop, soon after there is a result."""
        self._value = _UNSETTLED
        self._error = None
        self._loop = loop
        self._go_on = go_on

    @property
    def blocks_thread(self) -> bool:
        return False

    def _ring(self) -> None:
        # Not here: whoever settles it is in the middle of something.
        self._loop.run_callback(self._go_on)


class Chimes:
    """What the hub has to strike before it rests: once each, however often it was asked.

    A waiter woken in the middle of the hub's work would only compete with it
    for the interpreter, once for every answer instead of once for a batch.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self.hushed = False
        """True wakes nobody any more."""
        self._strikes: dict[Callable[[], object], None] = {}
        _of_thread.chimes = self

    def add(self, strike: Callable[[], object]) -> None:
        # A callback, not a prepare watcher: greenlets run after those, and strike too.
        if not self._strikes:
            self._loop.run_callback(self.strike_all)
        self._strikes[strike] = None

    def strike_all(self) -> None:
        """Wake everyone who is due."""
        if self._strikes and not self.hushed:
            strikes, self._strikes = self._strikes, {}
            for strike in strikes:
                _strike(strike)


def _strike(strike: Callable[[], object]) -> None:
    try:
        strike()
    except ValueError:
        # The bell of a hub that its thread has destroyed. Nobody waits there any more,
        # and those who wait elsewhere have still to be woken.
        _log.debug("an answer came for a thread whose hub is gone")


class Doorbell:
    """Wakes the greenlets of one gevent hub from other threads, many with one strike."""

    def __init__(self, hub: GeventHub) -> None:
        self.hub = hub
        self.rung: deque[Outcome[Any]] = deque()
        """Settled outcomes whose greenlets the next strike resumes; appended to from any thread."""
        self._waiting = 0
        self._watcher = hub.loop.async_()
        self._signals: Any = (
            hub.loop.timer(SIGNAL_WITHIN_S, SIGNAL_WITHIN_S) if native.is_main_thread() else None
        )
        self.strike: Callable[[], None] = self._watcher.send
        """Have the rung outcomes' greenlets resumed soon; from any thread."""

    def wait(self, outcome: Outcome[Any], timeout_s: float | None) -> None:
        """Let the hub run until `outcome` is settled or time is up."""
        self._listen()
        try:
            # Looked at after the bell listens: a ring before that would be lost.
            if not outcome.settled:
                self._switch_away(outcome, timeout_s)
        finally:
            outcome.waiting(None)
            self._unlisten()

    def _switch_away(self, outcome: Outcome[Any], timeout_s: float | None) -> None:
        outcome.waiting(gevent.getcurrent())
        if timeout_s is None:
            self.hub.switch()
            return
        timer = self.hub.loop.timer(timeout_s)
        try:
            # The loop's idea of now is old after a long computation: update it.
            timer.start(outcome.wake, update=True)
            self.hub.switch()
        finally:
            timer.stop()
            timer.close()

    def _listen(self) -> None:
        # Started only while somebody waits: it would keep the loop from ending.
        if not self._waiting:
            self._watcher.start(self._wake_rung)
            if self._signals is not None:
                # The loop looks for signals whenever it runs.
                self._signals.start(_look_up)
        self._waiting += 1

    def _unlisten(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._watcher.stop()
            if self._signals is not None:
                self._signals.stop()

    def _wake_rung(self) -> None:
        # Only those there now: others that ring meanwhile get a turn of the loop.
        for _ in range(len(self.rung)):
            self.rung.popleft().wake()


def _look_up() -> None:
    """Nothing else is to be done."""


def _doorbell_of_this_thread() -> Doorbell | None:
    """The bell of this thread's gevent hub; None in a thread without one, which just blocks."""
    hub = get_hub_if_exists()
    if hub is None:
        return None
    if gevent.getcurrent() is hub:
        raise WouldDeadlockError(
            "a blocking call was made inside a callback of gevent's loop: make it in a greenlet"
        )
    bell: Doorbell | None = getattr(_of_thread, "bell", None)
    if bell is None or bell.hub is not hub:
        bell = _of_thread.bell = Doorbell(hub)
    return bell
