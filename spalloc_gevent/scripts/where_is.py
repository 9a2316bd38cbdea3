"""``spalloc-where-is``: where a board or chip is, on its machine, on its board and in its job.

``spalloc-where-is --help`` lists the four ways to ask, and the exit codes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spalloc_gevent.display.pages import Text
from spalloc_gevent.display.tables import render_definitions
from spalloc_gevent.display.terminal import Paint, printable
from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, run
from spalloc_gevent.scripts.common import CommandError, ExitCode
from spalloc_gevent.scripts.presenting import present
from spalloc_gevent.scripts.views import View

if TYPE_CHECKING:
    from spalloc_gevent.client import ProtocolClient
    from spalloc_gevent.config import Config
    from spalloc_gevent.wire.answers import Location

PROG = "spalloc-where-is"

EXIT_CODES = (
    *administration.EXIT_CODES,
    (ExitCode.NO_BOARDS.value, "no boards at the location"),
    ENDED_BY_SIGNAL,
)


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
    return run(PROG, lambda: _parse(argv), _locate)


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-where-is``, whose help tells these defaults."""
    parser = common.new_parser(
        PROG,
        "Find out where a board or chip is, physically and logically.",
        exit_codes=EXIT_CODES,
    )
    questions = parser.add_argument_group("questions").add_mutually_exclusive_group(required=True)
    for style in _STYLES:
        questions.add_argument(
            *style.flags, nargs=len(style.names), metavar=style.metavar, help=style.help
        )
    output_options.add_output_options(parser)
    common.add_server_options(parser, defaults)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(common.read_defaults(PROG))
    arguments = parser.parse_args(list(_words(sys.argv[1:] if argv is None else argv)))
    common.require_hostname(parser, arguments.hostname)
    arguments.question = _question(parser, arguments)
    return arguments


_PASTED = re.compile(r"\(?\s*-?\d+(\s*,\s*-?\d+)+\s*,?\s*\)?", re.ASCII)


def _words(argv: Sequence[str]) -> Iterator[str]:
    """The words of a command line, with coordinates that are pasted as one word, 14,3, as two."""
    for before, word in zip(["", *argv], argv, strict=False):
        # A machine may be called so.
        if before.startswith("-") or not _PASTED.fullmatch(word):
            yield word
        else:
            yield from re.findall(r"-?\d+", word)


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
        raise argparse.ArgumentTypeError(f"{text!r} is less than 0: give 0 or more")
    return number


def _locate(arguments: argparse.Namespace) -> int:
    return present(PROG, LocationView(arguments.question), arguments)


class LocationView(View["Location"]):
    """Where a board or chip is."""

    def __init__(self, question: _Question) -> None:
        self._question = question

    def collect(self, client: ProtocolClient) -> Location:
        location = client.where_is(**self._question.parts)
        if location is None or not self._question.is_answered_by(location):
            raise CommandError("No boards at the specified location", ExitCode.NO_BOARDS)
        return location

    def page(self, data: Location, _paint: Paint, _columns: int | None, /) -> Text:
        return Text(render_location(data, with_board_chip=self._question.style.is_about_chip))

    def document(self, data: Location) -> dict[str, object]:
        cabinet, frame, board = data["physical"]
        return {
            "machine": data["machine"],
            "physical": {"cabinet": cabinet, "frame": frame, "board": board},
            "logical": data["logical"],
            "chip": data["chip"],
            "board_chip": data["board_chip"],
            "job_id": data["job_id"],
            "job_chip": data["job_chip"],
        }


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
