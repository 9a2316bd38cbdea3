"""Lines at the bottom that are redrawn, as a terminal shows them."""

from __future__ import annotations

import io

import pyte

from spalloc_gevent.display.footer import Footer


class Glass(io.StringIO):
    """A stream that is shown on a screen of 80 x 6, the size of terminals that do not say."""

    def __init__(self) -> None:
        super().__init__()
        self._screen = pyte.Screen(80, 6)
        self._stream = pyte.Stream(self._screen)
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        self._stream.feed(text)
        return len(text)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]


def test_lines_take_the_place_of_those_before() -> None:
    glass = Glass()
    footer = Footer(glass)
    footer.draw(["one", "two"])
    footer.draw(["three", "x"])
    footer.draw(["y"])
    assert glass.lines == ["y", "", "", "", "", ""]


def test_text_stands_above_and_scrolls() -> None:
    glass = Glass()
    footer = Footer(glass)
    footer.draw(["counts", "doing"])
    for number in range(5):
        footer.write_above(f"news {number}\r\n")
    assert glass.lines == ["news 1", "news 2", "news 3", "news 4", "counts", "doing"]
    footer.clear()
    footer.write_above("the end\r\n")
    assert glass.lines == ["news 1", "news 2", "news 3", "news 4", "the end", ""]


def test_nothing_is_written_where_nothing_has_changed() -> None:
    glass = Glass()
    footer = Footer(glass)
    footer.clear()
    footer.draw(["same"])
    footer.draw(["same"])
    assert glass.writes == 1


def test_no_line_is_as_wide_as_the_terminal() -> None:
    glass = Glass()
    footer = Footer(glass)
    footer.draw(["\x1b[31m" + "x" * 200 + "\x1b[0m", "y" * 200])
    assert glass.lines[:3] == ["x" * 79, "y" * 79, ""]
