"""Something that is done on the hub again and again, as a keepalive is, until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from spalloc_gevent.engine.hub import HubThread, Timer
from spalloc_gevent.engine.switching import switching

GiveUp = Callable[[], object]


class Beat:
    """Calls ``begin(over)`` on the hub each time ``due_in()`` seconds have passed.

    What has begun then calls ``over()``, at once or later; ``begin`` returns what
    gives it up. Ends when ``due_in()`` is None, or when stopped, from any thread.
    No greenlet waits: it would take half of a job's memory, and twice the time.
    """

    __slots__ = ("_begin", "_due_in", "_give_up", "_haste", "_stopped", "_thread", "_timer")

    def __init__(
        self,
        thread: HubThread,
        due_in: Callable[[], float | None],
        begin: Callable[[Callable[[], object]], GiveUp],
    ) -> None:
        self._thread = thread
        self._due_in = due_in
        self._begin = begin
        self._stopped = False
        self._timer: Timer | None = None
        self._give_up: GiveUp | None = None

    def start(self) -> None:
        """Start it; on the hub."""
        self._haste = self._thread.only(Haste)
        self._haste.begin()
        self._go_on()

    def _go_on(self) -> None:
        self._timer = self._give_up = None
        delay_s = None if self._stopped or self._haste.is_over else self._due_in()
        if delay_s is None:
            self._haste.end()
        elif delay_s > 0:
            self._timer = self._thread.timer(delay_s, self._go_on)
        else:
            self._give_up = self._begin(self._go_on)

    def stop(self) -> None:
        """Let it end at once; harmless when it has ended."""
        self._stopped = True
        if not self._thread.ended:
            self._thread.post(self._end)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._go_on()
        elif self._give_up is not None:
            self._give_up()
            self._go_on()


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
