"""The order of things on one connection, in whatever order and pieces the bytes come."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spalloc_gevent.errors import LifecycleBugError, ProtocolError, SpallocServerException
from spalloc_gevent.wire.messages import (
    ErrorReply,
    Message,
    Notification,
    Reply,
    encode_message,
    value_of,
)
from spalloc_gevent.wire.protocol_state import ProtocolState


class OneConnection(RuleBasedStateMachine):
    """A client that sends, a server that answers and notifies, a pipe that cuts.

    Both ends are kept as a plain record of what was sent and what the pipe still
    holds; the state has to agree with it at every step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = ProtocolState()
        self.commands = 0
        self.in_flight = False
        self.unanswered: int | None = None
        self.notices = 0
        self.pipe = b""
        self.under_way: deque[tuple[int, Message]] = deque()
        """What the pipe holds, each with the bytes from here to its end."""
        self.replies: list[Reply | ErrorReply] = []
        self.told: list[Notification] = []

    @precondition(lambda self: not self.in_flight)
    @rule()
    def send(self) -> None:
        self.commands += 1
        self.state.sent()
        self.in_flight = True
        self.unanswered = self.commands

    @precondition(lambda self: self.in_flight)
    @rule()
    def send_while_one_is_in_flight(self) -> None:
        with pytest.raises(LifecycleBugError):
            self.state.sent()

    @precondition(lambda self: self.unanswered is not None)
    @rule(refused=st.booleans(), end=st.sampled_from([b"\n", b"\r\n"]))
    def server_answers(self, refused: bool, end: bytes) -> None:
        mine = f"for command {self.unanswered}"
        self.server_says(ErrorReply(mine) if refused else Reply(mine), end)
        self.unanswered = None

    @rule(kind=st.sampled_from(["jobs_changed", "machines_changed", "unheard_of"]))
    def server_notifies(self, kind: str) -> None:
        self.notices += 1
        self.server_says(Notification({kind: [self.notices]}), b"\n")

    def server_says(self, message: Message, end: bytes) -> None:
        self.pipe += encode_message(message)[:-1] + end
        self.under_way.append((len(self.pipe), message))

    @rule(count=st.integers(0, 80))
    def some_bytes_arrive(self, count: int) -> None:
        piece, self.pipe = self.pipe[:count], self.pipe[count:]
        self.under_way = deque((end - len(piece), said) for end, said in self.under_way)
        expected: list[Message] = []
        while self.under_way and self.under_way[0][0] <= 0:
            expected.append(self.arrived(self.under_way.popleft()[1]))
        assert self.state.receive(piece) == expected

    def arrived(self, message: Message) -> Message:
        if isinstance(message, Notification):
            self.told.append(message)
        else:
            self.in_flight = False
            self.replies.append(message)
        return message

    @invariant()
    def it_knows_whether_a_reply_is_owed(self) -> None:
        assert self.state.in_flight == self.in_flight
        assert self.state.violation is None

    def teardown(self) -> None:
        self.some_bytes_arrive(len(self.pipe))
        assert not self.under_way
        assert [list(notice.body.values()) for notice in self.told] == [
            [[number]] for number in range(1, self.notices + 1)
        ]
        assert len(self.replies) == self.commands - self.in_flight
        for number, reply in enumerate(self.replies, 1):
            mine = f"for command {number}"
            assert reply in (Reply(mine), ErrorReply(mine))


TestAnyInterleavingGivesEveryCommandItsOwnReply = OneConnection.TestCase
TestAnyInterleavingGivesEveryCommandItsOwnReply.settings = settings(
    max_examples=40, stateful_step_count=25
)


def in_flight() -> ProtocolState:
    state = ProtocolState()
    state.sent()
    return state


def test_a_reply_split_across_reads_arrives_once() -> None:
    state = in_flight()
    assert state.receive(b'{"retu') == []
    assert state.in_flight
    assert state.receive(b'rn": "5.0.0"}\n') == [Reply("5.0.0")]
    assert not state.in_flight


