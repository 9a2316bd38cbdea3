"""Options that say how a command shows what it found."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from spalloc_gevent.display.tables import Cell, Column
from spalloc_gevent.scripts import output_options
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.output_options import (
    add_output_options,
    add_table_options,
    add_watch_options,
    chosen_columns,
    listed,
)

COLUMNS = [
    Column(name, name, lambda row: Cell(str(row)), lambda row: row)
    for name in ("id", "num_boards", "owner")
]


def new_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prog")
    group = add_output_options(parser)
    add_table_options(group)
    add_watch_options(group, "it")
    return parser


def parse(*argv: str) -> argparse.Namespace:
    return new_parser().parse_args(argv)


def names_chosen(*argv: str) -> list[str]:
    return [column.name for column in chosen_columns(new_parser(), parse(*argv), COLUMNS)]


def refused(act: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    """What the usage error says that `act` ends with."""
    with pytest.raises(SystemExit) as caught:
        act()
    assert caught.value.code == ExitCode.USAGE
    return capsys.readouterr().err.splitlines()[-1]


# -- columns and their order -------------------------------------------------------------


def test_without_a_choice_all_columns_are_shown_in_their_order() -> None:
    assert names_chosen() == ["id", "num_boards", "owner"]


@pytest.mark.parametrize("names", ["owner,id", " owner , id ", "Owner,ID"])
def test_columns_are_shown_as_they_are_named(names: str) -> None:
    assert names_chosen("--columns", names) == ["owner", "id"]


def test_names_may_be_written_with_hyphens() -> None:
    assert names_chosen("--columns", "num-boards") == ["num_boards"]
    assert parse("--sort", "num-boards").sort == [("num_boards", False)]


@pytest.mark.parametrize(
    ("argv", "order"),
    [
        ([], []),
        (["--sort", "id"], [("id", False)]),
        (["--sort=-id"], [("id", True)]),
        (["--sort=owner,-id"], [("owner", False), ("id", True)]),
        (["--sort= -Num-Boards , ID "], [("num_boards", True), ("id", False)]),
    ],
)
def test_a_minus_before_a_name_sorts_backwards(
    argv: list[str], order: list[tuple[str, bool]]
) -> None:
    assert list(parse(*argv).sort) == order


@pytest.mark.parametrize("option", ["--columns", "--sort"])
@pytest.mark.parametrize("names", ["", ",", "id,", "id,,owner", " "])
def test_a_name_that_is_left_out_is_refused(
    option: str, names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(lambda: parse(f"{option}={names}"), capsys)
    assert f"argument {option}" in said
    assert said.endswith("names no columns: give NAME or NAME,NAME")


def test_a_minus_without_a_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "names no columns" in refused(lambda: parse("--sort=-"), capsys)


def test_one_may_sort_by_a_column_that_is_not_shown() -> None:
    assert names_chosen("--columns=owner", "--sort=id") == ["owner"]


def test_the_help_lists_what_columns_are_called() -> None:
    assert listed(COLUMNS) == "columns of the table: id, num_boards, owner"
    assert listed(COLUMNS, "jobs") == "columns of jobs: id, num_boards, owner"


# -- watching ----------------------------------------------------------------------------


def test_nothing_is_watched_coloured_or_told_as_json_unless_it_is_asked_for() -> None:
    arguments = parse()
    assert (arguments.watch, arguments.json, arguments.color) == (False, False, "auto")
    assert (arguments.interval, arguments.no_clear, arguments.columns) == (None, False, None)
    assert output_options.INTERVAL_S == 30
