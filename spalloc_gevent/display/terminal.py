"""Colour where it is wanted, and a status line that overwrites itself on a terminal.

Every decision is made for the stream that is written to: a colourful standard
error says nothing about a standard output that is a pipe.
"""

from __future__ import annotations

import enum
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import NamedTuple, TextIO

from spalloc_gevent.display.widths import cut

_CLEAR_LINE = "\r\x1b[2K"
_RESET = "\x1b[0m"


class Size(NamedTuple):
    """A terminal's, in characters."""

    columns: int
    lines: int


USUAL_SIZE = Size(80, 24)


class Style(enum.IntEnum):
    """What text may look like, numbered as in ECMA-48's SGR sequence."""

    BRIGHT = 1
    DIM = 2
    UNDERLINE = 4
    REVERSE = 7
    RED = 31
    GREEN = 32
    YELLOW = 33
    BLUE = 34
    MAGENTA = 35
    CYAN = 36


class Colour(enum.Enum):
    """When to colour; the values are those of a command's ``--color``."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def is_terminal(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `stream` is a terminal that understands cursor movement."""
    try:
        return stream is not None and stream.isatty() and environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # A closed stream is no terminal.
        return False


def size_of(stream: TextIO) -> Size:
    """The size of the terminal that `stream` is; 80 x 24 when it does not say."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return USUAL_SIZE
    return Size(columns or USUAL_SIZE.columns, lines or USUAL_SIZE.lines)


def room_of(stream: TextIO) -> int | None:
    """The columns that a line has room for; None where `stream` is no terminal: any number."""
    return size_of(stream).columns if is_terminal(stream) else None


def columns_before_wrap(stream: TextIO) -> int:
    """The room that a line has which is overwritten: some terminals wrap after the last column."""
    return max(1, size_of(stream).columns - 1)


class Paint:
    """Puts styles around text, or leaves it as it is."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    @classmethod
    def for_stream(
        cls,
        stream: TextIO | None,
        when: Colour = Colour.AUTO,
        environ: Mapping[str, str] = os.environ,
    ) -> Paint:
        """For what goes to `stream`, coloured `when` that is wanted.

        AUTO: on a terminal only, and not where NO_COLOR is set to anything (no-color.org).
        """
        if when is not Colour.AUTO:
            return cls(when is Colour.ALWAYS)
        return cls(is_terminal(stream, environ) and not environ.get("NO_COLOR"))

    def __call__(self, text: object, *styles: Style) -> str:
        """`text` in `styles`; unchanged when painting is off or there is nothing to show."""
        if not (self.enabled and styles and str(text)):
            return str(text)
        codes = ";".join(str(int(style)) for style in styles)
        return f"\x1b[{codes}m{text}{_RESET}"


# Between two characters that are no ASCII they are part of the script (Persian, Hindi) or of an
# emoji; elsewhere they would only make two names look alike. Tags belong to a flag before them.
_JOINERS = re.compile(
    "(?<=[^\0-\x7f])[\u200c\u200d](?=[^\0-\x7f])|"
    "(?<=[\U0001f3f4\U000e0020-\U000e007e])[\U000e0020-\U000e007f]"
)


def printable(text: object) -> str:
    """`text` with control characters spelled out: a job's owner may not steer our terminal.

    Blanks of every kind are plain blanks.
    """
    whole = str(text)
    if whole.isprintable():
        return whole
    joiners = {found.start() for found in _JOINERS.finditer(whole)}
    shown = ""
    for place, character in enumerate(whole):
        if character.isprintable() or place in joiners:
            shown += character
        elif unicodedata.category(character) == "Zs":
            shown += " "
        else:
            shown += character.encode("unicode_escape").decode("ascii")
    return shown


def write(stream: TextIO | None, text: str) -> None:
    """Write and flush, spelling out what the stream's encoding has no character for.

    A standard stream is None where the shell closed it: then nobody wants the text.
    """
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


class Telling:
    """Tells things on a stream for as long as it takes them: what is only told ends nothing."""

    def __init__(self) -> None:
        self.trouble: OSError | None = None
        """Why nothing can be told any more."""

    def __call__(self, tell: Callable[[], object]) -> None:
        if self.trouble is None:
            try:
                tell()
            except OSError as error:
                self.trouble = error


def discard_unwritable(stream: TextIO | None) -> None:
    """Drop what `stream` still holds, if it cannot be written.

    Else the interpreter tries that once more at exit, complains, and ends with a code of its own.
    """
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
        return
    except OSError:
        pass
    with open(os.devnull, "w", encoding="ascii") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


class StatusLine:
    """What is happening now: one line that is overwritten on a terminal, lines elsewhere.

    On a terminal the cursor stays at the end of the line until :meth:`finish`.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        overwrite: bool | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`overwrite`: None to do so where `stream` is a terminal."""
        self._stream = stream
        self._overwrite = is_terminal(stream, environ) if overwrite is None else overwrite
        self._paint = Paint.for_stream(stream, environ=environ)
        self._current = ""

    def show(self, text: str, *styles: Style) -> None:
        """Put `text` in place of what was shown before."""
        if self._overwrite:
            # A line that wraps could not be overwritten.
            shown = cut(text, 0, columns_before_wrap(self._stream))
            self._current = self._paint(shown, *styles)
            write(self._stream, _CLEAR_LINE + self._current)
        else:
            self.interject(text, *styles)

    def finish(self, text: str | None = None, *styles: Style) -> None:
        """End the line, with `text` as the last that it shows; None: with what is there."""
        if text is not None:
            write(self._stream, self._instead(text, styles))
        elif self._current:
            write(self._stream, "\n")
        self._current = ""

    def interject(self, text: str, *styles: Style) -> None:
        """A line of its own above the status, which stays."""
        write(self._stream, self._instead(text, styles) + self._current)

    def _instead(self, text: str, styles: tuple[Style, ...]) -> str:
        before = _CLEAR_LINE if self._current else ""
        return f"{before}{self._paint(text, *styles)}\n"
