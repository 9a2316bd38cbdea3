"""Where what is watched goes: a live screen, plain blocks, lines of JSON."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from spalloc_gevent.client import ProtocolClient
from spalloc_gevent.display.pages import Move, Page, Text
from spalloc_gevent.display.terminal import Paint
from spalloc_gevent.errors import ConnectionLostError, SpallocServerException
from spalloc_gevent.scripts.listed_jobs import local_time
from spalloc_gevent.scripts.views import View
from spalloc_gevent.scripts.watching.outlets import Blocks, JsonLines, LiveScreen, Outlet, State

AWAY = ConnectionLostError("cannot connect to the spalloc server somewhere:22244")
PLAIN, COLOURED = Paint(False), Paint(True)
TICKS = re.compile("\x1b\\[[0-9;]*m")


class Words(View[list[str]]):
    """A few words, one a line; they are final once there is no more."""

    def __init__(self) -> None:
        self.pages_made = 0

    def collect(self, client: ProtocolClient) -> list[str]:
        raise AssertionError("an outlet asks nothing of a server")

    def page(self, data: list[str], paint: Paint, columns: int | None, /) -> Page:
        assert columns is None, "what is watched is as wide as it is"
        self.pages_made += 1
        return Text("\n".join(data))

    def document(self, data: list[str]) -> dict[str, object]:
        return {"words": [word.lower() for word in data]}

    def is_final(self, data: list[str], /) -> bool:
        return data == []


class Terminal(io.StringIO):
    """Remembers each picture by itself; 80 x 24 as far as anybody can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)

    @property
    def picture(self) -> list[str]:
        """The lines of the latest picture, the status last."""
        body = self.writes[-1].removeprefix("\x1b[?2026h\x1b[H").removesuffix("\x1b[K\x1b[?2026l")
        *lines, bottom = body.split("\r\n")
        status = re.sub(r"^\x1b\[J\x1b\[\d+;1H", "", bottom)
        return [line.removesuffix("\x1b[K") for line in [*lines, status]]

    @property
    def status(self) -> str:
        return self.picture[-1]


def state(*words: str, at: float = 1_000_000_000.0) -> State[list[str]]:
    return State(list(words), at)


def in_trouble(*words: str, trouble_at: float = 1_000_000_060.0) -> State[list[str]]:
    return State(list(words), 1_000_000_000.0, AWAY, trouble_at)


def updated(at: float = 1_000_000_000.0) -> str:
    return f"Updated {local_time(at)}"


# -- plain blocks ------------------------------------------------------------------------


def new_blocks(stream: io.StringIO, view: Words | None = None) -> Blocks[list[str]]:
    return Blocks(view or Words(), stream, PLAIN, "prog")


def test_control_characters_in_what_the_server_says_are_spelled_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rude = SpallocServerException("list_jobs", "no\x1b[2Jway")
    new_blocks(io.StringIO()).show(State(["one"], 0.0, rude, 0.0))
    assert "no\\x1b[2Jway" in capsys.readouterr().err


# -- lines of JSON -----------------------------------------------------------------------


def documents(stream: io.StringIO) -> list[dict[str, Any]]:
    assert stream.getvalue().endswith("\n")
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_state_is_a_line_of_json_with_its_format_and_time() -> None:
    stream = io.StringIO()
    lines = JsonLines(Words(), stream)
    with lines.open():
        lines.show(state("Tschüß", at=1.0))
        lines.show(state("two", at=2.0))
    assert documents(stream) == [
        {"format": 1, "time": 1.0, "words": ["tschüß"]},
        {"format": 1, "time": 2.0, "words": ["two"]},
    ]
    assert stream.getvalue().isascii()


def test_a_document_like_the_last_is_not_written_again() -> None:
    stream = io.StringIO()
    lines = JsonLines(Words(), stream)
    for word, at in (("one", 1.0), ("one", 2.0), ("ONE", 3.0), ("two", 4.0), ("one", 5.0)):
        lines.show(state(word, at=at))
    assert [line["time"] for line in documents(stream)] == [1.0, 4.0, 5.0]


