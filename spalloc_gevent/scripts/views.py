"""What an administrative command shows: how it is collected, what it looks like, showing it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.terminal import Paint, room_of, write
from spalloc_gevent.scripts.common import ExitCode

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.display.pages import Page

FORMAT = 1
"""The version of all JSON documents; another one only when what is there changes its meaning."""

Data = TypeVar("Data")


class Shown(ABC, Generic[Data]):
    """What something looks like that a command shows."""

    @abstractmethod
    def page(self, data: Data, paint: Paint, columns: int | None, /) -> Page:
        """As text, in lines of at most `columns` characters where it can be (None: any)."""

    @abstractmethod
    def document(self, data: Data) -> dict[str, object]:
        """As JSON, by the schema of the command in docs/json."""


class View(Shown[Data]):
    """Something on a server that a command shows, once or again and again.

    What is collected is whole and never changes: it is shown elsewhere than where it is
    collected, and again when a window changes.
    """

    @abstractmethod
    def collect(self, client: ProtocolClient) -> Data:
        """Ask the server; raises CommandError if there is no such thing to show."""

    def is_final(self, _data: Data, /) -> bool:
        """Whether nothing of it can change any more."""
        return False


def json_line(at: float, content: dict[str, object]) -> str:
    """One line with a document, and what every document has; `at`: the Unix time of the look."""
    return json.dumps({"format": FORMAT, "time": round(at, 3), **content})


def show_once(client: ProtocolClient, view: View[Data], options: argparse.Namespace) -> int:
    """Show what the server has now; the exit code. Raises what collecting the view raises."""
    at = time.time()
    return show_data(view, at, view.collect(client), options)


def show_data(view: Shown[Data], at: float, data: Data, options: argparse.Namespace) -> int:
    """Show, once and as the options say, what was there at the Unix time `at`."""
    if options.json:
        text = json_line(at, view.document(data))
    else:
        paint = Paint.for_stream(sys.stdout, options.colour)
        text = text_of(view.page(data, paint, room_of(sys.stdout)))
    write(sys.stdout, f"{text}\n")
    return ExitCode.OK
