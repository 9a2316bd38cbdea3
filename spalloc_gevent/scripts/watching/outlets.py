"""Where what is watched goes: a live screen, plain blocks, or lines of JSON."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TextIO, TypeVar

from spalloc_gevent.display.pages import Move, Page, Scroll, Text, frame, moved, text_of
from spalloc_gevent.display.screen import Screen
from spalloc_gevent.display.terminal import (
    Colour,
    Paint,
    Style,
    is_terminal,
    printable,
    room_of,
    write,
)
from spalloc_gevent.display.widths import cut
from spalloc_gevent.errors import SpallocError
from spalloc_gevent.scripts.common import describe_server_trouble, warn
from spalloc_gevent.scripts.listed_jobs import local_time
from spalloc_gevent.scripts.views import View, json_line

Data = TypeVar("Data")


@dataclass(frozen=True)
class State(Generic[Data]):
    """The latest that is known, and whether the server tells at present.

    at: the Unix time at which `data` was true. trouble_at: of the latest attempt that failed.
    """

    data: Data
    at: float
    trouble: SpallocError | None = None
    trouble_at: float = 0.0


class Outlet(ABC, Generic[Data]):
    """What is done with each state; what is written as lines cannot move or be redrawn."""

    stays = False
    """Whether it goes on showing the last state when nothing can change any more."""

    def open(self) -> AbstractContextManager[None]:
        """While the block runs, what is shown is seen."""
        return nullcontext()

    @abstractmethod
    def show(self, state: State[Data]) -> None:
        """Show a state; one that looks like the last is no news."""

    def move(self, move: Move, /) -> None:
        """Show another part of it."""

    def redraw(self) -> None:
        """Draw it again: the window may have changed."""


class LiveScreen(Outlet[Data]):
    """Shows the latest state on the alternate screen, scrolled and clipped to the window."""

    stays = True

    def __init__(self, view: View[Data], stream: TextIO, paint: Paint) -> None:
        self._view = view
        self._screen = Screen(stream)
        self._paint = paint
        self._state: State[Data] | None = None
        self._page: Page = Text()
        self._scroll = Scroll()

    @contextmanager
    def open(self) -> Iterator[None]:
        with self._screen.open():
            self.redraw()
            yield

    def show(self, state: State[Data]) -> None:
        if self._state is None or state.data != self._state.data:
            # As wide as it is: the window scrolls.
            self._page = self._view.page(state.data, self._paint, None)
        self._state = state
        self.redraw()

    def move(self, move: Move, /) -> None:
        self._scroll = moved(self._scroll, move, self._screen.size)
        self.redraw()

    def redraw(self) -> None:
        if self._state is None:
            return
        size = self._screen.size
        picture = frame(self._page, size, self._scroll)
        self._scroll = picture.scroll
        at = local_time(self._state.at)
        if self._state.trouble is not None:
            said = f"Trying again, shown as of {at}: {_told(self._state)}"
        else:
            ended = "ended" if self._view.is_final(self._state.data) else ""
            keys = "arrows scroll, q quits" if picture.part else "q quits"
            said = "; ".join(filter(None, [f"Updated {at}", ended, picture.part, keys]))
        # The last column stays free: a character there may make a terminal wrap.
        style = Style.RED if self._state.trouble else Style.DIM
        self._screen.draw(picture.lines, self._paint(cut(said, 0, size.columns - 1), style))


def _told(state: State[Data]) -> str:
    return "" if state.trouble is None else printable(describe_server_trouble(state.trouble))


class Blocks(Outlet[Data]):
    """Writes a block of plain lines, and an empty one, for each state that looks another way."""

    def __init__(
        self,
        view: View[Data],
        stream: TextIO,
        paint: Paint,
        prog: str,
        colour: Colour = Colour.AUTO,
    ) -> None:
        """`colour`: whether what goes to standard error is coloured."""
        self._view = view
        self._stream = stream
        self._paint = paint
        self._prog = prog
        self._colour = colour
        self._written = ""
        self._in_trouble = False

    def show(self, state: State[Data]) -> None:
        if state.trouble is not None:
            if not self._in_trouble:
                self._in_trouble = True
                since = local_time(state.trouble_at)
                message = f"{self._prog}: trying again since {since}: {_told(state)}"
                warn(message, sys.stderr, self._colour)
            return
        page = self._view.page(state.data, self._paint, room_of(self._stream))
        text = text_of(page)
        if text != self._written or self._in_trouble:
            self._written, self._in_trouble = text, False
            # Programs that read a pipe know nothing but the blocks.
            said = f"Updated {local_time(state.at)}\n" if is_terminal(self._stream) else ""
            write(self._stream, f"{text}\n{said}\n")


class JsonLines(Outlet[Data]):
    """Writes a line of JSON for each state that differs from the last, trouble included."""

    def __init__(self, view: View[Data], stream: TextIO) -> None:
        self._view = view
        self._stream = stream
        self._written: dict[str, object] = {}

    def show(self, state: State[Data]) -> None:
        if state.trouble is not None:
            if "error" not in self._written:
                self._write(state.trouble_at, {"error": str(state.trouble)})
            return
        content = self._view.document(state.data)
        if content != self._written:
            self._write(state.at, content)

    def _write(self, at: float, content: dict[str, object]) -> None:
        self._written = content
        write(self._stream, json_line(at, content) + "\n")
