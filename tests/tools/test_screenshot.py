"""A terminal window as SVG: its characters on their grid, and what they look like."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.pictures.colours import LEAST_CONTRAST, contrast
from tools.emulator import Look, Run, Window
from tools.screenshot import DARK, LIGHT, Colours, drawn
from tools.terminal import Terminal

_STYLED = r"print('\x1b[1;4mHead\x1b[0m  \x1b[32mready\x1b[0m  <張偉>  end', end='', flush=True)"


@pytest.fixture
def window() -> Iterator[Window]:
    program = [sys.executable, "-c", f"{_STYLED}; input()"]
    terminal = Terminal(program, {"PYTHONIOENCODING": "utf-8"}, columns=40, lines=3)
    with closing(terminal):
        window = Window(terminal, 40, 3)
        window.wait_for("end")
        yield window


def test_a_window_is_seen_in_pieces_of_one_look_each(window: Window) -> None:
    assert window.runs() == [
        [
            Run(0, 4, "Head", Look(is_bold=True, is_underlined=True)),
            Run(6, 5, "ready", Look("green")),
            Run(13, 11, "<張偉>  end", Look()),
        ],
        [],
        [],
    ]


def test_every_piece_is_held_to_the_grid_in_its_colours(window: Window) -> None:
    root = ET.fromstring(drawn(window.runs(), 40, "$ it", "what it shows"))
    command, *texts = [one for one in root.iter() if one.tag.endswith("}text")]
    assert command.text == "$ it"
    assert [(one.text, one.get("class")) for one in texts] == [
        ("Head", "default bold underlined"),
        ("ready", "green"),
        ("<張偉>  end", "default"),
    ]
    lefts = [float(str(one.get("x"))) for one in texts]
    lengths = [float(str(one.get("textLength"))) for one in texts]
    assert lengths == [33.6, 42.0, 92.4]
    assert [round((left - lefts[0]) / 8.4) for left in lefts] == [0, 6, 13]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_of_text_can_be_read(colours: Colours) -> None:
    for name in colours.keys() - {"paper", "bar", "edge"}:
        assert contrast(colours[name], colours["paper"]) >= LEAST_CONTRAST, name
    assert contrast(colours["default"], colours["bar"]) >= LEAST_CONTRAST
