"""Native threads and greenlet threads do what they are given, and end when they are told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from spalloc_gevent.errors import SpallocError
from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.transport import native
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.threads import GreenletThread, Threads, start_thread
from spalloc_gevent.transport.waiting import ChangeCounter, hub_of_thread, sleep
from tests.contract.support import PATIENCE_S, await_true, native_threads
from tests.transport.programs import PATCHED, run


def test_work_runs_in_a_native_thread_that_ends_with_it() -> None:
    before = native_threads()
    where: list[int] = []
    ends = ChangeCounter()

    def work() -> None:
        where.append(native.thread_ident())
        ends.increment()

    start_thread(work)
    assert ends.wait_beyond(0)
    assert where != [native.thread_ident()]
    await_true(lambda: native_threads() <= before)


def test_the_hub_that_work_makes_is_freed_with_its_thread() -> None:
    hubs = []
    ends = ChangeCounter()

    def work() -> None:
        import gevent

        gevent.sleep(0)
        hubs.append(hub_of_thread())
        ends.increment()

    start_thread(work)
    assert ends.wait_beyond(0)
    await_true(lambda: hubs[0].dead)


def test_a_system_that_gives_no_thread_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(native, "start_thread", refuse)
    with pytest.raises(SpallocError, match="cannot start a thread: can't start new thread"):
        Threads().start(lambda: None)


@pytest.mark.parametrize(
    "begin", [lambda: Threads().start(print), lambda: BackgroundHub().acquire()]
)
def test_after_the_end_of_the_main_thread_the_cure_is_named(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[], object]
) -> None:
    """Python 3.12 starts no thread any more then."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(native, "start_thread", refuse)
    with pytest.raises(
        SpallocError, match=r"at interpreter shutdown; .* join\(\), or make a first job"
    ):
        begin()


def test_greenlets_of_one_thread_wait_beside_each_other() -> None:
    before = native_threads()
    thread = GreenletThread()
    meeting = ChangeCounter()
    idents: list[int] = []
    names: set[object] = set()

    def work() -> None:
        idents.append(native.thread_ident())
        names.add(thread.current())
        meeting.increment()
        # Nobody goes on before all have come: in one thread only greenlets can do that.
        while meeting.count < 20:
            meeting.wait_beyond(meeting.count)
        sleep(0)
        meeting.increment()

    for _ in range(20):
        thread.start(work)
    thread.close()
    await_true(lambda: meeting.count == 40)
    assert len(set(idents)) == 1
    assert len(names) == 20
    await_true(lambda: native_threads() <= before)


def test_threads_have_different_names() -> None:
    threads = Threads()
    mine = threads.current()
    others: list[object] = []
    both = threading.Barrier(3)

    def work() -> None:
        others.append(threads.current())
        both.wait(PATIENCE_S)

    for _ in range(2):
        threads.start(work)
    both.wait(PATIENCE_S)
    assert len({mine, *others}) == 3


CALLER = """
from spalloc_gevent.transport import native
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.threads import caller_in_this_thread, start_thread
from spalloc_gevent.transport.waiting import ChangeCounter
import threading
from collections.abc import Callable
mine = native.thread_ident()
called = threading.Event()
where = []

def call():
    where.append(native.thread_ident())
    called.set()

caller = caller_in_this_thread()
start_thread(lambda: caller(call))
# Patched, this wait is a greenlet's, and nothing else keeps the loop from ending.
called.wait()
print(where == [mine])
"""


@pytest.mark.parametrize("patched", list(PATCHED))
def test_a_call_comes_to_the_main_thread_of_a_patched_program(patched: str) -> None:
    before, after = PATCHED[patched]
    with SimulatedServer() as server:
        said = run(server, after + CALLER, first=before)
    assert said == f"{patched != 'never'}\n"
