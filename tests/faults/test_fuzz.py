"""Hypothesis looks for an order of events that gives anybody a wrong answer."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import ProtocolError, ProtocolTimeoutError
from spalloc_gevent.wire.lines import LineSplitter
from spalloc_gevent.wire.messages import ErrorReply, Notification, Reply, decode_message
from spalloc_gevent.wire.protocol_state import ProtocolState
from spalloc_gevent.wire.requests import Request
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
    assert isinstance(message, Reply | ErrorReply | Notification)


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
    """One connection's bytes, fed in pieces, against what must be made of each message."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ProtocolState()
        self.is_owed = False
        self.sent = b""
        self.expected: list[Any] = []
        self.seen: list[Any] = []

    @precondition(lambda self: not self.is_owed and not self.sent)
    @rule()
    def send(self) -> None:
        self.is_owed = True
        self.state.sent()

    @precondition(lambda self: self.is_owed)
    @rule(
        value=st.one_of(st.none(), st.integers(), st.text()), blank=st.sampled_from([b"", b"\r\n"])
    )
    def answer(self, value: object, blank: bytes) -> None:
        self.expected.append(Reply(value))
        self.sent += blank + json.dumps({"return": value}, ensure_ascii=False).encode() + b"\r\n"
        self.is_owed = False

    @rule(body=st.dictionaries(st.sampled_from(["jobs_changed", "x"]), st.integers(), max_size=2))
    def notify(self, body: dict[str, Any]) -> None:
        self.expected.append(Notification(body))
        self.sent += json.dumps(body).encode() + b"\n"

    @rule(size=st.integers(1, 50))
    def deliver(self, size: int) -> None:
        piece, self.sent = self.sent[:size], self.sent[size:]
        self.seen += self.state.receive(piece)

    @invariant()
    def what_was_seen_is_what_was_sent_so_far(self) -> None:
        assert self.seen == self.expected[: len(self.seen)]

    def teardown(self) -> None:
        self.seen += self.state.receive(self.sent)
        assert self.seen == self.expected
        assert self.state.in_flight is self.is_owed
        if not self.is_owed:
            with pytest.raises(ProtocolError):
                self.state.receive(b'{"return": 1}\n')


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
        self.client.session.pool.backoff.set_delay(0.05)
        self.number = 0
        self.asking: dict[int, gevent.Greenlet[..., Any]] = {}

    @rule(waits=st.booleans(), count=st.integers(1, 12))
    def begin(self, waits: bool, count: int) -> None:
        for _ in range(count):
            self.number += 1
            request = Request("get_job_state", (self.number,), wait_for_server=waits)
            call = self.client.session.call
            self.asking[self.number] = gevent.spawn(call, request, Deadline(LONG_S))

    @rule()
    def let_them_go_on(self) -> None:
        gevent.sleep(0.001)

    @rule()
    def ask_and_wait_a_little(self) -> None:
        self.number += 1
        with contextlib.suppress(*EXCUSED):
            answer = self.client.call("get_job_state", self.number, timeout=0.02)
            assert answer == own(self.number)

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.asking)))
        self.asking.pop(number).kill()

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
            gevent.joinall(list(self.asking.values()), 2 * LONG_S)
            for number, asking in self.asking.items():
                self._is_answered(number, asking)
            self.client.close()

    def _is_answered(self, number: int, asking: gevent.Greenlet[..., Any]) -> None:
        """Everybody hears something, and nobody what is another's."""
        assert asking.ready(), f"call {number} is never answered: {self.client!r}"
        if asking.exception is None:
            assert asking.value == own(number)
        else:
            assert isinstance(asking.exception, ProtocolError | ProtocolTimeoutError)


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
