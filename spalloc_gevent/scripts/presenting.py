"""Shows a view as its options say: once or again and again, as text or as JSON."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.terminal import Colour, Paint, is_terminal, room_of
from spalloc_gevent.scripts.administration import connected, connected_to_stay, show
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.output_options import INTERVAL_S
from spalloc_gevent.scripts.views import Shown, View, json_line

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.scripts.outlets import Outlet

Data = TypeVar("Data")


def present(prog: str, view: View[Data], options: argparse.Namespace) -> int:
    """Show what the server has, once or for as long as somebody watches; the exit code.

    Raises what looking raises; while it is watched, trouble with the server is shown instead.
    """
    if getattr(options, "watch", False):
        with connected_to_stay(options) as client:
            return watch(prog, client, view, options)
    with connected(options) as plain_client:
        return show_once(plain_client, view, options)


def show_once(client: ProtocolClient, view: View[Data], options: argparse.Namespace) -> int:
    """As :func:`present`, once and with a client that is there."""
    at = time.time()
    return show_data(view, at, view.collect(client), options)


def show_data(view: Shown[Data], at: float, data: Data, options: argparse.Namespace) -> int:
    """Show, once, what was there at the Unix time `at`."""
    if options.json:
        show(json_line(at, view.document(data)))
    else:
        show(text_of(view.page(data, _paint(options), room_of(sys.stdout))))
    return ExitCode.OK


def _paint(options: argparse.Namespace) -> Paint:
    return Paint.for_stream(sys.stdout, Colour(options.color))


def watch(prog: str, client: ProtocolClient, view: View[Data], options: argparse.Namespace) -> int:
    """As :func:`present`, watching, with a client that is there."""
    # Nothing of it is needed for a quick look, and that is to be quick.
    from spalloc_gevent.scripts.keyboard import Keyboard
    from spalloc_gevent.scripts.outlets import State
    from spalloc_gevent.scripts.watching import Watch

    first = State(at=time.time(), data=view.collect(client))
    keyboard = Keyboard(sys.stdin if is_terminal(sys.stdout) else None)
    watched = Watch(view, _outlet(prog, view, options), keyboard, first)
    return watched.run(client, options.interval or INTERVAL_S)


def _outlet(prog: str, view: View[Data], options: argparse.Namespace) -> Outlet[Data]:
    from spalloc_gevent.scripts.outlets import Blocks, JsonLines, LiveScreen

    if options.json:
        return JsonLines(view, sys.stdout)
    if options.no_clear or not is_terminal(sys.stdout):
        return Blocks(view, sys.stdout, _paint(options), prog, Colour(options.color))
    return LiveScreen(view, sys.stdout, _paint(options))
