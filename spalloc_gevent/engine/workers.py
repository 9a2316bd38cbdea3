"""A native thread for something that waits, whatever the program's own threads and greenlets do."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent._hub_local import get_hub_if_exists

from spalloc_gevent.engine import native
from spalloc_gevent.engine.native import new_mutex as new_mutex
from spalloc_gevent.errors import SpallocError


def start(work: Callable[[], object]) -> None:
    """Run ``work()``, which must not raise, in a thread that ends with the program at the latest.

    Raises SpallocError when the system gives no thread.
    """
    try:
        native.start_thread(_run, (work,))
    except RuntimeError as error:
        raise SpallocError(f"cannot start a thread: {error}") from error


def _run(work: Callable[[], object]) -> None:
    try:
        work()
    finally:
        # Made if something in there uses gevent: nobody else can end it.
        hub = get_hub_if_exists()
        if hub is not None:
            hub.destroy(destroy_loop=True)
            hub.throw(gevent.GreenletExit)
