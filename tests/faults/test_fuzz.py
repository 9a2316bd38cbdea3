"""Hypothesis looks for an order of events that gives anybody a wrong answer."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from spalloc_gevent.engine.call import Call
from spalloc_gevent.engine.outcome import NotSettledError

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.wire.conversation import Answer, Conversation, Swallowed
from spalloc_gevent.wire.lines import LineSplitter
from spalloc_gevent.wire.messages import Notification, Refused, Returned, decode_message
from tests.faults.proxy import ChaosProxy, End
from tests.faults.support import EXCUSED, client_of, own
from tests.transport.scripted_server import LONG_S, ScriptedServer

# -- the decoder ---------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_line_is_a_message_or_a_protocol_error(line: bytes) -> None:
    try:
        message = decode_message(line)
    except ProtocolError:
        return
    assert isinstance(message, Returned | Refused | Notification)


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 40))
def test_any_bytes_in_any_pieces_are_the_same_lines(pieces: list[bytes], most: int) -> None:
    def lines_of(chunks: list[bytes]) -> tuple[list[bytes], bool]:
        splitter, lines = LineSplitter(most), []
        try:
            for chunk in chunks:
                lines += list(splitter.lines(chunk))
        except ProtocolError:
            return [], False
        assert splitter.held_bytes <= most
        return lines, True

    whole = b"".join(pieces)
    assert lines_of(pieces) == lines_of([whole]) == lines_of([bytes([b]) for b in whole])


class DecoderMachine(RuleBasedStateMachine):
    """One conversation, fed in pieces, against what it must make of each message."""

    def __init__(self) -> None:
        super().__init__()
        self.talk: Conversation[int] = Conversation()
        self.number = 0
        self.waiting: int | None = None
        self.given_up = False
        self.sent = b""
        self.expected: list[Any] = []
        self.seen: list[Any] = []

    @precondition(lambda self: self.waiting is None and not self.sent)
    @rule()
    def send(self) -> None:
        self.number += 1
        self.waiting, self.given_up = self.number, False
        self.talk.sent(self.number)

    @precondition(lambda self: self.waiting is not None and not self.sent)
    @rule()
    def give_up(self) -> None:
        self.given_up = True
        self.talk.abandon()

    @precondition(lambda self: self.waiting is not None)
    @rule(
        value=st.one_of(st.none(), st.integers(), st.text()), blank=st.sampled_from([b"", b"\r\n"])
    )
    def answer(self, value: object, blank: bytes) -> None:
        assert self.waiting is not None
        kind = Swallowed if self.given_up else Answer
        self.expected.append(kind(self.waiting, Returned(value)))
        self.sent += blank + json.dumps({"return": value}, ensure_ascii=False).encode() + b"\r\n"
        self.waiting = None

    @rule(body=st.dictionaries(st.sampled_from(["jobs_changed", "x"]), st.integers(), max_size=2))
    def notify(self, body: dict[str, Any]) -> None:
        self.expected.append(Notification(body))
        self.sent += json.dumps(body).encode() + b"\n"

    @rule(size=st.integers(1, 50))
    def deliver(self, size: int) -> None:
        piece, self.sent = self.sent[:size], self.sent[size:]
        self.seen += self.talk.receive(piece)

    @invariant()
    def what_was_seen_is_what_was_sent_so_far(self) -> None:
        assert self.seen == self.expected[: len(self.seen)]

    def teardown(self) -> None:
        self.seen += self.talk.receive(self.sent)
        assert self.seen == self.expected
        if self.talk.in_flight is None:
            with pytest.raises(ProtocolError):
                self.talk.receive(b'{"return": 1}\n')


TestDecoder = DecoderMachine.TestCase
TestDecoder.settings = settings(max_examples=50, stateful_step_count=30)


# -- connections and the pool -----------------------------------------------------------------


class PoolMachine(RuleBasedStateMachine):
    """Calls over one client while a proxy does what networks do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.server = self.stack.enter_context(ScriptedServer())
        self.proxy = self.stack.enter_context(ChaosProxy(self.server))
        self.client = client_of(self.proxy)
        self.client.link.limit_retry_delay(0.05)
        self.number = 0
        self.open: dict[int, Call] = {}

    @rule(patient=st.booleans(), count=st.integers(1, 12))
    def begin(self, patient: bool, count: int) -> None:
        for _ in range(count):
            self.number += 1
            call = Call("get_job_state", (self.number,), patient=patient)
            self.client.link.begin(call)
            self.open[self.number] = call

    @rule()
    def ask_and_wait_a_little(self) -> None:
        self.number += 1
        with contextlib.suppress(*EXCUSED):
            answer = self.client.call("get_job_state", self.number, timeout=0.02)
            assert answer == own(self.number)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        self.client.link.give_up(self.open.pop(number))

    @rule(end=st.sampled_from(End))
    def cut(self, end: End) -> None:
        self.proxy.cut(end)

    @rule(up=st.booleans(), down=st.booleans(), new=st.booleans())
    def freeze(self, up: bool, down: bool, new: bool) -> None:
        self.proxy.freeze(to_server=up, to_client=down, new=new)

    @rule()
    def thaw(self) -> None:
        self.proxy.thaw()

    @rule(most=st.integers(1, 60))
    def truncate(self, most: int) -> None:
        self.proxy.truncate(most)

    @rule(data=st.sampled_from([b"no JSON\n", b'{"x": 1}\n', b"\n", b"[]\n"]))
    def inject(self, data: bytes) -> None:
        self.proxy.inject(data)

    @rule(most=st.sampled_from([None, 1, 10]))
    def pieces(self, most: int | None) -> None:
        self.proxy.pieces(most)

    @rule()
    def refuse(self) -> None:
        self.proxy.refuse()

    @rule()
    def accept(self) -> None:
        self.proxy.accept()

    @rule()
    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    @invariant()
    def nothing_is_pipelined(self) -> None:
        assert not self.proxy.counts["pipelined"]

    def teardown(self) -> None:
        with self.stack:
            self.proxy.thaw()
            self.proxy.accept()
            for number, call in self.open.items():
                self._settles(number, call)
            self.client.close()

    def _settles(self, number: int, call: Call) -> None:
        """Everybody hears something, and nobody what is another's."""
        with contextlib.suppress(*EXCUSED):
            try:
                assert call.outcome.wait(LONG_S) == own(number)
            except NotSettledError:
                raise AssertionError(f"call {number} is never settled: {self.client!r}") from None


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
