"""What faults make of an answer, and when they strike."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.simulator import (
    Delay,
    Drop,
    Duplicate,
    Fault,
    Garbage,
    NotificationFlood,
    Refuse,
    Silence,
    Split,
    Unsolicited,
)
from spalloc_gevent.simulator.faults import (
    CONNECT,
    FaultScript,
    Piece,
    answer_instead,
    reshaped,
)

ANSWER = b'{"return": null}\n'


def sent(*faults: Fault) -> bytes:
    """Everything that goes out instead of the answer."""
    return b"".join(piece.data or b"" for piece in reshaped(faults, ANSWER))


def test_without_faults_the_answer_goes_out_as_it_is() -> None:
    assert reshaped([], ANSWER) == [Piece(ANSWER)]
    assert reshaped([], b"") == []


def test_drop_hangs_up_after_or_before_the_command_is_carried_out() -> None:
    assert reshaped([Drop()], ANSWER) == [Piece(None)]
    assert answer_instead([Drop()]) is None
    assert answer_instead([Drop(before=True)]) == b""


def test_silence_carries_out_and_says_nothing() -> None:
    assert reshaped([Silence()], ANSWER) == []
    assert answer_instead([Silence()]) is None


def test_delay_comes_before_the_answer() -> None:
    assert reshaped([Delay(0.5)], ANSWER) == [Piece(b"", 0.5), Piece(ANSWER)]


def test_refusal_is_an_exception_and_carries_nothing_out() -> None:
    line = answer_instead([Delay(1.0), Refuse("no, thank you")])
    assert line is not None
    assert json.loads(line) == {"exception": "no, thank you"}


def test_garbage_takes_the_answers_place_and_a_pause_stays() -> None:
    assert sent(Garbage(b"\xff\n")) == b"\xff\n"
    assert reshaped([Delay(0.5), Garbage(b"x")], ANSWER) == [Piece(b"", 0.5), Piece(b"x")]
    assert reshaped([Delay(0.5), Drop()], ANSWER) == [Piece(b"", 0.5), Piece(None)]
    assert reshaped([Drop(), Garbage(b"x")], ANSWER) == [Piece(b"x"), Piece(None)]


def test_duplicate_and_unsolicited_answers_are_whole_lines() -> None:
    assert sent(Duplicate()) == 2 * ANSWER
    assert reshaped([Delay(0.5), Duplicate()], ANSWER)[1:] == [Piece(ANSWER), Piece(ANSWER)]
    assert sent(Unsolicited(7)) == ANSWER + b'{"return": 7}\n'
    assert sent(Unsolicited(7, before=True)) == b'{"return": 7}\n' + ANSWER


def test_flood_of_notifications_comes_before_the_answer() -> None:
    *flood, answer = sent(NotificationFlood(count=3)).splitlines(keepends=True)
    assert [json.loads(line) for line in flood] == [{"jobs_changed": [n]} for n in (1, 2, 3)]
    assert answer == ANSWER


@given(st.lists(st.integers(1, 30), max_size=8))
def test_split_answer_is_the_same_bytes_in_pieces_of_the_sizes_given(sizes: list[int]) -> None:
    pieces = reshaped([Split(tuple(sizes))], ANSWER)
    assert b"".join(piece.data or b"" for piece in pieces) == ANSWER
    lengths = [len(piece.data or b"") for piece in pieces]
    assert lengths[:-1] == sizes[: len(lengths) - 1]
    assert [piece.after_s > 0 for piece in pieces] == [False] + [True] * (len(pieces) - 1)


def test_fault_strikes_its_command_as_often_as_told() -> None:
    script = FaultScript([Drop(on="version", times=2), Silence(on="list_jobs", times=None)])
    assert [len(script.strike("version")) for _ in range(3)] == [1, 1, 0]
    assert script.left == (Silence(on="list_jobs", times=None),)
    assert all(script.strike("list_jobs") for _ in range(5))


def test_fault_on_any_command_spares_connections() -> None:
    script = FaultScript([Silence(times=1)])
    assert script.strike(CONNECT) == []
    assert script.strike("version") == [Silence(times=1)]


def test_equal_faults_count_separately() -> None:
    script = FaultScript([Delay(1.0), Delay(1.0)])
    assert script.strike("version") == [Delay(1.0), Delay(1.0)]
    assert script.left == ()


@pytest.mark.parametrize("times", [0, -1])
def test_fault_that_never_strikes_is_refused(times: int) -> None:
    with pytest.raises(ValueError, match="times"):
        Drop(times=times)


def test_fault_on_a_command_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="notify_jobs"):
        Drop(on="notify_jobs")


def test_faults_may_be_tied_to_commands_that_servers_hang_up_on() -> None:
    assert Drop(on="report_problem").fits("report_problem")
