"""Something that is done on the hub again and again, as a keepalive is, until it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.engine.switching import switching


class Beat:
    """Calls ``beat()`` in a greenlet of the hub each time ``due_in()`` seconds have passed.

    Ends when ``due_in()`` is None, or when stopped, from any thread. Between
    the beats it is a timer: a greenlet asleep would take half of a job's memory.
    """

    __slots__ = ("_beat", "_due_in", "_greenlet", "_haste", "_stopped", "_thread", "_timer")

    def __init__(
        self, thread: HubThread, due_in: Callable[[], float | None], beat: Callable[[], object]
    ) -> None:
        self._thread = thread
        self._due_in = due_in
        self._beat = beat
        self._stopped = False
        self._timer: Timer | None = None
        self._greenlet: gevent.Greenlet[..., Any] | None = None

    def start(self) -> None:
        """Start it; on the hub."""
        self._haste = self._thread.only(Haste)
        self._haste.begin()
        self._go_on()

    def _go_on(self) -> None:
        self._timer = self._greenlet = None
        delay_s = None if self._stopped or self._haste.is_over else self._due_in()
        if delay_s is None:
            self._haste.end()
        elif delay_s > 0:
            self._timer = self._thread.timer(delay_s, self._go_on)
        else:
            self._greenlet = self._thread.spawn(self._beat_once)

    def _beat_once(self) -> None:
        try:
            self._beat()
        except BaseException:
            self._stopped = True
            raise
        finally:
            self._go_on()

    def stop(self) -> None:
        """Let it end at once; harmless when it has ended."""
        self._stopped = True
        if not self._thread.ended:
            self._thread.post(self._end)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._go_on()
        elif self._greenlet is not None:
            self._greenlet.kill(block=False)


class Haste:
    """Has the interpreter's threads switch promptly while any beat of one hub goes on."""

    def __init__(self, thread: HubThread) -> None:
        self._beats = 0
        self.is_over = False
        """True once the hub ends, and every beat with it."""
        thread.at_end(self._close)

    def begin(self) -> None:
        self._beats += 1
        if self._beats == 1:
            switching.hasten()

    def end(self) -> None:
        self._beats -= 1
        if self._beats == 0 and not self.is_over:
            switching.relax()

    def _close(self) -> None:
        self.is_over = True
        if self._beats > 0:
            switching.relax()
