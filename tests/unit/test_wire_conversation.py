"""What one connection owes whom: everyone their own answer, in whatever order things happen."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spalloc_gevent.errors import LifecycleBugError, ProtocolError, SpallocServerException
from spalloc_gevent.wire.conversation import Answer, Conversation, Swallowed, value_of
from spalloc_gevent.wire.messages import Notification, Refused, Returned, encode_message

Event = Answer[int] | Swallowed[int] | Notification


class OneConnection(RuleBasedStateMachine):
    """A client that calls and gives up, a server that answers and tells, a pipe that cuts.

    Both ends are kept as a plain record of who called and what the pipe still
    holds; the conversation has to agree with it at every step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.talk: Conversation[int] = Conversation()
        self.callers = 0
        self.waiting: int | None = None
        self.given_up = False
        self.unanswered: int | None = None
        self.notices = 0
        self.pipe = b""
        self.under_way: deque[tuple[int, Returned | Refused | Notification]] = deque()
        """What the pipe holds, each with the bytes from here to its end."""
        self.fates: dict[int, Event] = {}
        self.told: list[Notification] = []

    @precondition(lambda self: self.waiting is None)
    @rule()
    def call(self) -> None:
        self.callers += 1
        self.talk.sent(self.callers)
        self.waiting = self.unanswered = self.callers
        self.given_up = False

    @precondition(lambda self: self.waiting is not None)
    @rule()
    def call_while_one_is_in_flight(self) -> None:
        with pytest.raises(LifecycleBugError):
            self.talk.sent(-1)

    @rule()
    def abandon(self) -> None:
        self.talk.abandon()
        self.given_up = self.waiting is not None

    @precondition(lambda self: self.unanswered is not None)
    @rule(refused=st.booleans(), end=st.sampled_from([b"\n", b"\r\n"]))
    def server_answers(self, refused: bool, end: bytes) -> None:
        mine = f"for caller {self.unanswered}"
        self.server_says(Refused(mine) if refused else Returned({"for": mine}), end)
        self.unanswered = None

    @rule(kind=st.sampled_from(["jobs_changed", "machines_changed", "unheard_of"]))
    def server_notifies(self, kind: str) -> None:
        self.notices += 1
        self.server_says(Notification({kind: [self.notices]}), b"\n")

    def server_says(self, message: Returned | Refused | Notification, end: bytes) -> None:
        self.pipe += encode_message(message)[:-1] + end
        self.under_way.append((len(self.pipe), message))

    @rule(count=st.integers(0, 80))
    def some_bytes_arrive(self, count: int) -> None:
        piece, self.pipe = self.pipe[:count], self.pipe[count:]
        self.under_way = deque((end - len(piece), said) for end, said in self.under_way)
        expected: list[Event] = []
        while self.under_way and self.under_way[0][0] <= 0:
            expected.append(self.meaning_of(self.under_way.popleft()[1]))
        assert self.talk.receive(piece) == expected

    def meaning_of(self, message: Returned | Refused | Notification) -> Event:
        if isinstance(message, Notification):
            self.told.append(message)
            return message
        assert self.waiting is not None
        waiter, self.waiting = self.waiting, None
        kind = Swallowed[int] if self.given_up else Answer[int]
        self.given_up = False
        self.fates[waiter] = kind(waiter, message)
        return self.fates[waiter]

    @invariant()
    def it_knows_who_is_owed_an_answer(self) -> None:
        assert self.talk.in_flight == self.waiting
        assert self.talk.abandoned == self.given_up

    def teardown(self) -> None:
        self.some_bytes_arrive(len(self.pipe))
        assert not self.under_way
        assert [list(notice.body.values()) for notice in self.told] == [
            [[number]] for number in range(1, self.notices + 1)
        ]
        owed = set() if self.waiting is None else {self.waiting}
        assert set(self.fates) == set(range(1, self.callers + 1)) - owed
        for caller, fate in self.fates.items():
            assert isinstance(fate, Answer | Swallowed)
            mine = f"for caller {caller}"
            assert fate.reply in (Returned({"for": mine}), Refused(mine))


TestAnyInterleavingGivesEveryoneTheirOwnAnswer = OneConnection.TestCase
TestAnyInterleavingGivesEveryoneTheirOwnAnswer.settings = settings(
    max_examples=40, stateful_step_count=25
)


