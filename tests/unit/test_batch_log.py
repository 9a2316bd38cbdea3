"""Records of cases, as a joblog has them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.scripts.batch.cases import read_cases
from spalloc_gevent.scripts.batch.joblog import done_before, line_of, opened
from spalloc_gevent.scripts.batch.records import (
    CaseRecord,
    Verdict,
    counted,
    exit_code_of,
)
from spalloc_gevent.scripts.common import CommandError

RECORD = CaseRecord(
    case="a",
    line=1,
    command="true {}",
    verdict=Verdict.PASSED,
    exit_code=0,
    reason=None,
    attempts=1,
    started=1000.0,
    ended=1002.5,
    job_id=7,
    machine="big",
    boards=((0, 0, 0), (0, 0, 1)),
    hostnames=("h0", "h1"),
    stdout="d/a.out",
    stderr="d/a.err",
)
NOT_RUN = CaseRecord("b", 2, "x", Verdict.CANCELLED, None, "it was not started", 0, None, 1003.0)


def with_verdict(verdict: Verdict) -> CaseRecord:
    return replace(RECORD, verdict=verdict)


# -- records ----------------------------------------------------------------------------


@pytest.mark.parametrize("record", [RECORD, NOT_RUN])
def test_a_record_survives_json(record: CaseRecord) -> None:
    assert CaseRecord.from_json(json.loads(json.dumps(record.as_json()))) == record


def test_a_record_tells_how_long_the_last_run_took() -> None:
    assert (RECORD.seconds, NOT_RUN.seconds) == (2.5, None)
    assert replace(RECORD, ended=999.0).seconds == 0.0  # the clock was set


def test_what_there_is_to_say_besides_the_verdict_is_the_reason_or_the_exit_code() -> None:
    assert RECORD.result == ""
    assert replace(RECORD, exit_code=3).result == "exit code 3"
    assert replace(RECORD, exit_code=139).result == "exit code 139 (SIGSEGV)"
    assert replace(RECORD, exit_code=128).result == "exit code 128"
    assert replace(with_verdict(Verdict.TIMED_OUT), exit_code=143).result == ""
    assert NOT_RUN.result == "it was not started"


def test_many_boards_are_counted_rather_than_listed() -> None:
    boards = ((0, 0, 0), (0, 0, 1), (0, 0, 2))
    assert replace(RECORD, boards=boards).where == "big (0, 0, 0), (0, 0, 1), (0, 0, 2)"
    many = (*boards, (1, 0, 0))
    assert replace(RECORD, boards=many).where == "big 4 boards from (0, 0, 0)"
    assert NOT_RUN.where == ""


def test_every_verdict_is_counted() -> None:
    counts = counted([RECORD, RECORD, NOT_RUN])
    assert list(counts) == list(Verdict)
    assert counts == {**dict.fromkeys(Verdict, 0), Verdict.PASSED: 2, Verdict.CANCELLED: 1}


@pytest.mark.parametrize("verdict", Verdict)
def test_the_exit_code_is_0_only_if_every_case_has_passed(verdict: Verdict) -> None:
    code = exit_code_of([RECORD, with_verdict(verdict)], None)
    assert (code == 0) is (verdict is Verdict.PASSED)


def test_a_signal_is_the_exit_code_if_it_has_kept_a_case_from_its_end() -> None:
    assert exit_code_of([RECORD, NOT_RUN], 2) == 130
    assert exit_code_of([RECORD, NOT_RUN], 15) == 143
    assert exit_code_of([RECORD], 2) == 0
    assert exit_code_of([with_verdict(Verdict.FAILED)], 2) == 1


# -- the file ---------------------------------------------------------------------------


def test_what_is_appended_is_read_the_last_line_of_each_case(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with opened(path) as log:
        assert log.read() == {}
        log.append(NOT_RUN)
    with opened(path) as log:
        log.append(RECORD)
        log.append(replace(NOT_RUN, verdict=Verdict.FAILED))
    with opened(path) as log:
        assert log.read() == {"a": RECORD, "b": replace(NOT_RUN, verdict=Verdict.FAILED)}


@given(st.integers(min_value=1))
def test_a_last_line_is_whole_or_cut_off_wherever_it_was_broken_off(number: int) -> None:
    first, last = (line_of(record).decode()[:-1] for record in (RECORD, NOT_RUN))
    kept = last[: number % (len(last) + 1)]
    found, left = _read_and_appended(f"{first}\n{kept}")
    assert found == {"a": RECORD} | ({"b": NOT_RUN} if kept == last else {})
    lines = left.split("\n")
    assert lines[-1] == ""
    assert [json.loads(line)["case"] for line in lines[:-1]] == [*found, "b"]


def _read_and_appended(content: str) -> tuple[dict[str, CaseRecord], str]:
    """What is read of a joblog, and what is in it once another line has been added."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_text(content)
        with opened(str(path)) as log:
            found = log.read()
            log.append(NOT_RUN)
        return found, path.read_text()


@pytest.mark.parametrize(
    "line", ["dear diary", "[]", "{}", json.dumps({**RECORD.as_json(), "verdict": "?"})]
)
def test_a_line_in_the_middle_that_is_none_is_told(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log"
    content = f"{json.dumps(RECORD.as_json())}\n{line}\n{json.dumps(NOT_RUN.as_json())}\n"
    path.write_text(content)
    with (
        opened(str(path)) as log,
        pytest.raises(CommandError, match="log, line 2: this is no line of a joblog") as error,
    ):
        log.read()
    assert error.value.code == 2
    assert path.read_text() == content


@pytest.mark.parametrize("text", ["dear diary\nno line end", "no line end"])
def test_a_file_of_something_else_is_not_mended(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes"
    path.write_text(text)
    with opened(str(path)) as log, pytest.raises(CommandError, match="line 1"):
        log.read()
    assert path.read_text() == text


def test_a_joblog_is_opened_once(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with opened(path), pytest.raises(CommandError, match="another spalloc-batch"), opened(path):
        pass
    with opened(path):
        pass


# -- resuming ---------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_results_of_a_case_s_own_are_taken_as_they_are(again: bool) -> None:
    cases = read_cases("\n".join(f"{v.value} true" for v in Verdict).encode(), "file")
    logged = {v.value: replace(RECORD, case=v.value, command="true", verdict=v) for v in Verdict}
    done = set(done_before(cases, logged, again=again))
    assert done == ({"passed"} if again else {"passed", "failed", "timed_out"})


def test_a_case_with_another_command_is_a_new_one_and_others_are_nobody_s() -> None:
    cases = read_cases(b"a false\nb x", "file")
    logged = {"a": RECORD, "c": replace(RECORD, case="c")}
    assert done_before(cases, logged, again=False) == {}
