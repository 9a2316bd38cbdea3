"""The one background native thread with its gevent hub, and the door in and out.

Everything that must not stop when the user's program blocks or computes runs
here: sockets, connection state, keepalives. State that only this
thread touches needs no lock; whatever comes from outside is posted, and its
outcome waited for. What is lent to others now and then, in good order, are
idle connections (``lending.py``).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import gevent
import gevent.event
import gevent.pool

from spalloc_gevent.engine import native
from spalloc_gevent.engine.outcome import Chimes, NotSettledError, Outcome
from spalloc_gevent.engine.switching import switching
from spalloc_gevent.errors import ClosedError, SpallocError, WouldDeadlockError

_log = logging.getLogger(__name__)

T = TypeVar("T")

POLITE_END_S = 2.0
"""The longest that the end of the thread, or of the program, waits for polite closes."""


_SHORT_S = 0.01


class HubThread:
    """One life of the background thread: from the first client to the last one closed."""

    def __init__(self, legacy: dict[str, Any]) -> None:
        """`legacy`: connected sockets that one thread leaves to the next, by name."""
        self.legacy = legacy
        self.sockets: set[Any] = set()
        self.ended = False
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._closers: list[Callable[[], object]] = []
        self._only: dict[Callable[[HubThread], Any], Any] = {}
        self._awaiting_end: list[Outcome[None]] = []
        self._mutex = native.new_mutex()
        self._ident: int | None = None
        self._is_open = False
        self._ready = native.new_lock()
        self._finished = native.new_lock()

    def start(self) -> None:
        """Start the thread; returns when its door is open."""
        self._ready.acquire()
        self._finished.acquire()
        native.import_for_hubs()
        try:
            native.start_thread(self._main, ())
        except RuntimeError as error:
            raise SpallocError(f"cannot start the background thread: {error}") from error
        self._await_ready()

    def _await_ready(self) -> None:
        # Natively, a fraction of a millisecond: a greenlet that let its hub run here
        # would let another one of the same thread start a second hub.
        try:
            self._ready.acquire()
        except BaseException:
            # Interrupted, perhaps with the lock in hand already. A thread that nobody
            # knows of would never be told to end.
            while not self._is_open:
                self._ready.acquire(True, _SHORT_S)
            self.stop()
            raise

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run on the hub soon; it must neither block nor raise.

        Raises ClosedError when the thread has ended.
        """
        # Re-entrant: a garbage collection in here may run a finaliser that posts.
        with self._mutex:
            if self.ended:
                raise ClosedError("the connection to the server is closed")
            self._posted.append((fn, args))
            self._door.send()

    def call(self, fn: Callable[..., T], *args: Any, timeout_s: float | None = None) -> T:
        """Run ``fn(*args)`` in a greenlet of the hub and wait for what it returns or raises."""
        if self.is_current:
            raise WouldDeadlockError(f"{fn.__name__}: blocking call made on the hub's own thread")
        outcome: Outcome[T] = Outcome()
        self.post(self._spawn_for, outcome, fn, args)
        return outcome.wait(timeout_s)

    @property
    def is_current(self) -> bool:
        """True on the background thread itself."""
        return native.thread_ident() == self._ident

    def spawn(self, fn: Callable[..., object], *args: Any) -> gevent.Greenlet[..., Any]:
        """Start a greenlet that ends with this thread at the latest; on the hub only."""
        return self._greenlets.spawn(fn, *args)

    def timer(self, delay_s: float, fn: Callable[..., object], *args: Any) -> Timer:
        """Have ``fn(*args)`` run on the hub after `delay_s` seconds; on the hub only."""
        return Timer(self.loop, delay_s, fn, args)

    def _spawn_for(
        self, outcome: Outcome[Any], fn: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self.spawn(_settle_with, outcome, fn, args)

    def only(self, make: Callable[[HubThread], T]) -> T:
        """The one ``make(self)`` of this thread, made when first asked for; on the hub only."""
        if make not in self._only:
            self._only[make] = make(self)
        thing: T = self._only[make]
        return thing

    def opened(self, sock: Any) -> None:
        """Remember an open socket: a forked child has to let go of its copy of it."""
        self.sockets.add(sock)

    def closed(self, sock: Any) -> None:
        self.sockets.discard(sock)
        if not self.sockets:
            self._all_closed.set()

    def at_end(self, close: Callable[[], object]) -> None:
        """Have ``close()`` run on the hub before the thread ends, to begin polite closes."""
        self._closers.append(close)

    def not_at_end(self, close: Callable[[], object]) -> None:
        self._closers.remove(close)

    def _main(self) -> None:
        self._ident = native.thread_ident()
        hub = gevent.get_hub()
        self.loop = hub.loop
        self._greenlets = gevent.pool.Group()
        self._stopped = gevent.event.Event()
        self._all_closed = gevent.event.Event()
        self._door = self.loop.async_()
        self._door.start(self._let_in)
        self._chimes = Chimes(self.loop)
        self._is_open = True
        self._ready.release()
        try:
            self._stopped.wait()
            self._close_connections()
            self._close_door()
            self._chimes.strike_all()
        finally:
            hub.destroy(destroy_loop=True)
            # Else it stays suspended, and in memory, for ever: only its own thread can end it.
            hub.throw(gevent.GreenletExit)
            self._finished.release()

    def _let_in(self) -> None:
        try:
            for _ in range(len(self._posted)):
                fn, args = self._posted.popleft()
                fn(*args)
        finally:
            if self._posted:
                self._door.send()

    def _close_connections(self) -> None:
        for close in list(self._closers):
            close()
        if self.sockets:
            self._all_closed.clear()
            self._all_closed.wait(POLITE_END_S)
        self._greenlets.kill()

    def _close_door(self) -> None:
        with self._mutex:
            self.ended = True
            self._door.stop()
            self._door.close()
        while self._posted:
            fn, args = self._posted.popleft()
            fn(*args)
        for ended in self._awaiting_end:
            ended.settle(None)

    def stop(self, ended: Outcome[None] | None = None) -> None:
        """Let the thread end, its connections closed; `ended` is settled then."""
        self.post(self._stop, ended)

    def _stop(self, ended: Outcome[None] | None) -> None:
        if ended is not None:
            self._awaiting_end.append(ended)
        self._stopped.set()

    def hush(self) -> None:
        """Wake nobody any more who waits for something from here; on the hub."""
        self._chimes.hushed = True

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not in `timeout_s` seconds."""
        ended: bool = self._finished.acquire(True, timeout_s)
        if ended:
            self._finished.release()
        return ended

    def abandon_in_child(self) -> None:
        """In a forked child, where this thread is not: let go of its sockets, nothing else.

        The descriptors are closed without a shutdown, which the parent would feel.
        """
        self.ended = True
        self._mutex = native.new_mutex()
        for sock in list(self.sockets):
            _let_go_of(sock)


def _let_go_of(sock: Any) -> None:
    """Close this process's copy of a socket, without a shutdown that others would feel."""
    descriptor = sock.detach()
    if descriptor >= 0:
        os.close(descriptor)


class Timer:
    """One delayed call on a loop, which can be cancelled."""

    __slots__ = ("_watcher",)

    def __init__(
        self, loop: Any, delay_s: float, fn: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self._watcher = loop.timer(max(0.0, delay_s))
        self._watcher.start(self._fire, fn, args, update=True)

    def _fire(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.cancel()
        fn(*args)

    def cancel(self) -> None:
        self._watcher.stop()
        self._watcher.close()


def _settle_with(outcome: Outcome[Any], fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        result = fn(*args)
    except BaseException as error:  # noqa: BLE001 - raised again, in the thread that waits for it
        outcome.fail(error)
    else:
        outcome.settle(result)


R = TypeVar("R")


class Hub:
    """The door to the background thread, which lives as long as anybody uses it.

    Safe from any thread, with or without monkey-patching, and in a forked
    child, which starts a thread of its own.
    """

    def __init__(self) -> None:
        self.forks = 0
        """How many forks lie between the process that made this door and the present one."""
        self._reset()
        _hubs.add(self)

    def _reset(self) -> None:
        self._mutex = native.new_mutex()
        self._thread: HubThread | None = None
        self._users = 0
        self._ending: list[HubThread] = []
        self._legacy: dict[str, Any] = {}
        self._shared: dict[Hashable, tuple[Any, int]] = {}

    @property
    def running(self) -> bool:
        return self._thread is not None

    def acquire(self) -> HubThread:
        """Use the background thread, started if need be; each use ends with :meth:`release`."""
        with self._mutex:
            if self._thread is None:
                thread = HubThread(self._legacy)
                thread.start()
                self._thread = thread
            self._users += 1
            return self._thread

    def release(self, thread: HubThread, wait_s: float) -> None:
        """End one use; the last one lets the thread end once its connections are closed.

        Waits for that end at most `wait_s` seconds.
        """
        with self._mutex:
            if thread is not self._thread:
                return
            self._users -= 1
            if self._users:
                return
            self._thread = None
            self._ending = [other for other in self._ending if not other.join(0.0)] + [thread]
        ended: Outcome[None] = Outcome()
        thread.stop(ended)
        if wait_s > 0:
            with contextlib.suppress(NotSettledError):
                ended.wait(wait_s)
                # Natively, a moment: only the loop's own memory is left to free.
                thread.join(wait_s)

    def share(self, key: Hashable, make: Callable[[], R]) -> R:
        """The one resource named `key`, made when first asked for; ends with :meth:`unshare`."""
        with self._mutex:
            resource, users = self._shared.get(key) or (make(), 0)
            self._shared[key] = (resource, users + 1)
            return resource

    def unshare(self, key: Hashable, resource: object) -> bool:
        """End one use of a shared resource; True if it was the last, who must close it."""
        with self._mutex:
            held, users = self._shared.get(key, (None, 0))
            if held is not resource:
                return False
            if users > 1:
                self._shared[key] = (held, users - 1)
                return False
            del self._shared[key]
            return True

    def end(self, *, hushed: bool = False) -> None:
        """Close everything politely and end the thread; `hushed` leaves those who wait waiting."""
        with self._mutex:
            thread, self._thread = self._thread, None
            self._users = 0
            self._shared.clear()
            ending, self._ending = self._ending, []
        if thread is not None:
            _end_thread(thread, hushed)
        # An interpreter that ends while a loop is being freed elsewhere crashes.
        for other in ending:
            other.join(POLITE_END_S + 1.0)

    def forked(self) -> None:
        """In a forked child: forget the parent's thread and jobs."""
        threads = [*self._ending, *([] if self._thread is None else [self._thread])]
        for sock in self._legacy.values():
            _let_go_of(sock)
        self.forks += 1
        self._reset()
        # Kept for ever: freeing another process's loop and greenlets helps nobody.
        _inherited.extend(threads)
        for thread in threads:
            thread.abandon_in_child()


def _end_thread(thread: HubThread, hushed: bool) -> None:
    try:
        if hushed:
            thread.post(thread.hush)
        thread.stop()
    except ClosedError:
        return
    if not thread.join(POLITE_END_S + 1.0):
        _log.debug("some connections were still open at the end")


_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()
_inherited: list[HubThread] = []


def _end_all() -> None:
    for hub in list(_hubs):
        # Daemon threads are all that still waits now: woken, they would print a traceback.
        hub.end(hushed=True)


def _forked_all() -> None:
    switching.forked()
    for hub in list(_hubs):
        hub.forked()


# Registered at import, so that it runs after the exit handlers of the user's program.
atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked_all)

default_hub = Hub()
"""The hub that clients use unless they are given another one."""
