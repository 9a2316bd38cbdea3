"""Shows a view as its options say: once or again and again, as text or as JSON."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.terminal import Colour, Paint, is_terminal, size_of
from spalloc_gevent.scripts.administration import show
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.output_options import INTERVAL_S
from spalloc_gevent.scripts.views import View, json_line

if TYPE_CHECKING:
    from spalloc_gevent.protocol_client import ProtocolClient
    from spalloc_gevent.scripts.outlets import Outlet

Data = TypeVar("Data")


def present(
    prog: str, client: ProtocolClient, view: View[Data], options: argparse.Namespace
) -> int:
    """Show what there is, once or for as long as somebody watches; the exit code.

    Raises what looking raises; while it is watched, trouble with the server is shown instead.
    """
    at, data = time.time(), view.collect(client)
    if getattr(options, "watch", False):
        return _watch(prog, client, view, options, at, data)
    if options.json:
        show(json_line(at, view.document(data)))
    else:
        columns = size_of(sys.stdout).columns if is_terminal(sys.stdout) else None
        show(text_of(view.page(data, _paint(options), columns)))
    return ExitCode.OK


def _paint(options: argparse.Namespace) -> Paint:
    return Paint.for_stream(sys.stdout, Colour(options.color))


def _watch(
    prog: str,
    client: ProtocolClient,
    view: View[Data],
    options: argparse.Namespace,
    at: float,
    data: Data,
) -> int:
    # Nothing of it is needed for a quick look, and that is to be quick.
    from spalloc_gevent.scripts.keyboard import Keyboard
    from spalloc_gevent.scripts.outlets import State
    from spalloc_gevent.scripts.watching import Watch

    keyboard = Keyboard(sys.stdin if is_terminal(sys.stdout) else None)
    watch = Watch(view, _outlet(prog, view, options), keyboard, State(data, at))
    return watch.run(client, options.interval or INTERVAL_S)


def _outlet(prog: str, view: View[Data], options: argparse.Namespace) -> Outlet[Data]:
    from spalloc_gevent.scripts.outlets import Blocks, JsonLines, LiveScreen

    if options.json:
        return JsonLines(view, sys.stdout)
    if options.no_clear or not is_terminal(sys.stdout):
        return Blocks(view, sys.stdout, _paint(options), prog)
    return LiveScreen(view, sys.stdout, _paint(options))
