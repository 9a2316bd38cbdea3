"""The one way to wait: a plain thread blocks, a greenlet lets its own hub run.

Every wait can be interrupted: by a signal handler that raises, by
``gevent.Timeout``, by ``Greenlet.kill``. Deadlines are moments on the monotonic
clock, kept to 10 ms.
"""

from __future__ import annotations

import heapq
import math
import sys
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from spalloc_gevent.deadline import LONGEST_WAIT_S
from spalloc_gevent.errors import WouldDeadlockError
from spalloc_gevent.transport import native

SIGNAL_WITHIN_S = 1.0
"""The main thread looks up this often: a signal that comes in the last moment before it falls
asleep would else be handled when the wait is over, Ctrl+C included."""

MOMENTS_PER_S = 100
MOST_READERS = 64
"""A hub keeps this many watchers of connections before it drops those that do not wait."""

_READ, _WRITE = 1, 2


class Readable(Protocol):
    """A connection that somebody waits for."""

    number: int
    """Its own for good; a file descriptor is used again."""
    poll: Any
    """A native poll object that reports what there is to read."""

    def fileno(self) -> int: ...

    def lose(self) -> None:
        """Its holder will never go on."""


class Waiter:
    """A thread or greenlet that waits to be woken, once, from any thread.

    Made by the one that waits, in its own thread.
    """

    __slots__ = ("_greenlet", "_lock", "_waker", "value", "woken")

    def __init__(self) -> None:
        self.value: Any = None
        """What :meth:`wake` was given."""
        self.woken = False
        self._greenlet: Any = None
        self._waker = hub_waker()
        if self._waker is None:
            self._lock = native.new_lock()
            self._lock.acquire()

    @property
    def blocks_thread(self) -> bool:
        """True if a plain thread waits, with nothing to run meanwhile."""
        return self._waker is None

    @property
    def hub_is_gone(self) -> bool:
        """True if the greenlet will never run again: its hub, or its thread, has ended."""
        return self._waker is not None and self._waker.is_gone

    def hub_ended(self) -> None:
        """Called when the hub, or the thread, of a greenlet that waits has ended."""

    def wake(self, value: Any = None) -> None:
        """End the wait; to be called once at most.

        Args:
            value: what the one that waits is to find in ``value``.
        """
        self.value = value
        self.woken = True
        self.signal()

    def signal(self) -> None:
        """The second half of :meth:`wake`: again, if that may have been interrupted."""
        if self._waker is None:
            self._unlock()
        else:
            self._waker.wake(self)

    def nudge(self) -> None:
        """Have a plain thread's :meth:`wait` return, not woken yet; not while it is woken."""
        if self._waker is None:
            self._unlock()

    def _unlock(self) -> None:
        # After a nudge that has not been felt it is unlocked already.
        if self._lock.locked():
            self._lock.release()

    def wait(self, deadline: float = math.inf) -> bool:
        """Wait until woken.

        Args:
            deadline: when to give up, on the monotonic clock.

        Returns:
            True once woken, False if the deadline has passed before, or after a nudge.
        """
        if self._waker is None:
            if not self.woken:
                _acquire(self._lock, deadline)
            return self.woken
        try:
            self._greenlet = self._waker.greenlet()
            return self._waker.wait_for_wake(self, deadline)
        finally:
            self._greenlet = None

    def resume(self) -> None:
        """Let the greenlet go on, if it still waits; in its own thread."""
        if self._greenlet is not None:
            self._greenlet.switch()


def _acquire(lock: Any, deadline: float) -> None:
    longest_s = SIGNAL_WITHIN_S if native.is_main_thread() else LONGEST_WAIT_S
    while True:
        left_s = max(0.0, deadline - monotonic())
        if lock.acquire(True, min(left_s, longest_s)) or left_s <= longest_s:
            return


class ChangeCounter:
    """Counts changes; any number of threads and greenlets may wait for the next."""

    __slots__ = ("_lock", "_waiters", "count")

    def __init__(self) -> None:
        self.count = 0
        self._lock = native.new_rlock()
        self._waiters: list[Waiter] = []

    def increment(self) -> None:
        """Count one more, and wake all who wait."""
        with self._lock:
            self.count += 1
            while self._waiters:
                # Struck off when it has been woken: an interruption leaves it for the next time.
                self._waiters[-1].wake()
                self._waiters.pop()

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)

    def wait_beyond(self, seen: int, deadline: float = math.inf) -> bool:
        """Wait until more than `seen` changes have been counted.

        Returns:
            True if they have, False if the deadline has passed before.
        """
        waiter = Waiter()
        with self._lock:
            if self.count > seen:
                return True
            self._waiters.append(waiter)
        try:
            return waiter.wait(deadline)
        finally:
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)


