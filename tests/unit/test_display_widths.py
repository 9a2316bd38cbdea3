"""How wide lines are on a terminal, and what is in view of those that are wider."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.display.widths import cut, width_of

STYLING = re.compile("\x1b\\[[0-9;]*m")
GREEN, RESET = "\x1b[32m", "\x1b[0m"
ACUTE = "\u0301"


def plain(line: str) -> str:
    return STYLING.sub("", line)


@pytest.mark.parametrize(
    ("line", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("Gerät", 5),
        ("日本", 4),
        ("ｆｕｌｌ", 8),
        (f"e{ACUTE}x", 2),
        ("\u0645\u06cc\u200c\u062e", 3),
        ("\u0915\u094d\u200d\u0937", 2),
        ("\U0001f469\u200d\U0001f4bb", 2),
        ("\u2764\ufe0f", 1),
        (f"{GREEN}abc{RESET}", 3),
        (f"\x1b[1;4m日{RESET}", 2),
    ],
)
def test_a_line_is_as_wide_as_its_characters_without_its_styling(line: str, width: int) -> None:
    assert width_of(line) == width


def test_a_line_that_fits_is_left_as_it_is() -> None:
    for line in ("abc", "日", f"{GREEN}abc{RESET}", f"e{ACUTE}", ""):
        assert cut(line, 0, 3) == line


def test_plain_text_is_sliced() -> None:
    assert cut("abcdef", 0, 4) == "abcd"
    assert cut("abcdef", 2, 3) == "cde"
    assert cut("abcdef", 4, 10) == "ef"
    assert cut("abcdef", 6, 3) == ""


def test_a_style_that_begins_out_of_view_is_on_in_view_and_is_switched_off() -> None:
    line = f"{GREEN}abcdef{RESET}gh"
    assert cut(line, 2, 2) == f"{GREEN}cd{RESET}"
    assert cut(line, 5, 9) == f"{GREEN}f{RESET}gh"
    assert plain(cut(line, 7, 5)) == "h"


def test_a_wide_character_of_which_half_is_in_view_is_a_blank() -> None:
    assert cut("日本語", 0, 3) == "日 "
    assert cut("日本語", 1, 5) == " 本語"
    assert cut("日本語", 1, 4) == " 本 "
    assert cut("日本語", 1, 1) == " "
    assert cut("日本語", 2, 2) == "本"


def test_a_combining_character_goes_with_what_it_stands_on() -> None:
    line = f"e{ACUTE}a{ACUTE}o"
    assert cut(line, 0, 1) == f"e{ACUTE}"
    assert cut(line, 0, 2) == f"e{ACUTE}a{ACUTE}"
    assert cut(line, 1, 1) == f"a{ACUTE}"
    assert cut(line, 2, 1) == "o"
    assert cut(f"{GREEN}e{RESET}{ACUTE}xy", 1, 1) == f"{GREEN}{RESET}x"


def test_no_accent_is_left_of_a_wide_character_of_which_half_is_in_view() -> None:
    assert cut(f"か{ACUTE}xy", 1, 2) == " x"
    assert cut(f"xか{ACUTE}y", 0, 2) == "x "


def test_a_window_without_columns_shows_nothing() -> None:
    for line in ("abc", "日本", f"{GREEN}abc{RESET}"):
        for left in range(5):
            assert plain(cut(line, left, 0)) == ""


narrow = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=30)
columns = st.integers(0, 40)
styles = st.lists(st.sampled_from(Style), max_size=3)


@given(st.lists(st.tuples(narrow, styles), max_size=6), columns, columns)
def test_of_narrow_text_the_slice_is_seen_in_the_styles_of_the_whole(
    parts: list[tuple[str, list[Style]]], left: int, room: int
) -> None:
    text = "".join(text for text, _ in parts)
    painted = "".join(Paint(True)(text, *styles) for text, styles in parts)
    shown = cut(painted, left, room)
    assert plain(shown) == text[left : left + room]
    assert styled_characters(shown) == styled_characters(painted)[left : left + room]
    assert shown.count("\x1b[") == painted.count("\x1b[")


def styled_characters(line: str) -> list[tuple[str, str]]:
    """Each character with the style that a terminal has it in."""
    found, style = [], RESET
    for part in re.split("(\x1b\\[[0-9;]*m)", line):
        if STYLING.fullmatch(part):
            style = part
        else:
            found += [(character, style) for character in part]
    return found


any_width = st.text(st.sampled_from(["a", "ä", "日", "ｗ", ACUTE, " ", "-"]), max_size=20)


@given(any_width, columns, columns)
def test_of_any_text_each_column_in_view_shows_what_the_whole_shows_there(
    text: str, left: int, room: int
) -> None:
    shown = cut(text, left, room)
    assert width_of(shown) <= room
    assert cells(shown) == [
        " " if is_half(text, left, room, place) else cell
        for place, cell in enumerate(cells(text))
        if left <= place < left + room
    ]


def cells(text: str) -> list[str]:
    """What each column shows; the second half of a wide character shows "..."."""
    found: list[str] = []
    for character in text:
        if unicodedata.combining(character):
            # A mark that stands on nothing is nothing to look at.
            found[-1:] = [found[-1] + character] if found and found[-1] != "..." else found[-1:]
        else:
            found += [character, "..."] if character in "日ｗ" else [character]
    return found


def is_half(text: str, left: int, room: int, place: int) -> bool:
    begins_out_of_view = place == left and cells(text)[place] == "..."
    ends_out_of_view = place == left + room - 1 and cells(text)[place] in "日ｗ"
    return begins_out_of_view or ends_out_of_view
