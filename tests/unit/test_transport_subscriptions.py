"""Which commands bring a connection's subscriptions to what is wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.transport.notification_queue import Key, Kind
from spalloc_gevent.transport.subscriptions import MAX_SINGLE, Confirmed

job_ids = st.integers(1, 30)
wanted_keys = st.sets(st.one_of(st.none(), job_ids), max_size=MAX_SINGLE + 6)


class PythonServer:
    """The subscriptions of one connection as the Python server keeps them."""

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


def follow(confirmed: Confirmed, wanted: set[Key], server: PythonServer) -> int:
    """Carry out the commands, to the last; how many there were."""
    steps = 0
    while (step := confirmed.next_command(wanted)) is not None:
        server.carry_out(*step)
        confirmed.done(*step)
        steps += 1
        assert steps <= 200, "following the commands does not come to an end"
    return steps


@given(st.lists(wanted_keys, min_size=1, max_size=6))
def test_following_the_commands_covers_whatever_is_wanted(changes: list[set[Key]]) -> None:
    confirmed, server = Confirmed(Kind.JOB), PythonServer()
    for wanted in changes:
        follow(confirmed, wanted, server)
        assert all(server.tells_of(key) for key in wanted)
        assert not (None in confirmed.keys and len(confirmed.keys) > 1)
        assert len(confirmed.keys) <= MAX_SINGLE


@given(st.lists(wanted_keys, min_size=1, max_size=4))
def test_when_nothing_is_wanted_no_subscription_is_left(changes: list[set[Key]]) -> None:
    confirmed, server = Confirmed(Kind.JOB), PythonServer()
    for wanted in [*changes, set()]:
        follow(confirmed, wanted, server)
    assert confirmed.keys == set()
    assert not server.everything
    assert not server.ids


def test_a_few_are_subscribed_to_one_by_one_and_more_with_one_subscription_for_all() -> None:
    confirmed, server = Confirmed(Kind.JOB), PythonServer()
    assert follow(confirmed, set(range(MAX_SINGLE)), server) == MAX_SINGLE
    assert confirmed.keys == set(range(MAX_SINGLE))
    follow(confirmed, set(range(MAX_SINGLE + 1)), server)
    assert confirmed.keys == {None}


def test_many_wanted_at_once_cost_one_command() -> None:
    assert follow(Confirmed(Kind.JOB), set(range(300)), PythonServer()) == 1


def test_one_subscription_for_all_stays_while_anything_is_wanted() -> None:
    confirmed, server = Confirmed(Kind.JOB), PythonServer()
    follow(confirmed, set(range(300)), server)
    assert confirmed.next_command({1}) is None
    assert confirmed.next_command(set()) == ("no_notify_job", None)


def test_nothing_wanted_of_a_fresh_connection_needs_no_command() -> None:
    assert Confirmed(Kind.MACHINE).next_command(set()) is None


def test_machines_are_subscribed_to_by_their_own_commands() -> None:
    assert Confirmed(Kind.MACHINE).next_command({"m"}) == ("notify_machine", "m")