def test_an_outage_is_one_document_and_after_it_the_state_is_written_again() -> None:
    stream = io.StringIO()
    lines = JsonLines(Words(), stream)
    lines.show(state("one", at=1.0))
    for at in (2.0, 3.0):
        lines.show(in_trouble("one", trouble_at=at))
    lines.show(state("one", at=4.0))
    assert documents(stream)[1:] == [
        {"format": 1, "time": 2.0, "error": str(AWAY)},
        {"format": 1, "time": 4.0, "words": ["one"]},
    ]


def test_each_document_is_one_line_whatever_is_in_it() -> None:
    stream = io.StringIO()
    JsonLines(Words(), stream).show(state("a\nb\x1b\u2028"))
    assert stream.getvalue().count("\n") == 1
    assert documents(stream)[0]["words"] == ["a\nb\x1b\u2028"]


@pytest.mark.parametrize("kind", ["blocks", "json"])
def test_what_is_written_does_not_move_and_is_not_drawn_again(kind: str) -> None:
    stream = io.StringIO()
    outlet: Outlet[list[str]] = (
        new_blocks(stream) if kind == "blocks" else JsonLines(Words(), stream)
    )
    outlet.show(state("one"))
    before = stream.getvalue()
    outlet.move(Move.DOWN)
    outlet.redraw()
    assert stream.getvalue() == before
    assert not outlet.stays


# -- the live screen ---------------------------------------------------------------------


def shown(
    terminal: Terminal, *states: State[list[str]], view: Words | None = None, paint: Paint = PLAIN
) -> LiveScreen[list[str]]:
    screen: LiveScreen[list[str]] = LiveScreen(view or Words(), terminal, paint)
    for each in states:
        screen.show(each)
    return screen


def numbered(count: int) -> list[str]:
    return [f"word {number}" for number in range(1, count + 1)]


def test_the_screen_shows_the_latest_state_and_tells_how_to_leave() -> None:
    terminal = Terminal()
    shown(terminal, state("one"), state("two", "three"))
    assert terminal.picture == ["two", "three", f"{updated()}; q quits"]


def test_the_time_goes_on_while_nothing_changes_and_the_page_is_not_made_again() -> None:
    terminal, view = Terminal(), Words()
    shown(terminal, state("one", at=1.0), state("one", at=2.0), view=view)
    assert terminal.status == f"{updated(2.0)}; q quits"
    assert view.pages_made == 1


def test_an_open_screen_shows_at_once_what_is_there() -> None:
    terminal = Terminal()
    screen = shown(terminal)
    with screen.open():
        assert len(terminal.writes) == 1
        screen.show(state("one"))
    with screen.open():
        assert terminal.picture[0] == "one"
    assert terminal.writes[-1] == "\x1b[?25h\x1b[?1049l"
    assert screen.stays


def test_a_page_that_is_too_long_tells_its_part_and_the_keys() -> None:
    terminal = Terminal()
    shown(terminal, state(*numbered(30)))
    assert len(terminal.picture) == 24
    assert terminal.status == f"{updated()}; lines 1-23 of 30; arrows scroll, q quits"


def test_a_key_pressed_beyond_the_end_needs_not_be_undone() -> None:
    terminal = Terminal()
    screen = shown(terminal, state(*numbered(30)))
    for _ in range(20):
        screen.move(Move.PAGE_DOWN)
    screen.move(Move.UP)
    assert terminal.picture[0] == "word 7"


def test_trouble_is_red_and_the_last_picture_stays() -> None:
    terminal = Terminal()
    shown(terminal, state("one"), in_trouble("one"), paint=COLOURED)
    said = (
        f"Trying again, shown as of {local_time(1_000_000_000.0)}: Error communicating with server"
    )
    assert terminal.picture[0] == "one"
    assert terminal.status.startswith(f"\x1b[31m{said}")
    assert len(TICKS.sub("", terminal.status)) <= 79


def test_after_the_trouble_the_status_is_as_before() -> None:
    terminal = Terminal()
    shown(terminal, state("one"), in_trouble("one"), state("one", at=2.0), paint=COLOURED)
    assert terminal.status == f"\x1b[2m{updated(2.0)}; q quits\x1b[0m"


def test_control_characters_in_trouble_are_spelled_out() -> None:
    terminal = Terminal()
    rude = SpallocServerException("list_jobs", "\x1b[2J")
    shown(terminal, State(["one"], 0.0, rude, 0.0))
    assert "\x1b[2J" not in terminal.getvalue()
