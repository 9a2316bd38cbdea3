"""The parts of the engine and of jobs that need neither socket nor thread nor sleep."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spalloc_gevent.engine.arming import HANDFUL, Armed, Key, Kind
from spalloc_gevent.engine.backoff import retry_delays
from spalloc_gevent.engine.call import MOST_SENDS, Call
from spalloc_gevent.engine.inbox import MOST_NAMES, MOST_UNREAD, Inbox
from spalloc_gevent.engine.outcome import NotSettledError, Outcome
from spalloc_gevent.engine.queue import CallQueue
from spalloc_gevent.engine.reachability import IMPATIENT_PACE_S, Reachability
from spalloc_gevent.job.keepalive import EARLIEST_SHARE, LATEST_SHARE, LONGEST_ANSWER_S, Schedule

from spalloc_gevent.config import Config, load_config
from spalloc_gevent.errors import (
    ClosedError,
    ConnectionLostError,
    IncompatibleServerError,
    SpallocServerException,
)
from spalloc_gevent.job.request import REQUIREMENTS, check_keywords, job_request, server_options
from spalloc_gevent.wire.messages import Notification, Refused, Returned
from spalloc_gevent.wire.version import check_version


class SteppedClock:
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# -- backoff --------------------------------------------------------------------


def delays(count: int, jitter: float, first_s: float = 0.1, longest_s: float = 5.0) -> list[float]:
    return list(itertools.islice(retry_delays(first_s, longest_s, lambda: jitter), count))


def test_retry_delays_double_up_to_the_longest() -> None:
    assert delays(8, jitter=1.0) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_jitter_shortens_a_delay_to_half_of_it_at_most() -> None:
    assert delays(3, jitter=0.0) == pytest.approx([0.05, 0.1, 0.2])


def test_the_first_delay_is_never_more_than_the_longest() -> None:
    assert delays(2, jitter=1.0, first_s=3.0, longest_s=1.0) == [1.0, 1.0]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_every_delay_is_positive_and_bounded(jitters: list[float]) -> None:
    jitter = iter(jitters)
    found = itertools.islice(retry_delays(jitter=lambda: next(jitter)), len(jitters))
    assert all(0.05 <= delay_s <= 5.0 for delay_s in found)


# -- reachability ---------------------------------------------------------------


def reachability() -> Reachability:
    return Reachability(delays=lambda _: iter([1.0, 2.0, 4.0, 8.0]))


def test_a_server_counts_as_reachable_until_an_attempt_fails() -> None:
    reach = reachability()
    downs = [reach.down]
    assert reach.open_to_impatient(0.0)
    reach.failed(OSError("refused"), now=10.0)
    downs.append(reach.down)
    assert downs == [False, True]
    assert str(reach.error) == "refused"


def test_patient_callers_wait_for_the_delay_and_no_longer() -> None:
    reach = reachability()
    reach.failed(OSError(), now=10.0)
    assert reach.wait_s(10.25) == 0.75
    assert reach.wait_s(99.0) == 0.0


def test_impatient_callers_may_try_soon_but_not_at_once() -> None:
    reach = reachability()
    reach.failed(OSError(), now=10.0)
    assert not reach.open_to_impatient(10.0)
    assert not reach.open_to_impatient(10.0 + IMPATIENT_PACE_S / 2)
    assert reach.open_to_impatient(10.0 + IMPATIENT_PACE_S)


def test_a_connection_alone_does_not_start_the_delays_again() -> None:
    reach = reachability()
    reach.failed(OSError(), now=0.0)
    reach.connected()
    assert not reach.down
    reach.failed(OSError(), now=0.0)
    assert reach.wait_s(0.0) == 2.0


def test_an_answer_starts_the_delays_again() -> None:
    reach = reachability()
    reach.failed(OSError(), now=0.0)
    reach.connected()
    reach.answered()
    reach.failed(OSError(), now=0.0)
    assert reach.wait_s(0.0) == 1.0


def test_the_longest_delay_is_given_to_the_sequence_of_delays() -> None:
    asked: list[float] = []

    def record(longest_s: float) -> itertools.repeat[float]:
        asked.append(longest_s)
        return itertools.repeat(longest_s)

    reach = Reachability(longest_delay_s=0.5, delays=record)
    reach.failed(OSError(), now=0.0)
    assert asked == [0.5]
    assert reach.wait_s(0.0) == 0.5


def test_the_time_that_an_attempt_took_counts_as_delay() -> None:
    reach = reachability()
    reach.failed(OSError("no answer"), now=10.0, began_at=9.25)
    assert reach.wait_s(10.0) == 0.25
    reach.failed(OSError("no answer"), now=20.0, began_at=10.0)
    assert reach.wait_s(20.0) == 0.0


# -- queue ------------------------------------------------------------------------


def numbered(number: int, **rules: Any) -> Call:
    return Call("get_job_state", (number,), **rules)


def number_of(call: Call | None) -> int | None:
    return None if call is None else int(json.loads(call.line)["args"][0])


def taken(queue: CallQueue, now: float) -> list[int | None]:
    return [number_of(queue.take(now)) for _ in range(len(queue))]


def test_first_come_is_first_served() -> None:
    queue = CallQueue()
    for number in range(5):
        queue.append(numbered(number))
    assert taken(queue, now=0.0) == [0, 1, 2, 3, 4]
    assert queue.take(0.0) is None


def test_keepalives_that_are_late_go_first_the_latest_of_them_first() -> None:
    queue = CallQueue()
    for call in (numbered(0), numbered(1, urgent_at=7.0), numbered(2, urgent_at=5.0), numbered(3)):
        queue.append(call)
    assert taken(queue, now=9.0) == [2, 1, 0, 3]


def test_a_queue_knows_whether_a_keepalive_waits() -> None:
    queue = CallQueue()
    waits = [queue.has_urgent]
    for number, urgent_at in enumerate((None, 5.0)):
        queue.append(numbered(number, urgent_at=urgent_at))
        waits.append(queue.has_urgent)
    assert taken(queue, now=0.0) == [0, 1]
    queue.append(numbered(2))
    waits.append(queue.has_urgent)
    assert waits == [False, False, True, False]


def test_keepalives_that_are_not_late_wait_their_turn() -> None:
    queue = CallQueue()
    for call in (numbered(0), numbered(1, urgent_at=7.0), numbered(2)):
        queue.append(call)
    assert taken(queue, now=6.9) == [0, 1, 2]


def test_equally_late_keepalives_keep_their_order() -> None:
    queue = CallQueue()
    for number in range(4):
        queue.append(numbered(number, urgent_at=1.0))
    assert taken(queue, now=1.0) == [0, 1, 2, 3]


def test_a_call_that_lost_its_connection_goes_before_those_that_wait() -> None:
    queue = CallQueue()
    queue.append(numbered(1))
    queue.append_left(numbered(0))
    assert taken(queue, now=0.0) == [0, 1]


def test_a_call_taken_as_urgent_is_not_taken_a_second_time_in_order() -> None:
    queue = CallQueue()
    queue.append(numbered(0, urgent_at=0.0))
    queue.append(numbered(1))
    queue.append(numbered(2))
    assert taken(queue, now=1.0) == [0, 1, 2]
    assert len(queue) == 0


def test_a_call_put_back_after_its_urgent_turn_is_taken_once_more_and_only_once() -> None:
    queue = CallQueue()
    again = numbered(0, urgent_at=0.0)
    queue.append(again)
    queue.append(numbered(1))
    assert queue.take(1.0) is again
    queue.append_left(again)
    assert taken(queue, now=1.0) == [0, 1]
    assert queue.take(1.0) is None


def test_calls_that_nobody_waits_for_any_more_are_passed_over() -> None:
    queue = CallQueue()
    gone, settled, wanted = numbered(0), numbered(1), numbered(2)
    for call in (gone, settled, wanted):
        queue.append(call)
    gone.abandon()
    settled.outcome.settle(None)
    assert queue.take(0.0) is wanted
    assert len(queue) == 0


def test_a_call_that_outlives_its_caller_is_still_taken() -> None:
    queue = CallQueue()
    call = Call("destroy_job", (1,), outlives_caller=True)
    queue.append(call)
    call.abandon()
    assert queue.take(0.0) is call


def test_draining_gives_the_oldest_first_whatever_is_urgent() -> None:
    queue = CallQueue()
    for number in range(4):
        queue.append(numbered(number, urgent_at=float(-number)))
    assert [number_of(call) for call in queue.drain()] == [0, 1, 2, 3]
    assert len(queue) == 0


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=30), st.integers(0, 9))
def test_every_waiting_call_is_taken_exactly_once(urgents: list[int | None], now: int) -> None:
    queue = CallQueue()
    for number, urgent_at in enumerate(urgents):
        queue.append(numbered(number, urgent_at=None if urgent_at is None else float(urgent_at)))
    late = [n for n, u in enumerate(urgents) if u is not None and u <= now]
    others = [n for n in range(len(urgents)) if n not in late]
    expected = sorted(late, key=lambda n: (urgents[n], n)) + others
    assert taken(queue, float(now)) == expected


def steps_to_pass(calls: Sequence[Call]) -> int:
    """How many lines of code run while all calls go through a queue."""
    steps = 0

    def count(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        pass_all(calls)
    finally:
        sys.settrace(before)
    return steps


def pass_all(calls: Sequence[Call]) -> None:
    queue = CallQueue()
    for call in calls:
        queue.append(call)
    while queue.take(1.0) is not None:
        pass


def test_a_call_takes_the_same_few_steps_however_many_wait() -> None:
    calls = [numbered(n, urgent_at=float(n % 3)) for n in range(8_000)]
    assert steps_to_pass(calls) < 1.2 * 8 * steps_to_pass(calls[:1_000])


# -- calls ------------------------------------------------------------------------


def test_an_answer_settles_and_a_refusal_raises() -> None:
    call, refused = Call("version"), Call("version")
    call.answered(Returned("1!7.0.0"))
    refused.answered(Refused("no"))
    assert call.outcome.wait() == "1!7.0.0"
    with pytest.raises(SpallocServerException, match="no"):
        refused.outcome.wait()


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_late_answer_is_handed_to_whoever_looks_after_it_once(answered_first: bool) -> None:
    late: list[object] = []
    call = Call("create_job", (), {"owner": "me"}, late=late.append)
    steps = [call.abandon, lambda: call.answered(Returned(7)), call.abandon]
    for step in steps[1:] if answered_first else steps:
        step()
    assert late == [7]


def test_an_answer_in_time_is_nobody_elses() -> None:
    late: list[object] = []
    call = Call("create_job", (), {"owner": "me"}, late=late.append)
    call.answered(Returned(7))
    assert late == []
    assert call.outcome.wait() == 7


@pytest.mark.parametrize("name", ["create_job", "power_on_job_boards", "power_off_job_boards"])
def test_what_changes_something_twice_is_never_sent_again(name: str) -> None:
    kwargs = {"owner": "me"} if name == "create_job" else {"job_id": 1}
    assert not Call(name, (), kwargs).may_be_sent_again


def test_a_call_that_loses_every_connection_is_not_sent_for_ever() -> None:
    call = Call("version")
    for now in range(MOST_SENDS):
        assert call.may_be_sent_again
        call.sent(float(now))
    assert not call.may_be_sent_again


def test_a_lost_call_says_that_it_may_have_happened() -> None:
    call = Call("create_job", (), {"owner": "me"})
    call.lost("here:1", OSError("reset"))
    with pytest.raises(
        ConnectionLostError, match=r"here:1.*'create_job'.*may or may not"
    ) as caught:
        call.outcome.wait()
    assert caught.value.may_have_happened


def test_an_outcome_keeps_its_first_result() -> None:
    outcome: Outcome[int] = Outcome()
    with pytest.raises(NotSettledError):
        outcome.wait(0.0)
    outcome.settle(1)
    outcome.settle(2)
    outcome.fail(OSError())
    assert outcome.wait() == 1


# -- arming -----------------------------------------------------------------------

job_ids = st.integers(1, 30)
wanted_keys = st.sets(st.one_of(st.none(), job_ids), max_size=HANDFUL + 6)


class PythonServer:
    """The watches of one connection as the Python server keeps them (PROTOCOL: watches)."""

    def __init__(self) -> None:
        self.everything = False
        self.ids: set[Key] = set()

    def carry_out(self, command: str, key: Key) -> None:
        if command == "notify_job":
            self.everything |= key is None
            self.ids |= {key} - {None}
        elif key is None:
            self.everything = False
            self.ids.clear()
        else:
            self.ids.discard(key)

    def tells_of(self, key: Key) -> bool:
        return self.everything or key in self.ids


def follow(armed: Armed, wanted: set[Key], server: PythonServer) -> int:
    steps = 0
    while (step := armed.next_command(wanted)) is not None:
        server.carry_out(*step)
        armed.done(*step)
        steps += 1
        assert steps <= 200, "following the commands does not come to an end"
    return steps


@given(st.lists(wanted_keys, min_size=1, max_size=6))
def test_following_the_commands_covers_whatever_is_wanted(changes: list[set[Key]]) -> None:
    armed, server = Armed(Kind.JOB), PythonServer()
    for wanted in changes:
        follow(armed, wanted, server)
        assert all(server.tells_of(key) for key in wanted)
        assert not (None in armed.keys and len(armed.keys) > 1)
        assert len(armed.keys) <= HANDFUL


@given(st.lists(wanted_keys, min_size=1, max_size=4))
def test_when_nothing_is_wanted_no_watch_is_left(changes: list[set[Key]]) -> None:
    armed, server = Armed(Kind.JOB), PythonServer()
    for wanted in [*changes, set()]:
        follow(armed, wanted, server)
    assert armed.keys == set()
    assert not server.everything
    assert not server.ids


def test_a_handful_is_watched_one_by_one_and_more_with_one_watch_for_all() -> None:
    armed, server = Armed(Kind.JOB), PythonServer()
    assert follow(armed, set(range(HANDFUL)), server) == HANDFUL
    assert armed.keys == set(range(HANDFUL))
    follow(armed, set(range(HANDFUL + 1)), server)
    assert armed.keys == {None}


def test_many_wanted_at_once_cost_one_command() -> None:
    assert follow(Armed(Kind.JOB), set(range(300)), PythonServer()) == 1


def test_one_watch_for_all_stays_while_anything_is_wanted() -> None:
    armed, server = Armed(Kind.JOB), PythonServer()
    follow(armed, set(range(300)), server)
    assert armed.next_command({1}) is None
    assert armed.next_command(set()) == ("no_notify_job", None)


def test_nothing_wanted_of_a_fresh_connection_needs_no_command() -> None:
    assert Armed(Kind.MACHINE).next_command(set()) is None


def test_machines_are_watched_by_their_own_commands() -> None:
    assert Armed(Kind.MACHINE).next_command({"m"}) == ("notify_machine", "m")


# -- inbox ------------------------------------------------------------------------


def jobs_changed(*ids: object) -> Notification:
    return Notification({"jobs_changed": list(ids)})


def inbox_for(*wanted: tuple[Kind, Key]) -> Inbox:
    inbox = Inbox()
    inbox.wanted.update(wanted)
    return inbox


def read_all(inbox: Inbox) -> list[dict[str, Any]]:
    return list(iter(inbox.take_unread, None))


def test_notifications_are_read_in_the_order_they_came() -> None:
    inbox = inbox_for((Kind.JOB, None))
    for number in range(3):
        inbox.notified(jobs_changed(number))
    assert read_all(inbox) == [{"jobs_changed": [n]} for n in range(3)]


def test_a_notification_goes_to_one_waiter_the_first() -> None:
    inbox = inbox_for((Kind.JOB, None))
    first: Outcome[dict[str, Any]] = Outcome()
    second: Outcome[dict[str, Any]] = Outcome()
    inbox.take(first)
    inbox.take(second)
    inbox.notified(jobs_changed(1))
    assert first.wait(0.0) == {"jobs_changed": [1]}
    assert not second.settled


def test_a_waiter_that_has_given_up_gets_nothing() -> None:
    inbox = inbox_for((Kind.JOB, None))
    outcome: Outcome[dict[str, Any]] = Outcome()
    inbox.take(outcome)
    inbox.give_back(outcome)
    inbox.notified(jobs_changed(1))
    assert not outcome.settled
    assert read_all(inbox) == [{"jobs_changed": [1]}]


def test_what_a_waiter_got_as_it_gave_up_is_unread_again_and_in_front() -> None:
    inbox = inbox_for((Kind.JOB, None))
    outcome: Outcome[dict[str, Any]] = Outcome()
    inbox.take(outcome)
    inbox.notified(jobs_changed(1))
    inbox.notified(jobs_changed(2))
    inbox.give_back(outcome)
    assert read_all(inbox) == [{"jobs_changed": [1]}, {"jobs_changed": [2]}]


def test_the_owner_of_a_few_watches_is_told_of_those_only() -> None:
    inbox = inbox_for((Kind.JOB, 2), (Kind.JOB, 4))
    inbox.notified(jobs_changed(1, 2, 3, 4))
    inbox.notified(jobs_changed(5))
    assert read_all(inbox) == [{"jobs_changed": [2, 4]}]


def test_unread_notifications_are_bounded_and_their_news_is_kept() -> None:
    inbox = inbox_for((Kind.JOB, None))
    for number in range(MOST_UNREAD + 500):
        inbox.notified(jobs_changed(number))
    told = read_all(inbox)
    assert len(told) == MOST_UNREAD + 1
    assert told[-1] == {"jobs_changed": list(range(MOST_UNREAD, MOST_UNREAD + 500))}


def test_one_job_that_changes_for_ever_takes_no_more_memory() -> None:
    inbox = inbox_for((Kind.JOB, None))
    for _ in range(MOST_UNREAD + 5_000):
        inbox.notified(jobs_changed(1))
    told = read_all(inbox)
    assert told == [{"jobs_changed": [1]}] * (MOST_UNREAD + 1)


def test_the_names_in_a_folded_notification_are_bounded_the_latest_are_kept() -> None:
    inbox = inbox_for((Kind.JOB, None))
    for _ in range(MOST_UNREAD):
        inbox.notified(jobs_changed(0))
    inbox.notified(jobs_changed(*range(MOST_NAMES + 10)))
    last = read_all(inbox)[-1]
    assert last == {"jobs_changed": list(range(10, MOST_NAMES + 10))}


def test_jobs_and_machines_are_folded_apart() -> None:
    inbox = inbox_for((Kind.JOB, None), (Kind.MACHINE, None))
    for _ in range(MOST_UNREAD):
        inbox.notified(jobs_changed(0))
    inbox.notified(jobs_changed(1))
    inbox.notified(Notification({"machines_changed": ["m"]}))
    assert read_all(inbox)[MOST_UNREAD:] == [{"jobs_changed": [1]}, {"machines_changed": ["m"]}]


def test_what_names_no_job_in_a_notification_is_left_out() -> None:
    inbox = inbox_for((Kind.JOB, 1))
    inbox.notified(jobs_changed([], {}, None, 1))
    assert read_all(inbox) == [{"jobs_changed": [1]}]


@pytest.mark.parametrize("error", [ClosedError("closed"), OSError("reset")])
def test_a_lost_connection_fails_everyone_who_waits(error: Exception) -> None:
    inbox = inbox_for((Kind.JOB, None))
    outcome: Outcome[dict[str, Any]] = Outcome()
    inbox.take(outcome)
    inbox.lost(error)
    with pytest.raises(ClosedError if isinstance(error, ClosedError) else ConnectionLostError):
        outcome.wait(0.0)


# -- the schedule of keepalives -----------------------------------------------------


@pytest.mark.parametrize(("spread", "share"), [(0.0, EARLIEST_SHARE), (1.0, LATEST_SHARE)])
def test_a_keepalive_is_due_before_half_of_its_interval(spread: float, share: float) -> None:
    schedule = Schedule(60.0, SteppedClock(), lambda: spread)
    assert schedule.due_in() == pytest.approx(60.0 * share)
    assert schedule.due_in() <= 30.0


def test_an_answered_command_counts_from_when_it_was_sent() -> None:
    clock = SteppedClock()
    schedule = Schedule(60.0, clock, lambda: 1.0)
    clock.now += 10.0
    schedule.heard(clock.now - 4.0)
    assert schedule.due_in() == pytest.approx(26.0)


def test_an_answer_to_an_older_command_takes_nothing_back() -> None:
    clock = SteppedClock()
    schedule = Schedule(60.0, clock, lambda: 1.0)
    clock.now += 10.0
    schedule.heard(clock.now)
    schedule.heard(clock.now - 9.0)
    assert schedule.due_in() == pytest.approx(30.0)


def test_a_keepalive_that_is_overdue_is_due_at_once() -> None:
    clock = SteppedClock()
    schedule = Schedule(10.0, clock, lambda: 0.0)
    clock.now += 60.0
    assert schedule.due_in() == 0.0
    assert schedule.late_by == pytest.approx(50.0)


def test_a_keepalive_that_failed_is_due_again_soon_and_not_at_once() -> None:
    clock = SteppedClock()
    schedule = Schedule(10.0, clock, lambda: 1.0)
    clock.now += 5.0
    assert schedule.due_in() == 0.0
    schedule.failed()
    assert 0.0 < schedule.due_in() == pytest.approx(schedule.retry_within_s)


@given(st.floats(0.01, 1e6))
def test_a_server_that_is_away_is_tried_every_second_at_least(interval_s: float) -> None:
    assert Schedule(interval_s, SteppedClock()).retry_within_s < min(1.0, 0.1 * interval_s)


def test_a_keepalive_is_urgent_from_half_of_its_interval() -> None:
    clock = SteppedClock()
    assert Schedule(10.0, clock, lambda: 0.0).urgent_at == pytest.approx(clock.now + 5.0)


@given(st.floats(0.01, 1e6))
def test_there_is_time_for_another_try_before_the_interval_is_over(interval_s: float) -> None:
    schedule = Schedule(interval_s, SteppedClock(), lambda: 1.0)
    tries_s = 3 * schedule.answer_within_s
    assert schedule.due_in() + tries_s < interval_s
    assert schedule.answer_within_s <= LONGEST_ANSWER_S


# -- the server's version -----------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    ["0.1.0", "1!7.0.0", "7.0.0", "5.0.0", "5.0", "5", "7.99.99", "6.0.0-SNAPSHOT", " 5.0.0\n",
     "0.1", "2!0.1.0", "7.0.0.dev1", "1!7.0.0a2", "5.0.0.1"],
)  # fmt: skip
def test_versions_from_0_1_0_up_to_8_0_0_are_spoken_whatever_their_epoch(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize(
    "version", ["8.0.0", "8", "1!8.0.0", "0.0.9", "0.0", "0", "10.0.0", "banana", "", "!5.0.0", "v"]
)
def test_another_version_is_a_value_error_that_names_both(version: str) -> None:
    with pytest.raises(ValueError, match=r"0.1.0 up to, not including, 8.0.0") as caught:
        check_version(version)
    assert repr(version) in str(caught.value)
    assert isinstance(caught.value, IncompatibleServerError)


# -- requests -----------------------------------------------------------------------


def config(**values: Any) -> Config:
    plain = load_config([])
    return Config(**{**vars(plain), "hostname": "server", "owner": "me", **values})


def test_what_is_not_given_is_taken_from_the_configuration() -> None:
    request = job_request((3,), {}, config(min_ratio=0.5, max_dead_boards=2, keepalive=7.0))
    assert request.size == (3,)
    assert set(request.options) == set(REQUIREMENTS)
    assert request.options["owner"] == "me"
    assert request.options["min_ratio"] == 0.5
    assert request.options["max_dead_boards"] == 2
    assert request.keepalive_s == 7.0


@pytest.mark.parametrize("name", ["keepalive", "max_dead_boards", "max_dead_links"])
def test_an_explicit_none_is_a_value_and_not_given_is_another(name: str) -> None:
    configured = config(keepalive=7.0, max_dead_boards=2, max_dead_links=3)
    assert job_request((), {name: None}, configured).options[name] is None
    assert job_request((), {}, configured).options[name] is not None


def test_an_argument_counts_before_the_configuration() -> None:
    request = job_request((), {"owner": "you", "keepalive": 3.0}, config(keepalive=7.0))
    assert request.options["owner"] == "you"
    assert request.keepalive_s == 3.0


def test_an_owner_of_none_is_refused_though_one_is_configured() -> None:
    with pytest.raises(ValueError, match=r"no owner given.*SPALLOC_OWNER"):
        job_request((), {"owner": None}, config())


def test_a_missing_owner_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"owner=.*SPALLOC_OWNER.*configuration file"):
        job_request((), {}, config(owner=None))


def test_a_machine_given_overrides_the_configured_tags() -> None:
    options = job_request((), {"machine": "m"}, config(tags=("a",))).options
    assert (options["machine"], options["tags"]) == ("m", None)


def test_tags_given_override_the_configured_machine() -> None:
    options = job_request((), {"tags": ["a", "b"]}, config(machine="m")).options
    assert (options["machine"], options["tags"]) == (None, ["a", "b"])


def test_a_machine_given_as_none_leaves_the_configured_tags() -> None:
    options = job_request((), {"machine": None}, config(tags=("a",))).options
    assert (options["machine"], options["tags"]) == (None, ["a"])


def test_a_machine_and_tags_given_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"machine='m' and tags=.*only one of the two"):
        job_request((), {"machine": "m", "tags": ["a"]}, config())


def test_tags_are_sent_as_a_list_of_its_own() -> None:
    given_tags = ["a"]
    options = job_request((), {"tags": given_tags}, config()).options
    assert options["tags"] == ["a"]
    assert options["tags"] is not given_tags


@pytest.mark.parametrize(
    ("args", "error", "said"),
    [
        ((1, 2, 3, 4), ValueError, "4 numbers given"),
        ((0,), ValueError, "boards must be 1 or more, not 0"),
        ((-1,), ValueError, "boards must be 1 or more, not -1"),
        ((0, 2), ValueError, "width in triads must be 1 or more"),
        ((2, 0), ValueError, "height in triads must be 1 or more"),
        ((0, 0, 3), ValueError, "board z must be 0, 1 or 2"),
        ((0, -1, 0), ValueError, "board y must be 0 or more"),
        ((1.5,), TypeError, "boards must be a whole number, not 1.5"),
        (("3",), TypeError, "boards must be a whole number, not '3'"),
        ((True,), TypeError, "boards must be a whole number, not True"),
    ],
)
def test_a_size_that_cannot_be_is_refused(
    args: tuple[object, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        job_request(args, {}, config())


@pytest.mark.parametrize(
    ("given_options", "error", "said"),
    [
        ({"keepalive": 0}, ValueError, "keepalive must be more than 0"),
        ({"keepalive": "60"}, TypeError, "keepalive must be a finite number"),
        ({"keepalive": float("nan")}, ValueError, "keepalive must be a finite number"),
        ({"owner": "  "}, ValueError, "owner must not be blank"),
        ({"owner": 3}, TypeError, "owner must be text"),
        ({"tags": "abc"}, TypeError, "tags must be a list of text"),
        ({"tags": [1]}, TypeError, "1 is none"),
        ({"machine": 3}, TypeError, "machine must be the name"),
        ({"min_ratio": 1.5}, ValueError, "min_ratio must be from 0.0"),
        ({"min_ratio": None}, TypeError, "min_ratio must be a finite number"),
        ({"max_dead_boards": -1}, ValueError, "max_dead_boards .* must be 0 or more"),
        ({"max_dead_links": 1.0}, TypeError, "max_dead_links .* must be a whole number"),
        ({"require_torus": 1}, TypeError, "require_torus must be True or False"),
        ({"require_torus": True}, ValueError, "require_torus=True asks for a whole machine"),
    ],
)
def test_a_requirement_that_cannot_be_is_refused(
    given_options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        job_request((), given_options, config())


def test_a_keyword_that_no_job_has_is_named_with_those_it_has() -> None:
    with pytest.raises(TypeError, match=r"no keyword hostnam; it has .*hostname.*tags"):
        check_keywords({"hostnam": "x"})


def test_a_missing_hostname_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"hostname=.*SPALLOC_HOSTNAME.*configuration file"):
        server_options({}, config(hostname=None))


def test_the_server_is_taken_from_arguments_before_the_configuration() -> None:
    configured = config(port=1, timeout=5.0, ignore_version=True)
    assert server_options({}, configured).port == 1
    assert server_options({}, configured).timeout_s == 5.0
    options = server_options(
        {"hostname": "h", "port": 2, "timeout": None, "ignore_version": False}, configured
    )
    assert (options.hostname, options.port) == ("h", 2)
    assert options.timeout_s is None
    assert options.ignore_version is False


@pytest.mark.parametrize(
    ("given_options", "said"),
    [({"timeout": 0}, "timeout must be more than 0"), ({"reconnect_delay": -1}, "0 seconds or")],
)
def test_an_impossible_time_is_refused(given_options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        server_options(given_options, config())
