"""A campaign that is over, as tables, as a document and as JUnit XML."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.display.terminal import Paint
from spalloc_gevent.scripts.batch.junit import junit_xml
from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict
from spalloc_gevent.scripts.batch.summary import MOST_LISTED, Summary, rendered

BOARDS = (7, "big", ((0, 0, 0), (0, 0, 1)), ("h0", "h1"))
PASSED = CaseRecord("a", 1, "true {}", Verdict.PASSED, 0, None, 1, 1000.0, 1002.5, *BOARDS)
FAILED = replace(PASSED, case="b", line=2, verdict=Verdict.FAILED, exit_code=3)
LOST = replace(
    PASSED, case="c", line=3, verdict=Verdict.LOST, exit_code=None, reason="gone", attempts=2
)
NOT_RUN = CaseRecord("d", 4, "x", Verdict.CANCELLED, None, "it was not started", 0, None, 1003.0)
ALL = (PASSED, FAILED, LOST, NOT_RUN)


def summary_of(*records: CaseRecord, before: frozenset[str] = frozenset()) -> Summary:
    return Summary(records, before, began=1000.0, ended=1004.0, exit_code=1)


def test_what_has_not_passed_is_listed_and_all_are_counted() -> None:
    text = rendered(summary_of(*ALL), Paint(False))
    assert text.split("\n") == [
        "",
        "Case  Verdict  s     Job  Boards                    Result",
        "b     failed   2.50    7  big (0, 0, 0), (0, 0, 1)  exit code 3",
        "c     lost     2.50    7  big (0, 0, 0), (0, 0, 1)  gone",
        "",
        "Verdict    Cases  Mean s  Longest s",
        "passed         1    2.50       2.50",
        "failed         1    2.50       2.50",
        "lost           1    2.50       2.50",
        "cancelled      1",
        "",
        "3 cases in 4.0 s, 45/min; 1 case not started",
        "",
    ]


def test_when_all_have_passed_nothing_is_listed() -> None:
    text = rendered(summary_of(PASSED, before=frozenset("a")), Paint(False))
    assert text.split("\n")[1:] == [
        "Verdict  Cases  Mean s  Longest s",
        "passed       1    2.50       2.50",
        "",
        "0 cases in 4.0 s; 1 case taken from the joblog",
        "",
    ]


def test_a_long_list_and_a_long_reason_are_cut() -> None:
    records = [replace(FAILED, case=f"c{n}", reason="x" * 100) for n in range(MOST_LISTED + 2)]
    lines = rendered(summary_of(*records), Paint(False)).split("\n")
    assert lines[2].endswith("  " + "x" * 57 + "...")
    assert lines[MOST_LISTED + 2] == "(and 2 more: --joblog and --json have them all)"


def test_control_characters_are_spelled_out() -> None:
    text = rendered(summary_of(replace(FAILED, reason="\x1b[2J")), Paint(False))
    assert "\\x1b[2J" in text


def test_the_document_has_every_case_and_count() -> None:
    document = summary_of(*ALL, before=frozenset("a")).document()
    assert (document["began"], document["seconds"], document["exit_code"]) == (1000.0, 4.0, 1)
    assert document["counts"] == {
        "passed": 1, "failed": 1, "timed_out": 0, "no_boards": 0, "lost": 1, "cancelled": 1,
    }  # fmt: skip
    assert [case["case"] for case in document["cases"]] == list("abcd")
    assert [case["resumed"] for case in document["cases"]] == [True, False, False, False]


# -- JUnit XML ----------------------------------------------------------------------------


def suite_of(*records: CaseRecord, **outputs: tuple[str, str]) -> ElementTree.Element:
    content = junit_xml(records, outputs, 0.0, 4.0, "cases")
    assert content.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<testsuites ')
    (suite,) = ElementTree.fromstring(content)
    return suite


def test_every_case_is_counted_as_what_junit_calls_it() -> None:
    suite = suite_of(*ALL)
    assert suite.attrib == {
        "name": "cases", "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
        "time": "4.000", "timestamp": "1970-01-01T00:00:00+00:00",
    }  # fmt: skip
    kinds = [[child.tag for child in case if child.tag != "properties"] for case in suite]
    assert kinds == [[], ["failure"], ["error"], ["skipped"]]
    assert [case.get("time") for case in suite] == ["2.500", "2.500", "2.500", "0.000"]


def test_a_case_tells_its_boards() -> None:
    properties = {p.get("name"): p.get("value") for p in suite_of(PASSED).iter("property")}
    assert properties == {
        "job_id": "7", "machine": "big", "boards": "0,0,0 0,0,1", "hostnames": "h0 h1",
        "attempts": "1",
    }  # fmt: skip


@given(st.text(), st.text())
def test_whatever_is_written_is_xml_all_the_same(said: str, name: str) -> None:
    record = replace(FAILED, case=name, command=said or "x", reason=said)
    content = junit_xml([record], {name: (said, said)}, 0.0, 1.0, name)
    (suite,) = ElementTree.fromstring(content)
    assert len(suite) == 1
