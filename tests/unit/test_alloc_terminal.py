"""Colour where it is wanted, a status line that overwrites itself, definitions."""

from __future__ import annotations

import io

import pytest

from spalloc_gevent.display.definitions import render_definitions
from spalloc_gevent.display.terminal import (
    Colour,
    Paint,
    StatusLine,
    Style,
    is_terminal,
    printable,
    wants_colour,
)

XTERM = {"TERM": "xterm"}
NO_COLOUR = {"TERM": "xterm", "NO_COLOR": "1"}


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_decided_by_the_stream() -> None:
    assert wants_colour(Tty(), environ=XTERM)
    assert not wants_colour(io.StringIO(), environ=XTERM)


def test_no_color_is_respected_and_an_empty_one_is_none() -> None:
    assert not wants_colour(Tty(), environ=NO_COLOUR)
    assert wants_colour(Tty(), environ={"TERM": "xterm", "NO_COLOR": ""})


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}])
def test_a_dumb_terminal_gets_no_escape_sequences(environ: dict[str, str]) -> None:
    assert not wants_colour(Tty(), environ=environ)
    assert not is_terminal(Tty(), environ)


def test_colour_can_be_insisted_on_and_refused() -> None:
    assert wants_colour(io.StringIO(), Colour.ALWAYS, NO_COLOUR)
    assert not wants_colour(Tty(), Colour.NEVER, XTERM)


def test_a_closed_stream_is_no_terminal() -> None:
    stream = Tty()
    stream.close()
    stream.isatty = io.StringIO.isatty.__get__(stream)  # type: ignore[method-assign]
    assert not is_terminal(stream, XTERM)


def test_paint_joins_styles_and_resets() -> None:
    assert Paint(True)("x", Style.BRIGHT, Style.RED) == "\x1b[1;31mx\x1b[0m"


def test_paint_that_is_off_leaves_text_alone() -> None:
    assert Paint(False)("x", Style.RED) == "x"
    assert Paint(True)("", Style.RED) == ""
    assert Paint(True)("x") == "x"


def test_status_lines_replace_each_other_on_a_terminal() -> None:
    stream = Tty()
    line = StatusLine(stream, environ=NO_COLOUR)
    line.show("one")
    line.show("two")
    line.finish("three")
    assert stream.getvalue() == "\r\x1b[2Kone\r\x1b[2Ktwo\r\x1b[2Kthree\n"


def test_status_lines_are_plain_lines_elsewhere() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, environ=XTERM)
    line.show("one", Style.RED)
    line.show("two")
    line.finish("three")
    line.finish()
    assert stream.getvalue() == "one\ntwo\nthree\n"


def test_a_status_line_is_finished_once() -> None:
    stream = Tty()
    line = StatusLine(stream, environ=NO_COLOUR)
    line.show("one")
    line.finish()
    line.finish()
    assert stream.getvalue() == "\r\x1b[2Kone\n"


def test_an_interjection_leaves_the_status_below_it() -> None:
    stream = Tty()
    line = StatusLine(stream, environ=NO_COLOUR)
    line.show("waiting")
    line.interject("news")
    assert stream.getvalue() == "\r\x1b[2Kwaiting\r\x1b[2Knews\nwaiting"


def test_a_status_line_that_would_wrap_is_clipped() -> None:
    stream = Tty()
    StatusLine(stream, environ=NO_COLOUR).show("x" * 200)
    assert stream.getvalue() == "\r\x1b[2K" + "x" * 79


def test_control_characters_are_spelled_out() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert printable("Gerät 3") == "Gerät 3"


@pytest.mark.parametrize(
    "name",
    [
        "\u0645\u06cc\u200c\u062e",
        "\u0915\u094d\u200d\u0937",
        "\U0001f469\u200d\U0001f4bb",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u2764\ufe0f",
    ],
    ids=["Persian", "Hindi", "emoji of two", "flag of England", "emoji with a variation"],
)
def test_what_joins_the_characters_of_a_name_is_part_of_it(name: str) -> None:
    assert printable(name) == name
    assert printable(f"a {name}!") == f"a {name}!"


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f", "\u3000", "\u2009"])
def test_a_blank_of_any_kind_is_a_blank(blank: str) -> None:
    assert printable(f"Ann{blank}Example") == "Ann Example"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("m\u200de", "m\\u200de"),
        ("me\u200c", "me\\u200c"),
        ("\u200d\u0645", "\\u200d\u0645"),
        ("me\U000e0065", "me\\U000e0065"),
        ("a\u2028b\u2029c\u200bd\u200ee\u2067f", "a\\u2028b\\u2029c\\u200bd\\u200ee\\u2067f"),
    ],
)
def test_what_would_only_make_names_look_alike_is_spelled_out(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_definitions_have_their_keys_flush_right() -> None:
    assert render_definitions([("Hostname", "b"), ("Width", 8), ("Empty", "")]) == (
        "Hostname: b\n   Width: 8\n   Empty:"
    )


def test_definitions_of_several_lines_stay_in_their_column() -> None:
    assert render_definitions([("A", "x\ny"), ("Long", 1)]) == "   A: x\n      y\nLong: 1"


def test_no_definitions_are_no_lines() -> None:
    assert render_definitions([]) == ""
