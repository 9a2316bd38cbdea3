"""``--watch``: shows what is looked at whenever it changes, until somebody has seen enough.

The server is asked in the background (:meth:`ProtocolClient.monitor`); here is one loop that
sleeps until there is a new answer, a key, a signal or another window size. So a server that
does not answer keeps nobody from leaving.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from spalloc_gevent.display.terminal import Paint, is_terminal
from spalloc_gevent.scripts.common import ExitCode, ended_by
from spalloc_gevent.scripts.controlling_terminal import stop_ourselves
from spalloc_gevent.scripts.output_options import INTERVAL_S
from spalloc_gevent.scripts.signals import Signals
from spalloc_gevent.scripts.views import View
from spalloc_gevent.scripts.watching.keyboard import Keyboard
from spalloc_gevent.scripts.watching.outlets import Blocks, JsonLines, LiveScreen, Outlet, State

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient

Data = TypeVar("Data")

_OF_TERMINALS = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


def watch(client: ProtocolClient, view: View[Data], options: argparse.Namespace) -> int:
    """Show what the server has until a key, a signal or the end of it all; the exit code.

    Raises what collecting the view raises, except for trouble with the server, which is shown.
    """
    state = State(at=time.time(), data=view.collect(client))
    outlet = outlet_for(view, options)
    keyboard = Keyboard(sys.stdin if is_terminal(sys.stdout) else None)
    poller = client.monitor(lambda: view.collect(client), interval_s=options.interval or INTERVAL_S)
    signals = Signals(_OF_TERMINALS)
    signals.note()
    with closing(poller), signals, ExitStack() as modes:
        _take_terminal(modes, keyboard, outlet)
        outlet.show(state)
        while outlet.stays or not view.is_final(state.data):
            ready = signals.wait(None, [poller.fileno(), *keyboard.files])
            for signum in signals.take():
                if signum == signal.SIGWINCH:
                    outlet.redraw()
                elif signum in _OF_TERMINALS:
                    # Whoever has the terminal meanwhile may change everything about it.
                    modes.close()
                    if signum == signal.SIGTSTP:
                        stop_ourselves()
                    _take_terminal(modes, keyboard, outlet)
                else:
                    return ExitCode.OK if signum == signal.SIGINT else ended_by(signum)
            if poller.fileno() in ready and (look := poller.take()) is not None:
                if look.trouble is None and look.data is not None:
                    state = State(look.data, look.at)
                else:
                    state = replace(state, trouble=look.trouble, trouble_at=look.at)
                outlet.show(state)
            for key in keyboard.read() if set(ready) & set(keyboard.files) else ():
                if isinstance(key, str):
                    return ExitCode.OK
                outlet.move(key)
    return ExitCode.OK


def _take_terminal(modes: ExitStack, keyboard: Keyboard, outlet: Outlet[Data]) -> None:
    modes.enter_context(keyboard.open())
    modes.enter_context(outlet.open())


def outlet_for(view: View[Data], options: argparse.Namespace) -> Outlet[Data]:
    """Where the options and standard output want what is watched to go."""
    if options.json:
        return JsonLines(view, sys.stdout)
    paint = Paint.for_stream(sys.stdout, options.colour)
    if options.no_clear or not is_terminal(sys.stdout):
        return Blocks(view, sys.stdout, paint, options.prog, options.colour)
    return LiveScreen(view, sys.stdout, paint)
