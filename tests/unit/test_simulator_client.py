"""One client's bytes: in order, bounded, and counted."""

from __future__ import annotations

import pytest

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.simulator import client as client_module
from spalloc_gevent.simulator.client import Client
from spalloc_gevent.simulator.faults import Piece


@pytest.fixture
def client() -> Client:
    return Client(1, "127.0.0.1")


def test_commands_are_taken_one_after_another_each_when_the_last_is_answered(
    client: Client,
) -> None:
    client.take_in(b"one\ntwo\n")
    assert client.next_line() == b"one"
    client.answer([Piece(b"1\n")])
    assert client.next_line() is None
    client.piece_done()
    assert client.next_line() == b"two"


def test_commands_in_flight_are_those_not_answered(client: Client) -> None:
    client.take_in(b"one\n")
    client.next_line()
    assert client.in_flight == 1
    client.take_in(b"two\n")
    assert client.in_flight == 2
    client.answered()
    assert client.in_flight == 1


def test_answer_under_way_is_not_yet_given(client: Client) -> None:
    client.take_in(b"one\n")
    client.next_line()
    client.answer([Piece(b"", 0.5), Piece(b"1\n")])
    client.piece_done()
    assert client.in_flight == 1
    client.piece_done()
    assert client.in_flight == 0


def test_command_that_is_never_answered_stays_in_flight(client: Client) -> None:
    client.take_in(b"one\n")
    client.next_line()
    client.answer([])
    client.take_in(b"two\n")
    assert client.in_flight == 2
    assert client.next_line() == b"two"


def test_client_that_does_not_read_gets_no_more_answers(client: Client) -> None:
    client.take_in(b"one\n")
    client.sent(b"12345\n", 2)
    assert client.next_line() is None
    assert not client.wants_reading
    client.flushed(4)
    assert client.next_line() == b"one"
    assert client.wants_reading


def test_client_that_sends_too_much_is_not_read_for_a_while(client: Client) -> None:
    client.take_in(b"x\n" * client_module.MOST_WAITING_COMMANDS)
    assert not client.wants_reading
    client.next_line()
    assert client.wants_reading


def test_client_that_leaves_too_much_unread_is_overwhelmed(client: Client) -> None:
    client.sent(b"x" * (client_module.MOST_UNREAD_BYTES + 1), 0)
    assert client.overwhelmed


def test_command_without_end_is_a_protocol_error(client: Client) -> None:
    with pytest.raises(ProtocolError):
        client.take_in(b"x" * (client_module.MOST_COMMAND_BYTES + 1))


def test_ended_client_is_finished_when_it_has_had_its_answers(client: Client) -> None:
    client.take_in(b"one\n")
    client.ended = True
    assert not client.finished
    client.next_line()
    client.answer([Piece(b"1\n")])
    assert not client.finished
    client.piece_done()
    client.sent(b"1\n", 1)
    assert not client.finished
    client.flushed(1)
    assert client.finished


def test_notification_does_not_come_within_a_line(client: Client) -> None:
    client.answer([Piece(b'{"ret'), Piece(b'urn": 1}\n', 0.1)])
    assert client.may_interrupt()
    client.piece_done()
    client.sent(b'{"ret', 5)
    assert not client.may_interrupt()
    client.interrupt_later(b"news\n")
    client.piece_done()
    client.sent(b'urn": 1}\n', 9)
    assert client.next_piece() == Piece(b"news\n")


@pytest.mark.parametrize(
    ("pieces", "ended"),
    [
        ([b"one\n"], False),
        ([b"one\r\n", b"two\r\n"], False),
        ([b"\n"], True),
        ([b"\r\n"], True),
        ([b"one\n\n"], True),
        ([b"one", b"\n"], False),
        ([b"one\n", b"\r\n"], True),
    ],
)
def test_blank_line_ends_a_session_with_the_java_server(pieces: list[bytes], ended: bool) -> None:
    client = Client(1, "127.0.0.1", blank_line_ends=True)
    for piece in pieces:
        client.take_in(piece)
    assert client.ended == ended


def test_blank_line_means_nothing_to_the_python_server(client: Client) -> None:
    client.take_in(b"\n\r\n\n")
    assert not client.ended
    assert client.next_line() is None
