"""Options that say how a command shows what it found."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import pytest

from spalloc_gevent.display.tables import Cell, Column
from spalloc_gevent.scripts import job, machine, output_options, ps, where_is
from spalloc_gevent.scripts.common import ExitCode
from spalloc_gevent.scripts.output_options import (
    add_output_options,
    add_table_options,
    add_watch_options,
    check_output,
    chosen_columns,
    listed,
    refuse_table_options,
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


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--columns=id,colour"], "--columns: there is no column 'colour'"),
        (["--sort=colour"], "--sort: there is no column 'colour'"),
        (["--sort=-colour"], "--sort: there is no column 'colour'"),
    ],
)
def test_a_name_that_no_column_has_is_refused_with_those_there_are(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(lambda: names_chosen(*argv), capsys) == (
        f"prog: error: {said}; there are: id, num_boards, owner"
    )


def test_one_may_sort_by_a_column_that_is_not_shown() -> None:
    assert names_chosen("--columns=owner", "--sort=id") == ["owner"]


def test_columns_are_refused_with_json_and_an_order_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert names_chosen("--json", "--sort=id") == ["id", "num_boards", "owner"]
    said = refused(lambda: names_chosen("--json", "--columns=id"), capsys)
    assert "--columns is for tables: --json always tells everything" in said


@pytest.mark.parametrize("option", ["--columns", "--sort"])
def test_table_options_are_refused_where_there_is_no_table(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = parse(option, "id")
    said = refused(lambda: refuse_table_options(new_parser(), arguments, "show one"), capsys)
    assert said == f"prog: error: {option} is for tables: show one"
    refuse_table_options(new_parser(), parse(), "show one")


def test_the_help_lists_what_columns_are_called() -> None:
    assert listed(COLUMNS) == "columns of the table: id, num_boards, owner"
    assert listed(COLUMNS, "jobs") == "columns of jobs: id, num_boards, owner"


# -- watching ----------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--interval=5", "--no-clear"])
def test_options_of_watching_go_with_watch_only(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(lambda: check_output(new_parser(), parse(option)), capsys)
    assert said == f"prog: error: {option.split('=')[0]} goes with --watch"
    check_output(new_parser(), parse(option, "--watch"))


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_an_interval_is_a_time_above_0(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "argument --interval" in refused(lambda: parse(f"--interval={seconds}"), capsys)


def test_nothing_is_watched_coloured_or_told_as_json_unless_it_is_asked_for() -> None:
    arguments = parse()
    assert (arguments.watch, arguments.json, arguments.color) == (False, False, "auto")
    assert (arguments.interval, arguments.no_clear, arguments.columns) == (None, False, None)
    assert output_options.INTERVAL_S == 30


@pytest.mark.parametrize("option", ["--color", "--colour"])
def test_colour_is_spelled_either_way(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(option, "never").color == "never"
    assert "invalid choice" in refused(lambda: parse(option, "sometimes"), capsys)


# -- the commands ------------------------------------------------------------------------


SERVER = "--hostname=nowhere.invalid"


@pytest.mark.parametrize(
    ("main", "argv", "said"),
    [
        (ps.main, ["--interval=5"], "--interval goes with --watch"),
        (ps.main, ["--json", "--columns=id"], "--columns is for tables"),
        (ps.main, ["--sort=size"], "there is no column 'size'; there are: id, state"),
        (machine.main, ["--no-clear"], "--no-clear goes with --watch"),
        (machine.main, ["--detailed"], "--detailed shows one machine"),
        (machine.main, ["m", "--sort=id"], "add --detailed"),
        (machine.main, ["m", "--columns=id"], "add --detailed"),
        (machine.main, ["m", "--detailed", "--columns=tags"], "there is no column 'tags'"),
        (machine.main, ["m", "--detailed", "--json", "--columns=id"], "--columns is for tables"),
        (machine.main, ["--columns=key"], "there is no column 'key'"),
        (job.main, ["1", "--no-clear"], "--no-clear goes with --watch"),
        (job.main, ["1", "--watch", "--destroy"], "--watch shows the job"),
        (job.main, ["1", "--watch", "--power-on"], "--watch shows the job"),
        (job.main, ["1", "--watch", "--power-off"], "--watch shows the job"),
        (job.main, ["1", "--watch", "--ethernet-ips"], "--watch shows the job"),
        (job.main, ["1", "--json", "--destroy", "why"], "--json is for --info"),
        (job.main, ["1", "--json", "--power-on"], "--json is for --info"),
        (job.main, ["1", "--wait-timeout=5"], "--wait-timeout goes with --wait"),
        (job.main, ["--destroy", "12"], "the job's ID comes first"),
        (job.main, ["1", "--info", "--destroy"], "not allowed with argument"),
        (job.main, ["1", "--wait=unknown"], "invalid choice"),
        (where_is.main, ["--board", "m", "0", "0", "0", "--color=red"], "invalid choice"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    main: Callable[[Sequence[str]], int],
    argv: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said in refused(lambda: main([*argv, SERVER]), capsys)
