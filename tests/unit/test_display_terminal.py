"""Colour where it is wanted, text that is fit for a terminal, a status line that is overwritten."""

from __future__ import annotations

import io

import pytest

from spalloc_gevent.display.terminal import Colour, Paint, StatusLine, Style, printable, write

XTERM = {"TERM": "xterm"}
NO_COLOUR = {"TERM": "xterm", "NO_COLOR": "1"}


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(Tty):
    def isatty(self) -> bool:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize(
    ("stream", "when", "environ", "wanted"),
    [
        (Tty(), Colour.AUTO, XTERM, True),
        (io.StringIO(), Colour.AUTO, XTERM, False),
        (None, Colour.AUTO, XTERM, False),
        (Closed(), Colour.AUTO, XTERM, False),
        (Tty(), Colour.AUTO, NO_COLOUR, False),
        (Tty(), Colour.AUTO, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Tty(), Colour.AUTO, {}, False),
        (Tty(), Colour.AUTO, {"TERM": "dumb"}, False),
        (io.StringIO(), Colour.ALWAYS, NO_COLOUR, True),
        (Tty(), Colour.NEVER, XTERM, False),
    ],
)
def test_colour_is_decided_by_the_stream_its_user_and_the_option(
    stream: io.StringIO | None, when: Colour, environ: dict[str, str], wanted: bool
) -> None:
    assert Paint.for_stream(stream, when, environ).enabled is wanted


@pytest.mark.parametrize(
    ("enabled", "text", "styles", "painted"),
    [
        (True, "x", (Style.BRIGHT, Style.RED), "\x1b[1;31mx\x1b[0m"),
        (True, "", (Style.RED,), ""),
        (True, "x", (), "x"),
        (False, "x", (Style.RED,), "x"),
    ],
)
def test_paint_joins_styles_and_resets_or_leaves_text_alone(
    enabled: bool, text: str, styles: tuple[Style, ...], painted: str
) -> None:
    assert Paint(enabled)(text, *styles) == painted


# -- the status line -----------------------------------------------------------------------


def test_status_lines_replace_each_other_on_a_terminal_and_are_finished_once() -> None:
    stream = Tty()
    line = StatusLine(stream, environ=NO_COLOUR)
    line.show("one")
    line.show("x" * 200)
    line.finish()
    line.finish()
    line.show("two")
    line.finish("three")
    clipped = "x" * 79
    assert stream.getvalue() == (
        f"\r\x1b[2Kone\r\x1b[2K{clipped}\n\r\x1b[2Ktwo\r\x1b[2Kthree\n"
    )  # fmt: skip


def test_status_lines_are_plain_lines_elsewhere() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, environ=XTERM)
    line.show("one", Style.RED)
    line.show("two")
    line.finish("three")
    line.finish()
    assert stream.getvalue() == "one\ntwo\nthree\n"


def test_an_interjection_leaves_the_status_below_it() -> None:
    stream = Tty()
    line = StatusLine(stream, environ=NO_COLOUR)
    line.show("waiting")
    line.interject("news")
    assert stream.getvalue() == "\r\x1b[2Kwaiting\r\x1b[2Knews\nwaiting"


# -- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Gerät 3",
        "\u0645\u06cc\u200c\u062e",
        "\u0915\u094d\u200d\u0937",
        "\U0001f469\u200d\U0001f4bb",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u2764\ufe0f",
    ],
    ids=["German", "Persian", "Hindi", "emoji of two", "flag of England", "emoji with a variation"],
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
        ("a\x1b[2Jb\nc\u202ed\ud800", "a\\x1b[2Jb\\nc\\u202ed\\ud800"),
        ("m\u200de", "m\\u200de"),
        ("me\u200c", "me\\u200c"),
        ("\u200d\u0645", "\\u200d\u0645"),
        ("me\U000e0065", "me\\U000e0065"),
        ("a\u2028b\u2029c\u200bd\u200ee\u2067f", "a\\u2028b\\u2029c\\u200bd\\u200ee\\u2067f"),
    ],
)
def test_what_steers_a_terminal_or_makes_names_look_alike_is_spelled_out(
    name: str, shown: str
) -> None:
    assert printable(name) == shown


def test_characters_that_a_stream_cannot_show_are_spelled_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    write(stream, "Gerät")
    write(None, "nobody listens")
    assert stream.buffer.getvalue() == b"Ger\\xe4t"
