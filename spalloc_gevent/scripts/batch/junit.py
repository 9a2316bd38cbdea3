"""A campaign as JUnit XML, which continuous integration reads."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from spalloc_gevent.scripts.batch.records import CaseRecord, Verdict, counted

CLASS = "spalloc-batch"

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_KINDS = {
    Verdict.FAILED: "failure",
    Verdict.TIMED_OUT: "failure",
    Verdict.NO_BOARDS: "error",
    Verdict.LOST: "error",
    Verdict.CANCELLED: "skipped",
}
"""A failure is the case's own; an error is the surroundings'."""


def junit_xml(
    records: Sequence[CaseRecord],
    outputs: Mapping[str, tuple[str, str]],
    began: float,
    seconds: float,
    name: str,
) -> bytes:
    """The whole document.

    outputs: what cases have written to standard output and standard error, by their names.
    began: Unix time. name: what the campaign is called.
    """
    counts = counted(records)
    numbers = {
        "tests": len(records),
        "failures": counts[Verdict.FAILED] + counts[Verdict.TIMED_OUT],
        "errors": counts[Verdict.NO_BOARDS] + counts[Verdict.LOST],
        "skipped": counts[Verdict.CANCELLED],
        "time": f"{seconds:.3f}",
    }
    top = ElementTree.Element("testsuites", {key: str(value) for key, value in numbers.items()})
    when = datetime.datetime.fromtimestamp(began, datetime.timezone.utc)
    about = {"name": _text(name), "timestamp": when.strftime("%Y-%m-%dT%H:%M:%S+00:00")}
    suite = ElementTree.SubElement(top, "testsuite", {**top.attrib, **about})
    for record in records:
        add_case(suite, record, outputs.get(record.case, ("", "")))
    ElementTree.indent(top)
    text = ElementTree.tostring(top, "unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def add_case(suite: ElementTree.Element, record: CaseRecord, outputs: tuple[str, str]) -> None:
    """A case with its boards, its verdict and the ends of what it wrote."""
    about = {"classname": CLASS, "name": _text(record.case), "time": f"{record.seconds or 0.0:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", about)
    if record.boards:
        told = {
            "job_id": record.job_id,
            "machine": record.machine,
            "boards": " ".join(",".join(map(str, board)) for board in record.boards),
            "hostnames": " ".join(record.hostnames),
            "attempts": record.attempts,
        }
        properties = ElementTree.SubElement(case, "properties")
        for name, value in told.items():
            attributes = {"name": name, "value": _text(str(value))}
            ElementTree.SubElement(properties, "property", attributes)
    if record.verdict in _KINDS:
        message = {"message": _text(record.result or record.verdict.text)}
        kind = {} if record.verdict is Verdict.CANCELLED else {"type": record.verdict.value}
        element = ElementTree.SubElement(case, _KINDS[record.verdict], {**message, **kind})
        element.text = _text(record.command)
    for tag, written in zip(("system-out", "system-err"), outputs, strict=True):
        if written:
            ElementTree.SubElement(case, tag).text = _text(written)


def _text(text: str) -> str:
    """Text without what no XML may have."""
    return _NO_XML.sub("\ufffd", text)