def sleep(seconds: float) -> None:
    """Wait for nothing but the time to pass."""
    Waiter().wait(monotonic() + seconds)


def wait_readable(connection: Readable, deadline: float, waiter: Waiter | None = None) -> bool:
    """Wait until a connection has something to read, or its end.

    Args:
        connection: used by nobody else meanwhile.
        deadline: when to give up, on the monotonic clock.
        waiter: one of this greenlet's own; waking it ends the wait, too.

    Returns:
        True if there is something to read.
    """
    waker = hub_waker()
    if waker is not None:
        return waker.wait_readable(connection, deadline, waiter)
    return _poll(connection.poll, deadline)


def wait_writable(descriptor: int, deadline: float) -> bool:
    """Wait until a socket takes more bytes, or is connected; True if so by the deadline."""
    waker = hub_waker()
    if waker is not None:
        return waker.wait_writable(descriptor, deadline)
    return _poll(native.poll_for(descriptor, native.WRITABLE), deadline)


def _poll(poll: Any, deadline: float) -> bool:
    while True:
        left_s = max(0.0, deadline - monotonic())
        # Rounded up: less than a millisecond would be none, and this a busy loop.
        if poll.poll(math.ceil(min(left_s, SIGNAL_WITHIN_S) * 1000)):
            return True
        if left_s <= SIGNAL_WITHIN_S and monotonic() >= deadline:
            return False


_of_thread = native.ThreadLocal()
"""``waker``: the :class:`HubWaker` of the thread's hub; ``end``: tells it of its end."""


def hub_waker() -> HubWaker | None:
    """How the greenlets of this thread wait; None in a thread without a gevent hub."""
    hub = hub_of_thread()
    if hub is None:
        return None
    waker: HubWaker | None = getattr(_of_thread, "waker", None)
    if waker is None or waker.hub is not hub:
        waker = _of_thread.waker = HubWaker(hub)
        # In place of the one before: that is the end of another hub of this thread.
        _of_thread.end = _HubEnd(waker)
    return waker


class _HubEnd:
    """Kept by a thread until its hub, or the thread itself, is gone."""

    def __init__(self, waker: HubWaker) -> None:
        self._waker = waker

    def __del__(self) -> None:
        # Interrupted while it was made, it has no attributes yet, and nobody waits.
        waker = getattr(self, "_waker", None)
        if waker is not None and not sys.is_finalizing():
            waker.end()


def hub_of_thread() -> Any:
    """The gevent hub of this thread; None in a thread without one."""
    hub_local = sys.modules.get("gevent._hub_local")
    # The public gevent.get_hub() would make a hub for every plain thread that waits. There is
    # no such function yet while another thread imports gevent.
    find_hub: Callable[[], Any] | None = getattr(hub_local, "get_hub_if_exists", None)
    return None if find_hub is None else find_hub()


