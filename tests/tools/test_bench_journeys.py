"""What an operation calls is counted right: in which threads, of which files, and when."""

from __future__ import annotations

import _thread
import importlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_size import lines_of
from benchmarks.journeys import Recorder, listed, recording

OUTER = """
from journeyed import inner

def outer():
    return [inner.double(number) for number in (1, 2)] + list(map(lambda one: one, "x"))
"""
INNER = """
def double(number):
    return 2 * number
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One with two modules, and a third in a folder that is left out."""
    folder = tmp_path / "journeyed"
    (folder / "aside").mkdir(parents=True)
    for name, text in (("__init__", ""), ("outer", OUTER), ("inner", INNER)):
        (folder / f"{name}.py").write_text(text)
    (folder / "aside" / "__init__.py").write_text(INNER)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "journeyed"]:
        del sys.modules[name]


@pytest.fixture
def recorder(package: Path) -> Iterator[Recorder]:
    recorder = Recorder(package, leave_out=["aside"])
    with recording(recorder):
        yield recorder


def function(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(importlib.import_module(f"journeyed.{module}"), name)
    return found


def test_functions_of_the_package_are_counted_in_order_and_parts_of_one_are_not(
    recorder: Recorder,
) -> None:
    outer = function("outer", "outer")
    journey = recorder.journey(outer)
    called = [("outer.py", "outer"), ("inner.py", "double"), ("inner.py", "double")]
    assert journey.calls == called
    assert journey.files == {"outer.py", "inner.py"}
    assert [line.split() for line in listed(journey)] == [
        ["outer.py", "outer"],
        ["inner.py", "double,", "double"],
    ]


def test_what_runs_before_and_after_the_operation_is_not_counted(recorder: Recorder) -> None:
    double = function("inner", "double")
    double(1)
    journey = recorder.journey(lambda: double(2))
    double(3)
    assert len(journey.calls) == 1


def test_a_folder_that_is_left_out_and_code_of_others_are_not_counted(recorder: Recorder) -> None:
    double = function("aside", "double")
    assert recorder.journey(lambda: (double(1), Path("x").with_name("y"))).calls == []


@pytest.mark.parametrize(
    "start",
    [
        lambda serve: _thread.start_new_thread(serve, ()),
        lambda serve: threading.Thread(target=serve).start(),
    ],
    ids=["_thread", "threading"],
)
def test_calls_of_a_thread_that_runs_already_are_counted_however_it_was_started(
    recorder: Recorder, start: Callable[[Callable[[], None]], object]
) -> None:
    double = function("inner", "double")
    asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def serve() -> None:
        while (number := asked.get()) is not None:
            answers.put(double(number))
        answers.put(None)

    def ask() -> None:
        asked.put(4)
        assert answers.get() == 8

    start(serve)
    journey = recorder.journey(ask)
    asked.put(None)
    assert answers.get() is None
    assert journey.calls == [("inner.py", "double")]


def test_lines_are_those_of_all_parts_that_there_are(package: Path) -> None:
    (package / "aside" / "notes.txt").write_text("no line of Python\n")
    # Three lines each, of which the first is empty.
    assert lines_of(package, ["aside", "inner.py", "not_there", "not_there.py"]) == 6