def in_flight(waiter: str = "mine") -> Conversation[str]:
    talk: Conversation[str] = Conversation()
    talk.sent(waiter)
    return talk


def test_a_reply_split_across_reads_arrives_once() -> None:
    talk = in_flight()
    assert talk.receive(b'{"retu') == []
    assert talk.receive(b'rn": "5.0.0"}\n') == [Answer("mine", Returned("5.0.0"))]
    assert talk.in_flight is None


def test_a_refusal_is_an_answer_too() -> None:
    assert in_flight().receive(b'{"exception": "no"}\n') == [Answer("mine", Refused("no"))]


def test_a_notification_between_command_and_answer_takes_nobodys_turn() -> None:
    talk = in_flight()
    assert talk.receive(b'{"jobs_changed": [1]}\n{"return": 2}\n{"what": 3}\n') == [
        Notification({"jobs_changed": [1]}),
        Answer("mine", Returned(2)),
        Notification({"what": 3}),
    ]


def test_an_abandoned_answer_is_swallowed_and_the_next_caller_gets_its_own() -> None:
    talk = in_flight("gave up")
    talk.abandon()
    assert (talk.in_flight, talk.abandoned) == ("gave up", True)
    assert talk.receive(b'{"return": "late"}\n') == [Swallowed("gave up", Returned("late"))]
    assert (talk.in_flight, talk.abandoned) == (None, False)
    talk.sent("next")
    assert talk.receive(b'{"return": "own"}\n') == [Answer("next", Returned("own"))]


def test_an_abandoned_command_keeps_the_next_from_being_sent() -> None:
    talk = in_flight()
    talk.abandon()
    with pytest.raises(LifecycleBugError, match="in flight"):
        talk.sent("next")
    assert talk.in_flight == "mine"
    assert talk.abandoned


def test_to_abandon_nothing_does_nothing_to_the_next_command() -> None:
    talk: Conversation[str] = Conversation()
    talk.abandon()
    talk.sent("mine")
    assert not talk.abandoned
    assert talk.receive(b'{"return": 1}\n') == [Answer("mine", Returned(1))]


@pytest.mark.parametrize("waiter", [0, "", False])
def test_a_waiter_that_is_false_is_a_waiter(waiter: object) -> None:
    talk: Conversation[object] = Conversation()
    talk.sent(waiter)
    with pytest.raises(LifecycleBugError):
        talk.sent("another")
    assert talk.receive(b'{"return": 1}\n') == [Answer(waiter, Returned(1))]


@pytest.mark.parametrize("line", [b'{"return": 1}\n', b'{"exception": "x"}\n'])
def test_an_answer_that_nobody_asked_for_is_a_protocol_error_that_quotes_it(line: bytes) -> None:
    talk: Conversation[str] = Conversation()
    with pytest.raises(ProtocolError, match="a question nobody asked: '") as caught:
        talk.receive(line)
    assert repr(line.decode().rstrip()) in str(caught.value)


def test_a_second_answer_is_nobodys_and_the_first_still_comes_out() -> None:
    events = in_flight().events(b'{"return": 1}\n{"return": 2}\n')
    assert next(events) == Answer("mine", Returned(1))
    with pytest.raises(ProtocolError, match="nobody asked"):
        next(events)


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
def test_what_came_before_a_violation_still_comes_out(bad: bytes, what: str) -> None:
    talk: Conversation[str] = Conversation(max_line_bytes=100)
    talk.sent("mine")
    events = talk.events(b'{"jobs_changed": [1]}\n{"return": 1}\n' + bad)
    assert next(events) == Notification({"jobs_changed": [1]})
    assert next(events) == Answer("mine", Returned(1))
    with pytest.raises(ProtocolError, match=what):
        next(events)


def test_the_value_of_an_answer_is_what_was_returned() -> None:
    assert value_of("version", Returned("5.0.0")) == "5.0.0"


def test_the_value_of_a_refusal_is_the_servers_exception() -> None:
    with pytest.raises(SpallocServerException, match="refused 'create_job': no boards") as caught:
        value_of("create_job", Refused("no boards"))
    assert (caught.value.command, caught.value.reason) == ("create_job", "no boards")
