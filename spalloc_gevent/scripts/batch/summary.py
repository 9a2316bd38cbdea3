"""A campaign as a whole, when it is over: tables for people, a document for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.tables import Cell, Column, Table
from spalloc_gevent.display.terminal import Paint, printable
from spalloc_gevent.scripts.batch.progress import STYLES, rate_told, span_told
from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict, counted

MOST_LISTED = 50
"""More cases than this that have not passed are counted: --joblog and --json have them all."""

_LONGEST_RESULT = 60


@dataclass(frozen=True)
class Summary:
    """All cases with what they came to, in the order in which they were given.

    before: the names of those whose results an earlier run has left in the joblog.
    """

    records: Sequence[CaseRecord]
    before: frozenset[str]
    began: float
    ended: float
    exit_code: int
    signum: int | None = None

    @property
    def seconds(self) -> float:
        return max(0.0, self.ended - self.began)

    def document(self) -> dict[str, Any]:
        """The content of the JSON document, by docs/reference/json/batch.schema.json."""
        return {
            "began": round(self.began, 3),
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "signal": self.signum,
            "counts": {verdict.value: n for verdict, n in counted(self.records).items()},
            "cases": [
                {**record.as_json(), "resumed": record.case in self.before}
                for record in self.records
            ],
        }


def rendered(summary: Summary, paint: Paint) -> str:
    """Tables and a last line, in lines that end in a line feed."""
    blocks = []
    left_out = sum(record.was_left_out for record in summary.records)
    if listed := [
        record
        for record in summary.records
        if record.verdict is not Verdict.PASSED and not record.was_left_out
    ]:
        text = text_of(Table(CASE_COLUMNS, listed[:MOST_LISTED], paint))
        more = len(listed) - MOST_LISTED
        note = f"\n(and {more:,} more: --joblog and --json have them all)" if more > 0 else ""
        blocks.append(text + note)
    tallies = [Tally.of(verdict, summary.records) for verdict in Verdict]
    blocks.append(text_of(Table(VERDICT_COLUMNS, [one for one in tallies if one.count], paint)))
    run = len(summary.records) - len(summary.before) - left_out
    told = f"{cases_told(run)} in {span_told(summary.seconds)}"
    if run and summary.seconds:
        told += f", {rate_told(run / summary.seconds)}"
    if left_out:
        told += f"; {cases_told(left_out)} not started"
    if summary.before:
        told += f"; {cases_told(len(summary.before))} taken from the joblog"
    return "\n" + "\n\n".join([*blocks, told]) + "\n"


def cases_told(number: int) -> str:
    return f"{number:,} case{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Tally:
    """How many cases came to a verdict, and how long those ran that were started."""

    verdict: Verdict
    count: int
    seconds: Sequence[float]

    @classmethod
    def of(cls, verdict: Verdict, records: Sequence[CaseRecord]) -> Tally:
        found = [record for record in records if record.verdict is verdict]
        seconds = [record.seconds for record in found if record.seconds is not None]
        return cls(verdict, len(found), seconds)


def number(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.2f}")


def column(
    heading: str, cell: Callable[[Any], Cell | str], *, is_number: bool = False
) -> Column[Any]:
    """A column of a table that nobody sorts."""

    def cell_of(row: Any) -> Cell:
        found = cell(row)
        return Cell(printable(found)) if isinstance(found, str) else found

    return Column(heading.lower(), heading, cell_of, lambda _: None, is_number)


def result_of(record: CaseRecord) -> str:
    text = printable(record.result)
    return text if len(text) <= _LONGEST_RESULT else text[: _LONGEST_RESULT - 3] + "..."


CASE_COLUMNS = [
    column("Case", lambda record: record.case),
    column("Verdict", lambda record: Cell(record.verdict.text, STYLES[record.verdict])),
    column("s", lambda record: number(record.seconds), is_number=True),
    column("Job", lambda record: str(record.job_id or ""), is_number=True),
    column("Boards", lambda record: record.where),
    column("Result", result_of),
]
VERDICT_COLUMNS = [
    column("Verdict", lambda tally: Cell(tally.verdict.text, STYLES[tally.verdict])),
    column("Cases", lambda tally: f"{tally.count:,}", is_number=True),
    column(
        "Mean s",
        lambda tally: number(fmean(tally.seconds) if tally.seconds else None),
        is_number=True,
    ),
    column("Longest s", lambda tally: number(max(tally.seconds, default=None)), is_number=True),
]
