"""``--watch``: shows what is looked at whenever it changes, until somebody has seen enough.

The looking is done in the background (:meth:`ProtocolClient.monitor`); here is
one loop that sleeps until there is a new look, a key, a signal or another
window size. So a server that does not answer keeps nobody from leaving.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from spalloc_gevent.scripts.common import ExitCode, ended_by
from spalloc_gevent.scripts.controlling_terminal import stop_ourselves
from spalloc_gevent.scripts.keyboard import QUIT, Keyboard
from spalloc_gevent.scripts.outlets import Outlet, State
from spalloc_gevent.scripts.signals import Signals
from spalloc_gevent.scripts.views import View

if TYPE_CHECKING:
    from spalloc_gevent.client import Poller, ProtocolClient, Snapshot
    from spalloc_gevent.display.pages import Move

Data = TypeVar("Data")

_OF_TERMINALS = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


class Watch(Generic[Data]):
    """One thing, watched on one server, shown in one place."""

    def __init__(
        self, view: View[Data], outlet: Outlet[Data], keyboard: Keyboard, first: State[Data]
    ) -> None:
        self._view = view
        self._outlet = outlet
        self._keyboard = keyboard
        self._state = first
        self._modes = ExitStack()

    def run(self, client: ProtocolClient, interval_s: float) -> int:
        """The exit code, once it is over; raises what looking raised but for server trouble.

        `interval_s`: the longest time between two looks.
        """
        monitor = client.monitor(lambda: self._view.collect(client), interval_s=interval_s)
        signals = Signals(_OF_TERMINALS)
        signals.note()
        with closing(monitor), signals, self._modes:
            self._take_terminal()
            self._outlet.show(self._state)
            code = None
            while code is None:
                code = self._next(monitor, signals)
            return code

    def _next(self, monitor: Poller[Data], signals: Signals) -> int | None:
        """Wait for whatever comes next; the exit code if it was the end."""
        if self._view.is_final(self._state.data) and not self._outlet.stays:
            return ExitCode.OK
        ready = signals.wait(None, [monitor.fileno(), *self._keyboard.files])
        for signum in signals.take():
            if (code := self._signalled(signum)) is not None:
                return code
        if monitor.fileno() in ready:
            self._seen(monitor.take())
        if set(ready) & set(self._keyboard.files):
            return self._pressed(self._keyboard.read())
        return None

    def _seen(self, look: Snapshot[Data] | None) -> None:
        if look is None:
            return
        if look.trouble is None and look.data is not None:
            self._state = State(look.data, look.at)
        else:
            self._state = replace(self._state, trouble=look.trouble, trouble_at=look.at)
        self._outlet.show(self._state)

    def _pressed(self, keys: list[Move | str]) -> int | None:
        for key in keys:
            if isinstance(key, str):
                assert key == QUIT
                return ExitCode.OK
            self._outlet.move(key)
        return None

    # -- the terminal -----------------------------------------------------------

    def _signalled(self, signum: int) -> int | None:
        if signum == signal.SIGWINCH:
            self._outlet.redraw()
        elif signum == signal.SIGTSTP:
            self._modes.close()
            stop_ourselves()
            self._take_terminal()
        elif signum == signal.SIGCONT:
            # Whoever had the terminal meanwhile may have changed everything about it.
            self._modes.close()
            self._take_terminal()
        else:
            return ExitCode.OK if signum == signal.SIGINT else ended_by(signum)
        return None

    def _take_terminal(self) -> None:
        self._modes.enter_context(self._keyboard.open())
        self._modes.enter_context(self._outlet.open())
