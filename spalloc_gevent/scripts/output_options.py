"""Options that say how a command shows what it found, and the columns and order of its tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from spalloc_gevent.display.tables import Column
from spalloc_gevent.display.terminal import Colour
from spalloc_gevent.scripts import common

INTERVAL_S = 30.0
"""Notifications can be lost: what is watched is looked at this often all the same."""

SortOrder = Sequence[tuple[str, bool]]
"""Names of columns to sort by, the first before the others; True for backwards."""


def add_output_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--color and --json; returns their group, to be added to.

    They set ``color`` (the value of a :class:`Colour`) and ``json``.
    """
    group = parser.add_argument_group("output arguments")
    group.add_argument(
        "--color",
        "--colour",
        choices=[when.value for when in Colour],
        default=Colour.AUTO.value,
        help="colour what is shown; auto: on a terminal, unless NO_COLOR is set "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--json",
        action="store_true",
        help="one line of JSON for scripts, as docs/reference/json.rst describes it",
    )
    return group


def add_table_options(group: argparse._ArgumentGroup) -> None:
    """--columns (None, or a list of names) and --sort (a :data:`SortOrder`)."""
    group.add_argument(
        "--columns",
        type=column_names,
        metavar="NAMES",
        help="show these columns of the table, in this order (default: all)",
    )
    group.add_argument(
        "--sort",
        type=sort_order,
        default=[],
        metavar="NAMES",
        help="sort by these columns; --sort=-NAME sorts backwards (default: the server's order)",
    )


def add_watch_options(group: argparse._ArgumentGroup, what: str) -> None:
    """--watch, --interval and --no-clear; `what` is watched."""
    group.add_argument(
        "--watch",
        "-w",
        action="store_true",
        help=f"keep showing {what} as of now, until q or Ctrl+C is pressed; arrow and page keys "
        "scroll what does not fit",
    )
    group.add_argument(
        "--interval",
        type=common.positive_seconds,
        metavar="SECONDS",
        help="with --watch: look this often at least, whether the server says that anything "
        f"changed or not (default: {INTERVAL_S:g})",
    )
    group.add_argument(
        "--no-clear",
        action="store_true",
        help="with --watch: write one picture below another instead of taking the whole screen",
    )


def add_picture_option(group: argparse._ArgumentGroup, what: str) -> None:
    """--svg, of which `what` says what is drawn; None, or the name of a file."""
    group.add_argument(
        "--svg",
        metavar="FILE",
        help=f"draw {what} into FILE instead, as SVG, - for standard output; "
        "docs/reference/pictures.rst tells what it shows",
    )


def listed(columns: Sequence[Column[Any]], what: str = "the table") -> str:
    """A note for --help: what the columns of a table are called."""
    return f"columns of {what}: " + ", ".join(column.name for column in columns)


def check_output(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where these options do not go together."""
    if getattr(arguments, "watch", True):
        return
    for option, given in (("--interval", arguments.interval), ("--no-clear", arguments.no_clear)):
        if given:
            parser.error(f"{option} goes with --watch")


def check_picture(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where --svg does not go together with other ways to show things."""
    if arguments.svg is None:
        return
    if not arguments.svg:
        parser.error("--svg: name a file, or - for standard output")
    for option, given in (("--json", arguments.json), ("--watch", arguments.watch)):
        if given:
            parser.error(f"--svg draws one picture: it does not go with {option}")


def chosen_columns(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    columns: Sequence[Column[Any]],
) -> list[Column[Any]]:
    """The columns to show; a usage error for a name in --columns or --sort that none has."""
    by_name = {column.name: column for column in columns}
    wanted: list[str] = list(by_name) if arguments.columns is None else arguments.columns
    if arguments.columns is not None and arguments.json:
        parser.error("--columns is for tables: --json always tells everything")
    for option, names in (("--columns", wanted), ("--sort", [name for name, _ in arguments.sort])):
        for name in names:
            if name not in by_name:
                there_are = ", ".join(by_name)
                parser.error(f"{option}: there is no column {name!r}; there are: {there_are}")
    return [by_name[name] for name in wanted]


def refuse_table_options(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, why: str
) -> None:
    """End with a usage error if --columns or --sort is given where no table is shown."""
    for option, given in (("--columns", arguments.columns), ("--sort", arguments.sort)):
        if given:
            parser.error(f"{option} is for tables: {why}")


def column_names(text: str) -> list[str]:
    """Names with commas between them, as --columns takes them."""
    names = [name.strip().lower().replace("-", "_") for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} names no columns: give NAME or NAME,NAME")
    return names


def sort_order(text: str) -> SortOrder:
    """The same with a minus before some of them, as --sort takes them."""
    parts = [part.strip() for part in text.split(",")]
    names = column_names(",".join(part.removeprefix("-") for part in parts))
    return [(name, part.startswith("-")) for name, part in zip(names, parts, strict=True)]
