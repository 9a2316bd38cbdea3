"""One light greenlet that does something again and again until it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from spalloc_gevent.engine.hub import HubThread
from spalloc_gevent.engine.switching import switching


class Beat:
    """Calls ``beat()`` on the hub each time ``due_in()`` seconds have passed.

    Ends when ``due_in()`` is None, or when stopped, from any thread.
    """

    def __init__(
        self, thread: HubThread, due_in: Callable[[], float | None], beat: Callable[[], object]
    ) -> None:
        self._thread = thread
        self._due_in = due_in
        self._beat = beat
        self._stopped = False
        self._greenlet: gevent.Greenlet[..., Any] | None = None

    def start(self) -> None:
        """Start it; on the hub."""
        if not self._stopped:
            self._greenlet = self._thread.spawn(self._run)

    def _run(self) -> None:
        switching.hasten()
        try:
            self._go_on()
        finally:
            switching.relax()

    def _go_on(self) -> None:
        while not self._stopped and (delay_s := self._due_in()) is not None:
            if delay_s > 0:
                gevent.sleep(delay_s)
            else:
                self._beat()

    def stop(self) -> None:
        """Let it end at once; harmless when it has ended."""
        self._stopped = True
        if not self._thread.ended:
            self._thread.post(self._kill)

    def _kill(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
