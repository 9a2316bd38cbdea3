"""Native threads for what waits by itself, whatever the program's threads and greenlets do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from spalloc_gevent.errors import SpallocError
from spalloc_gevent.transport import native
from spalloc_gevent.transport.waiting import ChangeCounter, Waiter, hub_waker

Work = Callable[[], object]


def start_thread(work: Work) -> None:
    """Run ``work()``, which must not raise, in a thread that ends with the program at the latest.

    Raises:
        SpallocError: the system gives no thread.
    """
    import_gevent()
    try:
        native.start_thread(_run, (work,))
    except RuntimeError as error:
        raise SpallocError(f"cannot start a thread: {native.why_no_thread(error)}") from error


def _run(work: Work) -> None:
    try:
        work()
    finally:
        end_hub()


class Threads:
    """Runs each piece of work in a native thread of its own."""

    def start(self, work: Work) -> None:
        """Run ``work()``, which must not raise; raises SpallocError as :func:`start_thread`."""
        start_thread(work)

    def current(self) -> object:
        """What runs this: the thread, named so that no other that runs has its name."""
        return native.thread_ident()

    def close(self) -> None:
        """No more work will come."""


class GreenletThread:
    """Runs each piece of work in a greenlet, all in one native thread with a hub of their own."""

    def __init__(self) -> None:
        self._work: deque[Work] = deque()
        self._is_closed = False
        self._changes = ChangeCounter()
        start_thread(self._main)

    def start(self, work: Work) -> None:
        """Run ``work()``, which must not raise."""
        self._work.append(work)
        self._changes.increment()

    def current(self) -> object:
        """What runs this: the greenlet."""
        import gevent

        return gevent.getcurrent()

    def close(self) -> None:
        """No more work will come: the thread ends when its greenlets have ended."""
        self._is_closed = True
        self._changes.increment()

    def _main(self) -> None:
        import gevent
        from gevent.pool import Group

        # With a hub, waiting for work lets the greenlets run.
        gevent.get_hub()
        greenlets = Group()
        seen = 0
        while not self._is_closed or self._work:
            while self._work:
                greenlets.spawn(self._work.popleft())
            self._changes.wait_beyond(seen)
            seen = self._changes.count
        greenlets.join()


def caller_in_this_thread() -> Callable[[Work], object]:
    """A function that makes one call in this thread, or at once where it may be made anywhere.

    In a monkey-patched program the standard library's locks are those of greenlets: only their
    own thread can wake who waits for one, and its loop ends for want of work unless it knows
    that something will come. Calls are made at once where threads are threads, and in threads
    other than the main one, which need not outlive what they wait for.

    Returns:
        What may be called from any thread, once.
    """
    if not (native.threads_are_greenlets() and native.is_main_thread()):
        return lambda work: work()
    import gevent

    gevent.get_hub()
    waiter = Waiter()
    gevent.spawn(_call_when_woken, waiter)
    return waiter.wake


def _call_when_woken(waiter: Waiter) -> None:
    waiter.wait()
    waiter.value()


def import_gevent() -> None:
    """Have imported what the first hub imports; before a thread is started that may make one.

    Patched, the locks of two threads' imports stand in each other's way for ever.
    """
    import gevent
    import gevent.event
    import gevent.pool

    _ = gevent.config.loop, gevent.config.format_context


def end_hub() -> None:
    """Free this thread's gevent hub if it has one: nobody else can, and it would stay for ever."""
    waker = hub_waker()
    if waker is None:
        return
    import gevent

    hub = waker.hub
    waker.stop_timer()
    hub.destroy(destroy_loop=True)
    hub.throw(gevent.GreenletExit)
