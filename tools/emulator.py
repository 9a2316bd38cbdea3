"""What a person sees: a command on a pseudo-terminal that is read back by a terminal emulator."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyte
from pyte.screens import Char, Cursor

from tools.terminal import Terminal

_ALTERNATE_SCREEN = 1049
_PICTURE = 2026
_BETWEEN = re.compile(r"\x1b\[\?2026h(.*?)\x1b\[\?2026l", re.DOTALL)


class _Glass(pyte.Screen):
    """pyte's screen, and what it lacks: the alternate screen and the scroll-back."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines)
        self.scroll_back: list[str] = []
        """The lines that have left the main screen at its top."""
        self.alternate_scrolls = 0
        """How often the alternate screen has scrolled: its top line is lost then."""
        self.is_alternate = False
        self.is_drawing = False
        """Whether a picture has begun and not ended."""
        self._kept: tuple[Any, Cursor] = (self.buffer, self.cursor)

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        super().set_mode(*modes, **kwargs)
        self._set_private(modes, kwargs, is_on=True)

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        super().reset_mode(*modes, **kwargs)
        self._set_private(modes, kwargs, is_on=False)

    def _set_private(self, modes: Sequence[int], kwargs: Mapping[str, Any], *, is_on: bool) -> None:
        if not kwargs.get("private"):
            return
        if _PICTURE in modes:
            self.is_drawing = is_on
        if _ALTERNATE_SCREEN in modes and is_on != self.is_alternate:
            self.is_alternate = is_on
            if is_on:
                self._kept = (self.buffer, self.cursor)
                self.buffer = pyte.Screen(self.columns, self.lines).buffer
                self.cursor = Cursor(self.cursor.x, self.cursor.y, self.cursor.attrs)
            else:
                hidden = self.cursor.hidden
                self.buffer, self.cursor = self._kept
                self.cursor.hidden = hidden

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        dropped = max(0, self.lines - (lines or self.lines))
        super().resize(lines, columns)
        # Lines are dropped at the top; pyte leaves the cursor where it was.
        self.cursor.y = max(0, self.cursor.y - dropped)
        self.ensure_hbounds()

    def index(self) -> None:
        bottom = self.margins.bottom if self.margins else self.lines - 1
        if self.cursor.y == bottom:
            if self.is_alternate:
                self.alternate_scrolls += 1
            else:
                self.scroll_back.append(self.display[0].rstrip())
        super().index()


@dataclass(frozen=True)
class Look:
    """What some text looks like."""

    colour: str = "default"
    """As pyte calls it: yellow is brown."""
    is_bold: bool = False
    is_underlined: bool = False


@dataclass(frozen=True)
class Run:
    """Characters side by side that look the same, without blanks at either end.

    column, columns: where they begin, and how much room they take.
    """

    column: int
    columns: int
    text: str
    look: Look


@dataclass(frozen=True)
class Left:
    """What a command leaves behind in a window."""

    scroll_back: Sequence[str]
    lines: Sequence[str]
    cursor: tuple[int, int]
    is_cursor_hidden: bool
    is_alternate: bool
    modes: Sequence[Any]


class Window:
    """A terminal window with a command in it, as a person sees and uses it."""

    def __init__(self, terminal: Terminal, columns: int, lines: int) -> None:
        self.terminal = terminal
        self._glass = _Glass(columns, lines)
        self._stream = pyte.Stream(self._glass)
        self._shown = 0

    # -- seeing -----------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """All lines of the window, without blanks at their ends."""
        return [line.rstrip() for line in self._glass.display]

    @property
    def status(self) -> str:
        """The last line."""
        return self.lines[-1]

    @property
    def body(self) -> list[str]:
        """What stands above the last line, without blank lines at the end."""
        lines = self.lines[:-1]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def alternate_scrolls(self) -> int:
        return self._glass.alternate_scrolls

    @property
    def frames(self) -> list[str]:
        """All pictures that were drawn so far, as they were written, without their brackets."""
        return _BETWEEN.findall(self.terminal.screen)

    def look_of(self, text: str) -> Look:
        """What `text` looks like where it first stands, the same all over."""
        for y, line in enumerate(self._glass.display):
            if text in line:
                x = line.index(text)
                looks = {_look(self._glass.buffer[y][x + place]) for place in range(len(text))}
                assert len(looks) == 1, f"{text!r} looks like {looks}"
                return looks.pop()
        raise AssertionError(f"no {text!r} on the screen:\n{self}")

    def runs(self) -> list[list[Run]]:
        """All lines of the window, in pieces of one look each."""
        rows = (self._glass.buffer[y] for y in range(self._glass.lines))
        return [list(_runs([row[x] for x in range(self._glass.columns)])) for row in rows]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def left(self) -> Left:
        """What is to be as before once the command has ended."""
        self._read()
        glass = self._glass
        return Left(
            scroll_back=tuple(glass.scroll_back),
            lines=tuple(self.lines),
            cursor=(glass.cursor.x, glass.cursor.y),
            is_cursor_hidden=glass.cursor.hidden,
            is_alternate=glass.is_alternate,
            modes=self.terminal.modes(),
        )

    # -- waiting ----------------------------------------------------------------

    def wait_until(self, condition: Callable[[Window], object], what: str) -> None:
        """Return once the screen, with no picture half drawn, is so; AssertionError if never."""

        def holds() -> bool:
            self._read()
            return not self._glass.is_drawing and bool(condition(self))

        try:
            self.terminal.read_on_until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"not on the screen: {what}\n{self}") from error

    def wait_for(self, text: str) -> None:
        """Return once `text` stands somewhere on the screen."""
        self.wait_until(lambda window: text in str(window), repr(text))

    def wait_for_rows(self, *firsts: object) -> None:
        """Return once the lines between the heading and the status begin with these words."""
        wanted = [str(first) for first in firsts]
        self.wait_until(
            lambda window: [line.split()[0] for line in window.body[1:]] == wanted,
            f"rows {wanted}",
        )

    def _read(self) -> None:
        fresh = self.terminal.screen[self._shown :]
        self._shown += len(fresh)
        self._stream.feed(fresh)

    # -- using ------------------------------------------------------------------

    def type(self, keys: str) -> None:
        self.terminal.type(keys)

    def resize(self, columns: int, lines: int) -> None:
        """Drag a corner of the window."""
        self._read()
        self._glass.resize(lines, columns)
        self.terminal.resize(columns, lines)

    def wait(self) -> int:
        """The exit code, once the command has ended; all that it wrote is on the screen."""
        code = self.terminal.wait()
        if not self.terminal.is_hung_up:
            self._read()
        return code


def _look(char: Char) -> Look:
    return Look(char.fg, char.bold, char.underscore)


def _runs(cells: Sequence[Char]) -> Iterator[Run]:
    places = itertools.groupby(range(len(cells)), lambda x: _look(cells[x]))
    for look, group in places:
        own = list(group)
        # The right half of a wide character is an empty text.
        while own and cells[own[0]].data == " ":
            own.pop(0)
        while own and cells[own[-1]].data == " ":
            own.pop()
        if own:
            yield Run(own[0], len(own), "".join(cells[x].data for x in own), look)
