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
        ("\u2764\ufe0f", 2),
        (f"{GREEN}abc{RESET}", 3),
        (f"\x1b[1;4m日{RESET}", 2),
    ],
)
def test_a_line_is_as_wide_as_its_characters_without_its_styling(line: str, width: int) -> None:
    assert width_of(line) == width
    assert cut(line, 0, width) == line


@pytest.mark.parametrize(
    ("line", "left", "columns", "shown"),
    [
        ("abcdef", 0, 4, "abcd"),
        ("abcdef", 4, 10, "ef"),
        ("abcdef", 6, 3, ""),
        (f"{GREEN}abcdef{RESET}gh", 2, 2, f"{GREEN}cd{RESET}"),
        (f"{GREEN}abcdef{RESET}gh", 5, 9, f"{GREEN}f{RESET}gh"),
        # A wide character of which half is in view is a blank, and so is what stands on it.
        ("日本語", 0, 3, "日 "),
        ("日本語", 1, 5, " 本語"),
        ("日本語", 1, 1, " "),
        (f"か{ACUTE}xy", 1, 2, " x"),
        (f"xか{ACUTE}y", 0, 2, "x "),
        # A combining character goes with what it stands on.
        (f"e{ACUTE}a{ACUTE}o", 0, 1, f"e{ACUTE}"),
        (f"e{ACUTE}a{ACUTE}o", 1, 1, f"a{ACUTE}"),
        (f"e{ACUTE}a{ACUTE}o", 2, 1, "o"),
    ],
)
def test_what_is_in_view_of_a_line_is_in_the_style_of_the_whole(
    line: str, left: int, columns: int, shown: str
) -> None:
    assert cut(line, left, columns) == shown


narrow = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=30)
any_width = st.text(st.sampled_from(["a", "ä", "日", "ｗ", ACUTE, " ", "-"]), max_size=20)
columns = st.integers(0, 40)
styles = st.lists(st.sampled_from(Style), max_size=3)


@given(st.lists(st.tuples(narrow, styles), max_size=6), columns, columns)
def test_of_narrow_text_the_slice_is_seen_in_the_styles_of_the_whole(
    parts: list[tuple[str, list[Style]]], left: int, room: int
) -> None:
    painted = "".join(Paint(True)(text, *styles) for text, styles in parts)
    shown = styled_characters(cut(painted, left, room))
    assert shown == styled_characters(painted)[left : left + room]


def styled_characters(line: str) -> list[tuple[str, str]]:
    """Each character with the style that a terminal has it in."""
    found, style = [], RESET
    for part in re.split("(\x1b\\[[0-9;]*m)", line):
        if STYLING.fullmatch(part):
            style = part
        else:
            found += [(character, style) for character in part]
    return found


@given(any_width, columns, columns)
def test_of_any_text_each_column_in_view_shows_what_the_whole_shows_there(
    text: str, left: int, room: int
) -> None:
    shown = cut(text, left, room)
    assert width_of(shown) <= room
    whole = cells(text)
    expected = whole[left : left + room]
    if expected and expected[0] == "...":
        expected[0] = " "
    if expected and expected[-1][0] in "日ｗ":
        expected[-1] = " "
    assert cells(shown) == expected


def cells(text: str) -> list[str]:
    """What each column shows; the second half of a wide character shows "..."."""
    found: list[str] = []
    for character in text:
        if not unicodedata.combining(character):
            found += [character, "..."] if character in "日ｗ" else [character]
        elif found and found[-1] != "...":  # A mark that stands on nothing is not looked at.
            found[-1] += character
    return found
