"""How soon a computing thread of the user's hands the interpreter to the hub.

Each step of the hub that waits for the interpreter waits for this long (5 ms,
unless somebody changed it) while another thread computes in pure Python, and a
keepalive takes several steps: hundreds of jobs would be lost to arithmetic.
The setting is the interpreter's, so there is one owner of it for all hubs.
"""

from __future__ import annotations

import sys

from spalloc_gevent.transport import native

SHORT_S = 0.0005
"""Ten times as soon as usual; felt by a computing thread only when the hub has work."""


class SwitchInterval:
    """Shortens ``sys.setswitchinterval`` while anybody needs it; from any thread."""

    def __init__(self) -> None:
        self._lock = native.new_rlock()
        self._needed = 0
        self._before_s: float | None = None

    def acquire(self) -> None:
        """Have threads switch promptly until :meth:`release`."""
        with self._lock:
            self._needed += 1
            if self._needed == 1:
                self._shorten()

    def release(self) -> None:
        """End one need of it; after the last one all is as it was found."""
        with self._lock:
            self._needed -= 1
            if not self._needed:
                self._restore()

    def _shorten(self) -> None:
        found_s = sys.getswitchinterval()
        if found_s > SHORT_S:
            self._before_s = found_s
            sys.setswitchinterval(SHORT_S)

    def _restore(self) -> None:
        before_s, self._before_s = self._before_s, None
        # A value that the user's program has set meanwhile is the program's own.
        if before_s is not None and abs(sys.getswitchinterval() - SHORT_S) < 1e-6:
            sys.setswitchinterval(before_s)

    def forked(self) -> None:
        """In a forked child: its parent's thread may have held the mutex, and needs nothing."""
        self._lock = native.new_rlock()
        self._needed = 0
        self._restore()


switch_interval = SwitchInterval()
"""The one owner of the interpreter's setting."""