def test_a_refusal_is_a_reply_too() -> None:
    state = in_flight()
    assert state.receive(b'{"exception": "no"}\n') == [ErrorReply("no")]
    assert not state.in_flight


def test_a_notification_between_command_and_reply_is_no_reply() -> None:
    assert in_flight().receive(b'{"jobs_changed": [1]}\n{"return": 2}\n{"what": 3}\n') == [
        Notification({"jobs_changed": [1]}),
        Reply(2),
        Notification({"what": 3}),
    ]


def test_a_second_command_in_flight_is_refused_and_changes_nothing() -> None:
    state = in_flight()
    with pytest.raises(LifecycleBugError, match="in flight"):
        state.sent()
    assert state.receive(b'{"return": 1}\n') == [Reply(1)]


@pytest.mark.parametrize(
    ("end", "known"), [(b"\n", False), (b"\r\n", True), (b"\r\n\n", True), (b"\n\r\n", True)]
)
def test_the_java_server_is_known_by_the_ends_of_its_lines(end: bytes, known: bool) -> None:
    state = in_flight()
    state.receive(b'{"return": 1}' + end)
    assert state.ends_lines_with_crlf == known


@pytest.mark.parametrize("cut_at", [1, 13, 14, 15, 30])
def test_the_java_server_is_known_however_its_lines_are_cut(cut_at: int) -> None:
    state = in_flight()
    sent = b'{"return": 1}\r\n{"jobs_changed": []'
    messages = [*state.receive(sent[:cut_at]), *state.receive(sent[cut_at:])]
    assert messages == [Reply(1)]
    assert state.ends_lines_with_crlf


@pytest.mark.parametrize("line", [b'{"return": 1}\n', b'{"exception": "x"}\n'])
def test_a_reply_that_nobody_asked_for_is_a_protocol_error_that_quotes_it(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="a question nobody asked: '") as caught:
        ProtocolState().receive(line)
    assert repr(line.decode().rstrip()) in str(caught.value)


def test_a_second_reply_is_nobodys_and_the_first_still_comes_out() -> None:
    state = in_flight()
    assert state.receive(b'{"return": 1}\n{"return": 2}\n') == [Reply(1)]
    assert "nobody asked" in str(state.violation)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b"nonsense\n", "invalid JSON"),
        (b"\xff\n", "invalid UTF-8"),
        (b"[]\n", "no object"),
        (b"x" * 200, "more than 100 bytes"),
        (b"x" * 200 + b"\n", "more than 100 bytes"),
    ],
)
def test_what_came_before_a_violation_still_comes_out_and_the_violation_afterwards(
    bad: bytes, what: str
) -> None:
    state = ProtocolState(max_line_bytes=100)
    state.sent()
    assert state.receive(b'{"jobs_changed": [1]}\n{"return": 1}\n' + bad) == [
        Notification({"jobs_changed": [1]}),
        Reply(1),
    ]
    with pytest.raises(ProtocolError, match=what):
        state.receive(b"")


@pytest.mark.parametrize("more", [b"", b'{"return": 1}\n', b'{"jobs_changed": [1]}\n'])
def test_after_a_violation_nothing_is_believed_any_more(more: bytes) -> None:
    state = in_flight()
    for data in (b"nonsense\n", more, more):
        with pytest.raises(ProtocolError, match="invalid JSON"):
            state.receive(data)


def test_the_value_of_a_reply_is_what_was_returned() -> None:
    assert value_of("version", Reply("5.0.0")) == "5.0.0"


def test_the_value_of_a_refusal_is_the_servers_exception() -> None:
    with pytest.raises(SpallocServerException, match=r"^no boards") as caught:
        value_of("create_job", ErrorReply("no boards"))
    assert (caught.value.command, caught.value.reason) == ("create_job", "no boards")
