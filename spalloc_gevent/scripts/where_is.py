"""``spalloc-where-is``: where a board or chip is, on its machine, on its board and in its job.

``spalloc-where-is --help`` lists the four ways to ask, and the exit codes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spalloc_gevent.display.definitions import render_definitions
from spalloc_gevent.display.terminal import printable
from spalloc_gevent.scripts import common
from spalloc_gevent.scripts.administration import EXIT_CODES, connected, show
from spalloc_gevent.scripts.common import CommandError, ExitCode

if TYPE_CHECKING:
    from spalloc_gevent.wire.answers import Location

PROG = "spalloc-where-is"

_EXIT_CODES = (*EXIT_CODES, (ExitCode.NO_BOARDS.value, "no boards at the location"))


@dataclass(frozen=True)
class _Style:
    """One way to ask: how a command line says it, and how the server is asked."""

    flags: tuple[str, ...]
    metavar: tuple[str, ...]
    names: tuple[str, ...]
    answered_by: str
    """The part of an answer that repeats the coordinates of the question."""
    help: str

    @property
    def option(self) -> str:
        return self.flags[0].lstrip("-").replace("-", "_")

    @property
    def is_about_chip(self) -> bool:
        return "chip_x" in self.names


_STYLES = (
    _Style(
        ("--board", "-b", "--logical", "-l"),
        ("MACHINE", "X", "Y", "Z"),
        ("machine", "x", "y", "z"),
        "logical",
        "ask for the board at a logical position",
    ),
    _Style(
        ("--physical", "-p"),
        ("MACHINE", "CABINET", "FRAME", "BOARD"),
        ("machine", "cabinet", "frame", "board"),
        "physical",
        "ask for the board at a physical position",
    ),
    _Style(
        ("--chip", "-c"),
        ("MACHINE", "X", "Y"),
        ("machine", "chip_x", "chip_y"),
        "chip",
        "ask for a chip, as if the machine were booted as a whole",
    ),
    _Style(
        ("--job-chip", "-j"),
        ("JOB_ID", "X", "Y"),
        ("job_id", "chip_x", "chip_y"),
        "job_chip",
        "ask for a chip among those of a job",
    ),
)


@dataclass(frozen=True)
class _Question:
    style: _Style
    parts: Mapping[str, Any]

    def is_answered_by(self, location: Location) -> bool:
        """False when the server has wrapped the coordinates around to some other place."""
        coordinates = [value for name, value in self.parts.items() if name not in _WHOSE]
        answered: Mapping[str, object] = {**location}
        told = answered[self.style.answered_by]
        return isinstance(told, (list, tuple)) and list(told) == coordinates


_WHOSE = ("machine", "job_id")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-where-is`` with these arguments (None: this process's); the exit code."""
    return common.run(lambda: _locate(*_parse(argv)), prog=PROG)


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, _Question]:
    parser = common.new_parser(
        PROG,
        "Find out where a board or chip is, physically and logically.",
        exit_codes=_EXIT_CODES,
    )
    questions = parser.add_argument_group("questions").add_mutually_exclusive_group(required=True)
    for style in _STYLES:
        questions.add_argument(
            *style.flags, nargs=len(style.names), metavar=style.metavar, help=style.help
        )
    common.add_server_options(parser, common.read_defaults(PROG))
    arguments = parser.parse_args(argv)
    common.require_hostname(parser, arguments.hostname)
    return arguments, _question(parser, arguments)


def _question(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> _Question:
    style = next(style for style in _STYLES if getattr(arguments, style.option) is not None)
    words: list[str] = getattr(arguments, style.option)
    try:
        values = [
            word if name == "machine" else _coordinate(word)
            for name, word in zip(style.names, words, strict=True)
        ]
    except argparse.ArgumentTypeError as error:
        parser.error(f"{style.flags[0]}: {error}")
    return _Question(style, dict(zip(style.names, values, strict=True)))


def _coordinate(text: str) -> int:
    # As in a pair that is pasted: 14, 3
    number = common.whole_number(text.removesuffix(","))
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 0")
    return number


def _locate(arguments: argparse.Namespace, question: _Question) -> int:
    with connected(PROG, arguments) as client:
        location = client.where_is(**question.parts)
    if location is None or not question.is_answered_by(location):
        raise CommandError("No boards at the specified location", ExitCode.NO_BOARDS)
    show(render_location(location, with_board_chip=question.style.is_about_chip))
    return ExitCode.OK


def render_location(location: Location, *, with_board_chip: bool) -> str:
    """The location, a fact a line; with_board_chip: a chip was asked for, not a board."""
    cabinet, frame, board = location["physical"]
    facts: list[tuple[str, object]] = [
        ("Machine", printable(location["machine"])),
        ("Physical location", f"Cabinet {cabinet}, Frame {frame}, Board {board}"),
        ("Board coordinate", tuple(location["logical"])),
        ("Machine chip coordinates", tuple(location["chip"])),
    ]
    if with_board_chip and location["board_chip"] is not None:
        facts.append(("Coordinates within board", tuple(location["board_chip"])))
    facts.append(("Job using board", location["job_id"]))
    if location["job_id"] is not None and location["job_chip"] is not None:
        facts.append(("Coordinates within job", tuple(location["job_chip"])))
    return render_definitions(facts)


if __name__ == "__main__":
    sys.exit(main())
