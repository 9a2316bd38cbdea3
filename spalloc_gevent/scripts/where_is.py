"""``spalloc-where-is``: where a board or chip is, on its machine, on its board and in its job.

``spalloc-where-is --help`` lists the four ways to ask, and the exit codes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from spalloc_gevent.display.pages import Text
from spalloc_gevent.display.tables import render_definitions
from spalloc_gevent.display.terminal import Paint, printable
from spalloc_gevent.scripts import administration, common, output_options
from spalloc_gevent.scripts.administration import ENDED_BY_SIGNAL, present
from spalloc_gevent.scripts.common import CommandError, ExitCode
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


class Question(NamedTuple):
    """One way to ask: how a command line says it, and how the server is asked."""

    flags: tuple[str, ...]
    metavar: tuple[str, ...]
    names: tuple[str, ...]
    """The keywords of ``where_is``: what is asked about, then coordinates."""
    answered_by: str
    """The part of an answer that repeats the coordinates of the question."""
    help: str


QUESTIONS = (
    Question(
        ("--board", "-b", "--logical", "-l"),
        ("MACHINE", "X", "Y", "Z"),
        ("machine", "x", "y", "z"),
        "logical",
        "ask for the board at a logical position",
    ),
    Question(
        ("--physical", "-p"),
        ("MACHINE", "CABINET", "FRAME", "BOARD"),
        ("machine", "cabinet", "frame", "board"),
        "physical",
        "ask for the board at a physical position",
    ),
    Question(
        ("--chip", "-c"),
        ("MACHINE", "X", "Y"),
        ("machine", "chip_x", "chip_y"),
        "chip",
        "ask for a chip, as if the machine were booted as a whole",
    ),
    Question(
        ("--job-chip", "-j"),
        ("JOB_ID", "X", "Y"),
        ("job_id", "chip_x", "chip_y"),
        "job_chip",
        "ask for a chip among those of a job",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``spalloc-where-is`` with these arguments (None: this process's); the exit code."""
    words = list(separated(sys.argv[1:] if argv is None else argv))
    return administration.run(make_parser, locate, PROG, words)


_PASTED = re.compile(r"\(?\s*-?\d+(\s*,\s*-?\d+)+\s*,?\s*\)?", re.ASCII)


def separated(argv: Sequence[str]) -> Iterator[str]:
    """The words of a command line, with coordinates that are pasted as one word, 14,3, as two."""
    for before, word in zip(["", *argv], argv, strict=False):
        # A machine may be called so.
        if before.startswith("-") or not _PASTED.fullmatch(word):
            yield word
        else:
            yield from re.findall(r"-?\d+", word)


def make_parser(defaults: Config) -> argparse.ArgumentParser:
    """The parser of ``spalloc-where-is``, whose help tells these defaults."""
    parser = common.new_parser(
        PROG,
        "Find out where a board or chip is, physically and logically.",
        exit_codes=EXIT_CODES,
    )
    group = parser.add_argument_group("questions").add_mutually_exclusive_group(required=True)
    for question in QUESTIONS:
        flags, metavar, text = question.flags, question.metavar, question.help
        group.add_argument(
            *flags, dest=question.answered_by, nargs=len(metavar), metavar=metavar, help=text
        )
    output_options.add_output_options(parser)
    common.add_server_options(parser, defaults)
    return parser


def locate(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Ask the server, and show its answer; the exit code."""
    common.require_hostname(parser, arguments)
    asked = next(one for one in QUESTIONS if getattr(arguments, one.answered_by) is not None)
    about, *coordinates = getattr(arguments, asked.answered_by)
    try:
        # A comma is left of a pair that is pasted: 14, 3
        numbers = [common.natural_number(text.removesuffix(",")) for text in coordinates]
        whose = about if asked.names[0] == "machine" else common.natural_number(about)
    except argparse.ArgumentTypeError as error:
        parser.error(f"{asked.flags[0]}: {error}")
    parts = dict(zip(asked.names, [whose, *numbers], strict=True))
    return present(LocationView(asked, parts), arguments)


class LocationView(View["Location"]):
    """Where a board or chip is."""

    def __init__(self, question: Question, parts: dict[str, Any]) -> None:
        self._question = question
        self._parts = parts

    def collect(self, client: ProtocolClient) -> Location:
        location = client.where_is(**self._parts)
        answered: dict[str, object] = {**location} if location else {}
        told = answered.get(self._question.answered_by)
        asked = [self._parts[name] for name in self._question.names[1:]]
        # The server wraps coordinates around: then it tells of some other place.
        if location is None or not isinstance(told, (list, tuple)) or list(told) != asked:
            raise CommandError("No boards at the specified location", ExitCode.NO_BOARDS)
        return location

    def page(self, data: Location, _paint: Paint, _columns: int | None, /) -> Text:
        cabinet, frame, board = data["physical"]
        facts: list[tuple[str, object]] = [
            ("Machine", printable(data["machine"])),
            ("Physical location", f"Cabinet {cabinet}, Frame {frame}, Board {board}"),
            ("Board coordinate", tuple(data["logical"])),
            ("Machine chip coordinates", tuple(data["chip"])),
        ]
        if "chip_x" in self._parts and data["board_chip"] is not None:
            facts.append(("Coordinates within board", tuple(data["board_chip"])))
        facts.append(("Job using board", data["job_id"]))
        if data["job_id"] is not None and data["job_chip"] is not None:
            facts.append(("Coordinates within job", tuple(data["job_chip"])))
        return Text(render_definitions(facts))

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


if __name__ == "__main__":
    sys.exit(main())
