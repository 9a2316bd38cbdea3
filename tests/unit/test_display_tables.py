"""Tables, lists in columns, definitions."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.tables import (
    Cell,
    Column,
    Table,
    arranged,
    render_cells,
    render_definitions,
)
from spalloc_gevent.display.terminal import Paint, Style
from spalloc_gevent.display.widths import width_of

Row = tuple[str, ...]


def column(place: int, heading: str, *styles: Style, is_number: bool = False) -> Column[Row]:
    return Column(
        heading.lower(), heading, lambda row: Cell(row[place], styles), lambda _row: None, is_number
    )


COLUMNS = (column(0, "ID", is_number=True), column(1, "State"), column(2, "Owner"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "ID  State  Owner"),
        # Numbers stand flush right, their heading flush left; nothing is taken for a number.
        (
            [("1541", "ready", "1e5"), ("7", "queue", "007")],
            "ID    State  Owner\n1541  ready  1e5\n   7  queue  007",
        ),
        ([("1", "ready", ""), ("2", "", "")], "ID  State  Owner\n 1  ready\n 2"),
        ([("1", "日本", "x"), ("2", " a ", "")], "ID  State  Owner\n 1  日本   x\n 2  a"),
        ([("1", "👩\u200d💻日本", "x")], "ID  State   Owner\n 1  👩\u200d💻日本  x"),
    ],
)
def test_a_table_has_two_blanks_between_columns_and_none_at_the_end_of_a_line(
    rows: list[Row], expected: str
) -> None:
    assert text_of(Table(COLUMNS, rows)) == expected


def test_a_wide_heading_makes_its_column_wide() -> None:
    columns = (column(0, "Num boards", is_number=True), column(1, "Tags"))
    assert text_of(Table(columns, [("3", "x")])) == "Num boards  Tags\n         3  x"


def test_headings_are_bright_and_underlined_but_not_their_padding() -> None:
    colourful = (column(0, "ID", is_number=True), column(1, "State", Style.GREEN))
    heading, line = Table(colourful, [("1541", "ready")], Paint(True)).lines(0, 2)
    assert heading == "\x1b[1;4mID\x1b[0m    \x1b[1;4mState\x1b[0m"
    assert line == "1541  \x1b[32mready\x1b[0m"


texts = st.text("a1. -日", max_size=9)


@given(st.lists(st.tuples(texts, texts, texts), max_size=6), st.integers(0, 8), st.integers(0, 8))
def test_a_part_of_a_table_is_the_same_lines_of_the_whole_and_colour_moves_nothing(
    rows: list[Row], start: int, stop: int
) -> None:
    table = Table(COLUMNS, rows)
    whole = table.lines(0, len(table))
    assert len(whole) == len(table) == 1 + len(rows)
    assert list(whole) == [line.rstrip() for line in whole]
    assert list(table.lines(start, stop)) == list(whole)[start:stop]
    colourful = [column(place, one.heading, Style.RED) for place, one in enumerate(COLUMNS)]
    plain = [column(place, one.heading) for place, one in enumerate(COLUMNS)]
    coloured = text_of(Table(colourful, rows, Paint(True)))
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == text_of(Table(plain, rows))


def test_a_table_without_rows_needs_no_library() -> None:
    script = (
        "import sys; from spalloc_gevent.display.tables import Table, Column, Cell\n"
        "columns = [Column('a', 'A', Cell, str), Column('b', 'B', Cell, str)]\n"
        "assert list(Table(columns, []).lines(0, 1)) == ['A  B']\n"
        "assert not {'tabulate', 'wcwidth'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- lists and definitions ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "width", "lines"),
    [
        ([], 80, [0]),
        (["x" * 14] * 6, 80, [78, 14]),
        (["x" * 14] * 6, 77, [62, 30]),
        (["x" * 9, "y"], 5, [9, 1]),
        (["日" * 7, "x" * 14] * 3, 80, [78, 14]),
    ],
)
def test_cells_fill_the_lines_and_one_that_is_wider_has_its_own(
    cells: list[str], width: int, lines: list[int]
) -> None:
    shown = render_cells([Cell(text) for text in cells], width=width)
    assert [width_of(line) for line in shown.split("\n")] == lines
    assert shown.split() == cells


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([], ""),
        ([("Hostname", "b"), ("Width", 8), ("Empty", "")], "Hostname: b\n   Width: 8\n   Empty:"),
        ([("A", "x\n\ny"), ("Long", 1)], "   A: x\n\n      y\nLong: 1"),
    ],
)
def test_definitions_have_keys_flush_right_and_values_in_their_column(
    pairs: list[tuple[str, object]], text: str
) -> None:
    assert render_definitions(pairs) == text


# -- the order of rows -------------------------------------------------------------------

Fruit = tuple[str, int | None]
NAME: Column[Fruit] = Column("name", "Name", lambda row: Cell(row[0]), lambda row: row[0])
PRICE: Column[Fruit] = Column("price", "Price", lambda row: Cell(str(row[1])), lambda row: row[1])

APPLE, BANANA, CHERRY, DATE = ("apple", 5), ("banana", 2), ("cherry", 5), ("date", None)
BASKET: list[Fruit] = [DATE, CHERRY, APPLE, BANANA]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], BASKET),
        ([("name", False)], [APPLE, BANANA, CHERRY, DATE]),
        ([("name", True)], [DATE, CHERRY, BANANA, APPLE]),
        ([("price", False)], [BANANA, CHERRY, APPLE, DATE]),
        ([("price", True)], [CHERRY, APPLE, BANANA, DATE]),
        ([("price", False), ("name", False)], [BANANA, APPLE, CHERRY, DATE]),
        ([("price", True), ("name", False)], [APPLE, CHERRY, BANANA, DATE]),
        ([("price", False), ("name", True)], [BANANA, CHERRY, APPLE, DATE]),
    ],
)
def test_rows_are_arranged_by_the_columns_named(
    order: list[tuple[str, bool]], expected: list[Fruit]
) -> None:
    rows = list(BASKET)
    assert arranged(rows, [NAME, PRICE], order) == expected
    assert rows == BASKET


fruits = st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 2)), max_size=8)


@given(fruits, st.booleans())
def test_arranged_rows_are_in_order_and_equals_stay_as_they_were(
    rows: list[Fruit], backwards: bool
) -> None:
    place: Column[tuple[int, Fruit]] = Column("p", "P", lambda _row: Cell(), lambda row: row[1][1])
    result = arranged(list(enumerate(rows)), [place], [("p", backwards)])
    assert sorted(result) == list(enumerate(rows))
    for (at, (_, price)), (next_at, (_, next_price)) in itertools.pairwise(result):
        if price == next_price:
            assert at < next_at
        else:
            assert price is not None
            assert next_price is None or (price > next_price) == backwards
