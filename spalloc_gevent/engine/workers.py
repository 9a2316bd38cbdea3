"""Native threads for what waits, whatever the program's own threads and greenlets do."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent._hub_local import get_hub_if_exists

from spalloc_gevent.engine import native
from spalloc_gevent.engine.mailbox import Mailbox
from spalloc_gevent.engine.native import new_mutex as new_mutex
from spalloc_gevent.engine.native import threads_are_greenlets as threads_are_greenlets
from spalloc_gevent.errors import SpallocError


def start(work: Callable[[], object]) -> None:
    """Run ``work()``, which must not raise, in a thread that ends with the program at the latest.

    Raises SpallocError when the system gives no thread.
    """
    native.import_for_hubs()
    try:
        native.start_thread(_run, (work,))
    except RuntimeError as error:
        raise SpallocError(f"cannot start a thread: {error}") from error


class Threads:
    """A place for work: a native thread for each piece of it."""

    def start(self, work: Callable[[], object]) -> None:
        """Run ``work()``, which must not raise; raises SpallocError as :func:`start` does."""
        start(work)

    def here(self) -> object:
        """What runs at present, as long as it runs: the thread."""
        return native.thread_ident()

    def end(self) -> None:
        """No more work will come."""


class GreenletThread:
    """A place for work: greenlets in one native thread, on a hub that no other can hold up."""

    def __init__(self) -> None:
        self._work: Mailbox[Callable[[], object] | None] = Mailbox()
        start(self._main)

    def start(self, work: Callable[[], object]) -> None:
        """Run ``work()``, which must not raise."""
        self._work.put(work)

    def here(self) -> object:
        """What runs at present, as long as it runs: the greenlet."""
        return gevent.getcurrent()

    def end(self) -> None:
        """No more work will come: the thread ends when its greenlets have ended."""
        self._work.put(None)

    def _main(self) -> None:
        # With a hub, waiting for work lets the greenlets run.
        gevent.get_hub()
        greenlets = []
        while (work := self._work.take()) is not None:
            greenlets.append(gevent.spawn(work))
        gevent.joinall(greenlets)


def _run(work: Callable[[], object]) -> None:
    try:
        work()
    finally:
        # Made if something in there uses gevent: nobody else can end it.
        hub = get_hub_if_exists()
        if hub is not None:
            hub.destroy(destroy_loop=True)
            hub.throw(gevent.GreenletExit)
