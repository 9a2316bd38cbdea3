"""A campaign as a whole, when it is over: tables for people, a document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.display.pages import text_of
from spalloc_gevent.display.tables import Cell, Column, Table
from spalloc_gevent.display.terminal import Paint, printable
from spalloc_gevent.scripts.batch_progress import STYLES, rate_told, span_told
from spalloc_gevent.scripts.batch_records import Record, Verdict, counted, places_told

MOST_LISTED = 50
"""More cases than this that have not passed are counted: --joblog and --json have them all."""

_LONGEST_RESULT = 60


@dataclass(frozen=True)
class Summary:
    """All cases with what they came to, in the order in which they were given.

    before: the names of those whose results an earlier run has left in the joblog.
    """

    records: Sequence[Record]
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
    blocks = [*_not_passed(summary.records, paint), _verdicts(summary.records, paint)]
    return "\n" + "\n\n".join([*blocks, _last_line(summary)]) + "\n"


def _last_line(summary: Summary) -> str:
    left_out = sum(record.was_left_out for record in summary.records)
    run = len(summary.records) - len(summary.before) - left_out
    told = f"{_cases(run)} in {span_told(summary.seconds)}"
    if run and summary.seconds:
        told += f", {rate_told(run / summary.seconds)}"
    if left_out:
        told += f"; {_cases(left_out)} not started"
    if summary.before:
        told += f"; {_cases(len(summary.before))} taken from the joblog"
    return told


def _cases(number: int) -> str:
    return f"{number:,} case{'' if number == 1 else 's'}"


# -- what has not passed ------------------------------------------------------------------


def _not_passed(records: Sequence[Record], paint: Paint) -> Iterator[str]:
    told = [
        record
        for record in records
        if record.verdict is not Verdict.PASSED and not record.was_left_out
    ]
    if not told:
        return
    text = text_of(Table(_COLUMNS, told[:MOST_LISTED], paint))
    more = len(told) - MOST_LISTED
    yield text if more <= 0 else f"{text}\n(and {more:,} more: --joblog and --json have them all)"


def _verdict(record: Record) -> Cell:
    return Cell(record.verdict.text, STYLES[record.verdict])


def _seconds(record: Record) -> Cell:
    return Cell("" if record.seconds is None else f"{record.seconds:.2f}")


def _job(record: Record) -> Cell:
    return Cell("" if record.boards is None else str(record.boards.job_id))


def _where(record: Record) -> Cell:
    if record.boards is None:
        return Cell()
    return Cell(printable(f"{record.boards.machine} {places_told(record.boards.boards)}"))


def _result(record: Record) -> Cell:
    text = printable(record.result)
    return Cell(text if len(text) <= _LONGEST_RESULT else text[: _LONGEST_RESULT - 3] + "...")


def _nothing(_record: object) -> None:
    """Nobody sorts these tables."""


_COLUMNS = [
    Column[Record]("case", "Case", lambda record: Cell(printable(record.case)), _nothing),
    Column[Record]("verdict", "Verdict", _verdict, _nothing),
    Column[Record]("seconds", "s", _seconds, _nothing, is_number=True),
    Column[Record]("job", "Job", _job, _nothing, is_number=True),
    Column[Record]("boards", "Boards", _where, _nothing),
    Column[Record]("result", "Result", _result, _nothing),
]

# -- how many of each ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    verdict: Verdict
    count: int
    seconds: Sequence[float]


def _verdicts(records: Sequence[Record], paint: Paint) -> str:
    rows = [_row(verdict, records) for verdict in Verdict]
    return text_of(Table(_VERDICT_COLUMNS, [row for row in rows if row.count], paint))


def _row(verdict: Verdict, records: Sequence[Record]) -> _Row:
    found = [record for record in records if record.verdict is verdict]
    seconds = [record.seconds for record in found if record.seconds is not None]
    return _Row(verdict, len(found), seconds)


def _span(seconds: Sequence[float], number: float | None) -> Cell:
    return Cell("" if number is None or not seconds else f"{number:.2f}")


_VERDICT_COLUMNS = [
    Column[_Row](
        "verdict", "Verdict", lambda row: Cell(row.verdict.text, STYLES[row.verdict]), _nothing
    ),
    Column[_Row]("cases", "Cases", lambda row: Cell(f"{row.count:,}"), _nothing, is_number=True),
    Column[_Row](
        "mean",
        "Mean s",
        lambda row: _span(row.seconds, sum(row.seconds) / max(1, len(row.seconds))),
        _nothing,
        is_number=True,
    ),
    Column[_Row](
        "longest",
        "Longest s",
        lambda row: _span(row.seconds, max(row.seconds, default=None)),
        _nothing,
        is_number=True,
    ),
]
