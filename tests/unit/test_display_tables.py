"""Tables and lists in columns."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.tables import Cell, Column, Table, arranged, render_cells
from spalloc_gevent.display.terminal import Paint, Style

Row = tuple[str, ...]


def column(place: int, heading: str, *styles: Style, is_number: bool = False) -> Column[Row]:
    return Column(
        heading.lower(),
        heading,
        lambda row: Cell(row[place], styles),
        lambda row: row[place] or None,
        is_number,
    )


COLUMNS = (column(0, "ID", is_number=True), column(1, "State"), column(2, "Owner"))


def render(columns: tuple[Column[Row], ...], rows: list[Row], paint: Paint | None = None) -> str:
    return text_of(Table(columns, rows, paint))


def test_numbers_stand_flush_right_and_their_heading_flush_left() -> None:
    table = render(COLUMNS, [("1541", "ready", "me"), ("7", "queue", "you")])
    assert table == "ID    State  Owner\n1541  ready  me\n   7  queue  you"


def test_wide_heading_makes_its_column_wide() -> None:
    columns = (column(0, "Num boards", is_number=True), column(1, "Tags"))
    assert render(columns, [("3", "x")]) == "Num boards  Tags\n         3  x"


def test_table_without_rows_is_its_headings() -> None:
    assert render(COLUMNS, []) == "ID  State  Owner"


def test_nothing_is_taken_for_a_number() -> None:
    for owner in ("1e5", "0x10", "1_000", "nan", "12.50", "True", "007"):
        line = render(COLUMNS, [("1", "ready", owner)]).splitlines()[1]
        assert line == f" 1  ready  {owner}"


def test_empty_cells_leave_no_blanks_at_the_end_of_a_line() -> None:
    table = render(COLUMNS, [("1", "ready", ""), ("2", "", "")])
    assert table == "ID  State  Owner\n 1  ready\n 2"


def test_colours_do_not_move_columns() -> None:
    colourful = (column(0, "ID"), column(1, "State", Style.GREEN), column(2, "Owner", Style.RED))
    rows: list[Row] = [("1", "ready", "me"), ("22", "queue", "you")]
    coloured = render(colourful, rows, Paint(True))
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == render(colourful, rows)
    assert "\x1b[32mready\x1b[0m" in coloured


def test_headings_are_bright_and_underlined_but_not_their_padding() -> None:
    coloured = render(COLUMNS, [("1541", "ready", "me")], Paint(True))
    assert coloured.startswith("\x1b[1;4mID\x1b[0m    \x1b[1;4mState\x1b[0m")


@given(st.lists(st.tuples(*[st.text("a1. -", max_size=9)] * 3), max_size=5))
def test_no_line_ends_in_a_blank_whatever_the_cells(texts: list[tuple[str, ...]]) -> None:
    lines = render(COLUMNS, [*texts]).split("\n")
    assert len(lines) == 1 + len(texts)
    assert lines == [line.rstrip() for line in lines]


def test_cells_fill_lines_of_eighty_columns() -> None:
    cells = [Cell(f"{letter}:{number}") for number, letter in enumerate("ABCDEFGHIJKLMNOP" * 2)]
    lines = render_cells(cells).splitlines()
    assert lines[0].startswith("A:0   B:1   C:2   ")
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(lines).split() == [cell.text for cell in cells]


def test_cells_as_wide_as_the_line_exactly_fill_it() -> None:
    cells = [Cell("x" * 14)] * 6
    assert [len(line) for line in render_cells(cells).splitlines()] == [78, 14]
    assert [len(line) for line in render_cells(cells, width=77).splitlines()] == [62, 30]


def test_cell_wider_than_the_line_has_a_line_of_its_own() -> None:
    assert render_cells([Cell("x" * 9), Cell("y")], width=5) == "x" * 9 + "\ny"


def test_no_cells_are_no_text() -> None:
    assert render_cells([]) == ""


# -- parts of a table --------------------------------------------------------------------

texts = st.text("a1. -日", max_size=9)


@given(st.lists(st.tuples(texts, texts, texts), max_size=6), st.integers(0, 8), st.integers(0, 8))
def test_a_part_of_a_table_is_the_same_lines_of_the_whole(
    rows: list[Row], start: int, stop: int
) -> None:
    for paint in (Paint(False), Paint(True)):
        table = Table(COLUMNS, rows, paint)
        whole = table.lines(0, len(table))
        assert len(whole) == len(table) == 1 + len(rows)
        assert list(table.lines(start, stop)) == list(whole)[start:stop]


def test_the_headings_of_a_table_are_pinned() -> None:
    assert Table(COLUMNS, [("1", "ready", "me")]).pinned == 1


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
    assert arranged(BASKET, [NAME, PRICE], order) == expected


def test_arranging_leaves_the_rows_given_as_they_were() -> None:
    rows = list(BASKET)
    arranged(rows, [NAME, PRICE], [("name", False)])
    assert rows == BASKET


KEYS: dict[str, Callable[[Fruit], Any]] = {"name": lambda row: row[0], "price": lambda row: row[1]}
orders = st.lists(st.tuples(st.sampled_from(sorted(KEYS)), st.booleans()), max_size=3)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 2)), max_size=8), orders
)
def test_arranged_rows_are_in_order_and_equals_stay_as_they_were(
    rows: list[Fruit], order: list[tuple[str, bool]]
) -> None:
    numbered = list(enumerate(rows))
    result = arranged(numbered, [of_numbered(name) for name in KEYS], order)
    assert sorted(result) == numbered
    for (place, row), (next_place, next_row) in itertools.pairwise(result):
        for name, backwards in order:
            key, next_key = KEYS[name](row), KEYS[name](next_row)
            if key != next_key:
                assert key is not None
                assert next_key is None or (key > next_key) == backwards
                break
        else:
            assert place < next_place


def of_numbered(name: str) -> Column[tuple[int, Fruit]]:
    return Column(name, name, lambda row: Cell(str(row)), lambda row: KEYS[name](row[1]))
