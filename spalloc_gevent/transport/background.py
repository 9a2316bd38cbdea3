"""The one native thread with a gevent hub, for what has to go on without the caller.

Held jobs, subscriptions and connections to be drained live here as greenlets, so that
nothing the program does can stop them. The thread starts when it is first needed and ends
with its last user.
"""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from spalloc_gevent.deadline import LONGEST_WAIT_S
from spalloc_gevent.errors import ClosedError, SpallocError, WouldDeadlockError
from spalloc_gevent.transport import native
from spalloc_gevent.transport.switch_interval import switch_interval
from spalloc_gevent.transport.threads import end_hub, import_gevent
from spalloc_gevent.transport.waiting import ChangeCounter, Waiter

if TYPE_CHECKING:
    import gevent

_log = logging.getLogger(__name__)

T = TypeVar("T")

END_WITHIN_S = 2.0
"""The longest that the end of the thread, or of the program, waits for polite closes."""


class Session(Protocol):
    """Something with sockets of its own."""

    def end(self) -> None:
        """The program ends: close them politely."""

    def forked(self) -> None:
        """In the child: close the parent's sockets without a shutdown, and start anew."""


class BackgroundHub:
    """The way to the background thread, which lives as long as anybody uses it.

    Safe from any thread, with or without monkey-patching, and in a forked
    child, which starts a thread of its own.
    """

    def __init__(self) -> None:
        self.forks = 0
        """How many forks lie between the process that made this and the present one."""
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.is_over = False
        """True once the program ends: nothing starts any more."""
        self._reset()
        _hubs.add(self)

    def _reset(self) -> None:
        self._lock = native.new_rlock()
        self._thread: _Thread | None = None
        self._users = 0
        self._ending: list[_Thread] = []
        self._shared: dict[Hashable, tuple[Any, int]] = {}
        self._singletons: dict[Callable[[BackgroundHub], Any], Any] = {}

    @property
    def running(self) -> bool:
        return self._thread is not None

    @property
    def is_current(self) -> bool:
        """True on the background thread itself."""
        return getattr(_of_thread, "hub", None) is self

    # -- who uses it --------------------------------------------------------------

    def acquire(self) -> None:
        """Use the background thread, started if need be; each use ends with :meth:`release`.

        Raises:
            SpallocError: the system gives no thread.
            ClosedError: the program ends.
        """
        with self._lock:
            if self.is_over:
                raise ClosedError("the program is ending: nothing can be done in its background")
            if self._thread is None:
                thread = _Thread(self)
                thread.start()
                self._thread = thread
            self._users += 1

    def release(self, wait_s: float = 0.0) -> None:
        """End one use; the last one lets the thread end, once its cleanups are done.

        Args:
            wait_s: how long to wait for that end, in seconds.
        """
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            self._users -= 1
            if self._users:
                return
            self._thread = None
            self._ending = [other for other in self._ending if not other.join(0.0)] + [thread]
        thread.stop()
        if wait_s > 0 and not self.is_current:
            thread.ended.wait_beyond(0, monotonic() + wait_s)
            # Natively, a moment: only the loop's own memory is left to free.
            thread.join(wait_s)

    def end(self) -> None:
        """End the thread, whoever uses it, as the program ends."""
        with self._lock:
            self.is_over = True
            thread, self._thread = self._thread, None
            self._users = 0
            self._shared.clear()
            ending, self._ending = self._ending, []
        if thread is not None:
            # Daemon threads are all that still waits now: woken, they would print a traceback.
            thread.quiet = True
            thread.stop()
            ending.append(thread)
        # An interpreter that ends while a loop is being freed elsewhere crashes.
        for other in ending:
            if not other.join(END_WITHIN_S + 1.0):
                _log.debug("some connections were still open at the end")
        for session in list(self.sessions):
            session.end()

    def use(self) -> BackgroundUse:
        """One use that starts with the first work for the background."""
        return BackgroundUse(self)

    # -- work for it ----------------------------------------------------------------

    def call_soon(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run on the thread soon; it must neither block nor raise.

        Raises:
            ClosedError: the thread has ended.
        """
        self._running_thread().call_soon(fn, args)

    def spawn(self, fn: Callable[..., object], *args: Any) -> None:
        """As :meth:`call_soon`, in a greenlet of its own: ``fn`` may wait."""
        thread = self._running_thread()
        thread.call_soon(thread.spawn, (fn, *args))

    def drain(self, fn: Callable[..., object], *args: Any) -> None:
        """As :meth:`spawn`, for what the end of the thread waits for a moment."""
        thread = self._running_thread()
        thread.call_soon(thread.drain, (fn, *args))

    def _running_thread(self) -> _Thread:
        thread = self._thread
        if thread is None:
            raise ClosedError("the connection to the server is closed")
        return thread

    @staticmethod
    def spawn_here(fn: Callable[..., object], *args: Any) -> gevent.Greenlet[..., Any]:
        """A new greenlet that ends with the thread at the latest; on the thread only."""
        thread: _Thread = _of_thread.thread
        return thread.spawn(fn, *args)

    @staticmethod
    def current_greenlet() -> gevent.Greenlet[..., Any]:
        """The one that runs at present."""
        import gevent

        return gevent.getcurrent()  # type: ignore[return-value]

    def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run ``fn(*args)`` in a greenlet of the thread; what it returns or raises.

        Raises:
            WouldDeadlockError: this is the background thread.
        """
        if self.is_current:
            raise WouldDeadlockError(f"{fn.__name__}: blocking call made on the hub's own thread")
        waiter = Waiter()
        self.spawn(_run_for, waiter, fn, args)
        waiter.wait()
        result, error = waiter.value
        if error is not None:
            raise error
        value: T = result
        return value

    def singleton(self, make: Callable[[BackgroundHub], T]) -> T:
        """The one ``make(self)`` of this process, made when first asked for."""
        with self._lock:
            if make not in self._singletons:
                self._singletons[make] = make(self)
            thing: T = self._singletons[make]
            return thing

    @staticmethod
    def add_cleanup(cleanup: Callable[[], object]) -> None:
        """Have ``cleanup()`` run in a greenlet before the thread ends; on the thread only."""
        _of_thread.thread.cleanups.append(cleanup)

    # -- what its users share -----------------------------------------------------------

    def share(self, key: Hashable, make: Callable[[], T]) -> T:
        """The one resource named `key`, made when first asked for; ends with :meth:`unshare`."""
        with self._lock:
            resource, users = self._shared.get(key) or (make(), 0)
            self._shared[key] = (resource, users + 1)
            return resource

    def unshare(self, key: Hashable, resource: object) -> bool:
        """End one use of a shared resource; True if it was the last, who must close it."""
        with self._lock:
            shared, users = self._shared.get(key, (None, 0))
            if shared is not resource:
                return False
            if users > 1:
                self._shared[key] = (shared, users - 1)
                return False
            del self._shared[key]
            return True

    def forked(self) -> None:
        """In a forked child: forget the parent's thread, sessions and jobs."""
        # Kept for ever: freeing another process's loop and greenlets helps nobody.
        _inherited.append((self._thread, self._ending, self._singletons))
        for session in [*self.sessions, *self._singletons.values()]:
            session.forked()
        self.forks += 1
        self._reset()


class BackgroundUse:
    """One user's hold on the background hub: from its first work for it until it is closed."""

    def __init__(self, hub: BackgroundHub) -> None:
        self.hub = hub
        self._lock = native.new_rlock()
        self.started = False
        self._closed = False

    def start(self) -> None:
        """Have the background thread run; what is raised is told at ``BackgroundHub.acquire``."""
        if self.started:
            return
        with self._lock:
            if self._closed:
                raise ClosedError("the connection to the server is closed")
            if not self.started:
                self.hub.acquire()
                self.started = True

    def call_soon(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run on the thread soon; it must neither block nor raise."""
        self.start()
        self.hub.call_soon(fn, *args)

    def spawn(self, fn: Callable[..., object], *args: Any) -> None:
        """As :meth:`call_soon`, in a greenlet of its own."""
        self.start()
        self.hub.spawn(fn, *args)

    def drain(self, fn: Callable[..., object], *args: Any) -> None:
        """As :meth:`spawn`, for what the end of the thread waits for a moment."""
        self.start()
        self.hub.drain(fn, *args)

    def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run ``fn(*args)`` in a greenlet of the thread; what it returns or raises."""
        self.start()
        return self.hub.run(fn, *args)

    def close(self, wait_s: float = 0.0) -> None:
        """End this use; harmless when it has ended, or never started.

        Args:
            wait_s: how long the last user waits for the end of the thread, in seconds.
        """
        with self._lock:
            started, self.started = self.started, False
            self._closed = True
        if started:
            self.hub.release(wait_s)

    def forked(self) -> None:
        """In a forked child: there is no thread."""
        self._lock = native.new_rlock()
        self.started = False


def _run_for(waiter: Waiter, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        result = fn(*args)
    except BaseException as error:  # noqa: BLE001 - raised again, in the thread that waits for it
        waiter.wake((None, error))
    else:
        waiter.wake((result, None))


_of_thread = native.ThreadLocal()
"""``hub`` and ``thread`` on a background thread: what it belongs to, and itself."""


class _Thread:
    """One life of the background thread."""

    def __init__(self, background: BackgroundHub) -> None:
        self.background = background
        self.cleanups: list[Callable[[], object]] = []
        self.quiet = False
        """True wakes nobody any more at the end."""
        self.ended = ChangeCounter()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._lock = native.new_rlock()
        self._is_open = False
        self._ready = native.new_lock()
        self._finished = native.new_lock()

    def start(self) -> None:
        """Start the thread; returns when it takes calls."""
        self._ready.acquire()
        self._finished.acquire()
        import_gevent()
        try:
            native.start_thread(self._main, ())
        except RuntimeError as error:
            why = native.why_no_thread(error)
            raise SpallocError(f"cannot start the background thread: {why}") from error
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        # Natively, a fraction of a millisecond: a greenlet that let its hub run here
        # would let another one of the same thread start a second hub.
        try:
            self._ready.acquire()
        except BaseException:
            # Interrupted, perhaps with the lock in hand already. A thread that nobody
            # knows of would never be told to end.
            while not self._is_open:
                self._ready.acquire(True, 0.01)
            self.stop()
            raise

    def call_soon(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        # Re-entrant: a garbage collection in here may run a finaliser that calls this.
        with self._lock:
            if not self._is_open:
                raise ClosedError("the connection to the server is closed")
            self._calls.append((fn, args))
            self._called.send()

    def stop(self) -> None:
        """Let the thread end, its cleanups done; harmless when it has ended."""
        with self._lock:
            if self._is_open:
                self.call_soon(self._stopped.set, ())

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not in `timeout_s` seconds."""
        ended: bool = self._finished.acquire(True, min(timeout_s, LONGEST_WAIT_S))
        if ended:
            self._finished.release()
        return ended

    # -- on the thread ------------------------------------------------------------------

    def _main(self) -> None:
        import gevent
        import gevent.event
        import gevent.pool

        _of_thread.hub, _of_thread.thread = self.background, self
        hub = gevent.get_hub()
        self._greenlets = gevent.pool.Group()
        self._drains = gevent.pool.Group()
        self._stopped = gevent.event.Event()
        self._called = hub.loop.async_()
        self._called.start(self._run_calls)
        self._is_open = True
        self._ready.release()
        try:
            self._stopped.wait()
            self._clean_up()
            self._close()
        finally:
            end_hub()
            self._finished.release()

    def spawn(self, fn: Callable[..., object], *args: Any) -> gevent.Greenlet[..., Any]:
        """A new greenlet that ends with the thread."""
        return self._greenlets.spawn(fn, *args)

    def drain(self, fn: Callable[..., object], *args: Any) -> None:
        """A new greenlet that the end of the thread waits for a moment."""
        self._drains.spawn(fn, *args)

    def _run_calls(self) -> None:
        try:
            for _ in range(len(self._calls)):
                fn, args = self._calls.popleft()
                fn(*args)
        finally:
            if self._calls:
                self._called.send()

    def _clean_up(self) -> None:
        for cleanup in self.cleanups:
            self._drains.spawn(cleanup)
        self._greenlets.kill(timeout=END_WITHIN_S)
        self._drains.join(timeout=END_WITHIN_S)
        self._drains.kill()

    def _close(self) -> None:
        with self._lock:
            self._is_open = False
            self._called.stop()
            self._called.close()
        while self._calls:
            fn, args = self._calls.popleft()
            fn(*args)
        if not self.quiet:
            self.ended.increment()


_hubs: weakref.WeakSet[BackgroundHub] = weakref.WeakSet()
_inherited: list[object] = []


def _end_all() -> None:
    for hub in list(_hubs):
        hub.end()


def _forked_all() -> None:
    switch_interval.forked()
    for hub in list(_hubs):
        hub.forked()


# Registered at import, so that it runs after the exit handlers of the user's program.
atexit.register(_end_all)
os.register_at_fork(after_in_child=_forked_all)

default_background = BackgroundHub()
"""The one that clients use unless they are given another."""
