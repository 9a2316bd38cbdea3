"""Something done in the thread that wants it done, when another one has brought it about.

In a monkey-patched program the standard library's waits are those of greenlets: only their own
thread can wake them, and its loop ends for want of work unless it knows that something will come.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent

from spalloc_gevent.engine import native
from spalloc_gevent.engine.outcome import Outcome

Act = Callable[[], object]


def way_home() -> Callable[[Act], object]:
    """A function that has one act done in this thread, or at once where that need not be.

    It need not be where threads are threads; nor elsewhere than in the main
    thread, which outlives what it waits for. May be called from any thread; counts once.
    """
    if not (native.threads_are_greenlets() and native.is_main_thread()):
        return _at_once
    gevent.get_hub()
    brought: Outcome[Act] = Outcome()
    gevent.spawn(lambda: brought.wait()())
    return brought.settle


def _at_once(act: Act) -> object:
    return act()