class HubWaker:
    """How the greenlets of one hub wait for other threads, for sockets and for deadlines.

    One watcher for wakes from other threads, one timer for all deadlines, and one watcher
    for each connection that somebody has waited for here: made anew for every call, they
    would cost as much as the call. Belongs to the hub's own thread, but for :meth:`wake`.
    """

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self._current: Callable[[], Any] = sys.modules["greenlet"].getcurrent
        self._loop = hub.loop
        self._thread = native.thread_ident()
        self._is_main = native.is_main_thread()
        self._woken: deque[Waiter] = deque()
        self._from_outside = self._loop.async_()
        self.is_gone = False
        """True once its hub, or its thread, has ended: nothing here ever runs again."""
        self._waiters: set[Waiter] = set()
        self._reading: set[Readable] = set()
        self._readers: dict[int, Any] = {}
        self._deadlines: dict[int, set[Callable[[], object]]] = {}
        self._moments: list[int] = []
        """The keys of the deadlines, as a heap."""
        self._timer: Any = None

    def greenlet(self) -> Any:
        """The one that runs, and is about to wait."""
        current = self._current()
        if current is self.hub:
            raise WouldDeadlockError(
                "a blocking call was made inside a callback of gevent's loop: make it in a greenlet"
            )
        return current

    def wake(self, waiter: Waiter) -> None:
        """Have a greenlet of this hub go on soon; from any thread."""
        try:
            if native.thread_ident() == self._thread:
                self._loop.run_callback(waiter.resume)
            else:
                self._woken.append(waiter)
                self._from_outside.send()
        except ValueError:
            # Its thread has destroyed the hub, and perhaps ended, and left its number to this
            # one: nobody waits there any more.
            return

    def _resume_woken(self) -> None:
        # Only those there now: others that come meanwhile get a turn of the loop.
        for _ in range(len(self._woken)):
            self._woken.popleft().resume()

    def wait_for_wake(self, waiter: Waiter, deadline: float) -> bool:
        """Let the hub run until `waiter` is woken; False if the deadline passes before."""
        try:
            self._waiters.add(waiter)
            # Started only while somebody waits: it keeps the loop from ending.
            if not self._from_outside.active:
                self._from_outside.start(self._resume_woken)
            # Looked at only now: a wake before that was not heard.
            while not waiter.woken:
                if monotonic() >= deadline:
                    return False
                self._switch(waiter.resume, deadline)
            return True
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                self._from_outside.stop()

    def wait_readable(
        self, connection: Readable, deadline: float, waiter: Waiter | None = None
    ) -> bool:
        """As the function of that name."""
        watcher = self._readers.get(connection.number) or self._new_reader(connection)
        greenlet = self.greenlet()
        switch = greenlet.switch
        try:
            self._reading.add(connection)
            if waiter is not None:
                waiter._greenlet = greenlet
            watcher.start(switch, True)
            while waiter is None or not waiter.woken:
                if self._switch(switch, deadline) is True:
                    return True
                if monotonic() >= deadline:
                    # The hub may have been held up: what came meanwhile counts.
                    return bool(connection.poll.poll(0))
            return False
        finally:
            watcher.stop()
            self._reading.discard(connection)
            if waiter is not None:
                waiter._greenlet = None

    def stop_timer(self) -> None:
        """Before the hub is destroyed: a timer that runs then stays in memory, with its loop."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()

    def end(self) -> None:
        """Nothing runs here any more: what greenlets hold that never go on is given up."""
        self.is_gone = True
        for waiter in list(self._waiters):
            waiter.hub_ended()
        for connection in list(self._reading):
            connection.lose()

    def _new_reader(self, connection: Readable) -> Any:
        if len(self._readers) > MOST_READERS:
            for number, watcher in list(self._readers.items()):
                if not watcher.active:
                    watcher.close()
                    del self._readers[number]
        watcher = self._readers[connection.number] = self._loop.io(connection.fileno(), _READ)
        return watcher

    def wait_writable(self, descriptor: int, deadline: float) -> bool:
        """As the function of that name, once in a while: its watcher is not kept."""
        watcher = self._loop.io(descriptor, _WRITE)
        switch = self.greenlet().switch
        try:
            watcher.start(switch, True)
            while self._switch(switch, deadline) is not True:
                if monotonic() >= deadline:
                    return False
            return True
        finally:
            watcher.stop()
            watcher.close()

    def _switch(self, resume: Callable[[], object], deadline: float) -> Any:
        if self._is_main:
            deadline = min(deadline, monotonic() + SIGNAL_WITHIN_S)
        if deadline == math.inf:
            return self.hub.switch()
        due = self._due_at(deadline)
        due.add(resume)
        try:
            return self.hub.switch()
        finally:
            due.discard(resume)

    # -- deadlines --------------------------------------------------------------

    def _due_at(self, deadline: float) -> set[Callable[[], object]]:
        """What is resumed at the moment of a deadline."""
        moment = int(deadline * MOMENTS_PER_S) + 1
        due = self._deadlines.get(moment)
        if due is None:
            due = self._deadlines[moment] = set()
            heapq.heappush(self._moments, moment)
            if self._moments[0] == moment:
                self._start_timer()
        return due

    def _start_timer(self) -> None:
        self.stop_timer()
        # It does not keep the loop from ending: what is waited for does.
        left_s = min(max(0.0, self._moments[0] / MOMENTS_PER_S - monotonic()), LONGEST_WAIT_S)
        self._timer = self._loop.timer(left_s, ref=False)
        # Weakly: a hub that is destroyed while the timer runs leaves it as it is, for ever.
        self._timer.start(_resume_due, weakref.ref(self), update=True)

    def resume_due(self) -> None:
        """Let those go on whose deadlines have passed."""
        now = monotonic() * MOMENTS_PER_S
        while self._moments and self._moments[0] <= now:
            due = self._deadlines.pop(heapq.heappop(self._moments))
            for resume in list(due):
                # Not those that a greenlet which was resumed before has ended.
                if resume in due:
                    resume()
        if self._moments:
            self._start_timer()


def _resume_due(waker: weakref.ref[HubWaker]) -> None:
    there = waker()
    if there is not None:
        there.resume_due()
