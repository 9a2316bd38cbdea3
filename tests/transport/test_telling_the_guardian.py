"""The guardian's end in the program: what the process is told, and by which thread."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.transport import guardian as transport_guardian
from spalloc_gevent.transport.background import BackgroundHub
from spalloc_gevent.transport.connection import connect
from spalloc_gevent.transport.guardian import Guardian
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.messages import Reply
from spalloc_gevent.wire.requests import Request
from tests.cli.terminal import eventually, is_alive
from tests.transport.guardians import guardian_of, guardians_of, is_leader
from tests.transport.programs import ROOT, STRICT

T = TypeVar("T")

KEEPALIVE_S = 4.0
ME = os.getpid()


class Stage:
    """A background hub in use, its guardian, and a server whose jobs it may guard."""

    def __init__(self, hub: BackgroundHub, server: SimulatedServer) -> None:
        self.hub = hub
        self.server = server
        # Other hubs of this process, of tests before this one, may have guardians, too.
        eventually(lambda: all(map(is_leader, guardians_of(ME))), "no guardian that still starts")
        self._others = guardians_of(ME)

    @property
    def guardians(self) -> set[int]:
        """Those of this hub."""
        return set(guardians_of(ME)).difference(self._others)

    @property
    def guardian(self) -> int:
        """The one of this hub, once it runs."""
        return guardian_of(ME, self._others)

    def new_job(self, keepalive_s: float | None = KEEPALIVE_S) -> TrackedJob:
        """A job of the server's, which itself keeps it for ever."""
        request = Request("create_job", [1], {"owner": "me", "keepalive": None})
        connection = connect(self.server.host, self.server.port, math.inf)
        reply = connection.exchange(request, math.inf)
        connection.close()
        assert isinstance(reply, Reply)
        return TrackedJob(reply.value, Identity("me"), keepalive_s)

    def hold(self, *jobs: TrackedJob) -> bool:
        """Have them guarded; whether the guardian has heard of it."""
        return self.on_hub(self._hold, jobs)

    def _hold(self, guardian: Guardian, jobs: tuple[TrackedJob, ...]) -> bool:
        for job in jobs:
            guardian.hold(job, self.server.host, self.server.port)
        return guardian.wait_until_told()

    def drop(self, job: TrackedJob) -> None:
        self.on_hub(lambda guardian: guardian.drop(job))

    def on_hub(self, fn: Callable[..., T], *args: Any) -> T:
        return self.hub.run(lambda: fn(self.hub.singleton(Guardian), *args))

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """With the background thread held up."""
        go_on = threading.Event()
        self.hub.call_soon(go_on.wait)
        try:
            yield
        finally:
            go_on.set()

    def _kept(self, since: int) -> Counter[int]:
        seen = self.server.commands_seen[since:]
        return Counter(command.args[0] for command in seen if command.name == "job_keepalive")

    def keeps(self, *jobs: TrackedJob) -> bool:
        """Whether the guardian keeps these jobs, and no others, for a hub that is held up."""
        before = len(self.server.commands_seen)
        with self.blocked():
            # The second round tells that the first has left none out.
            eventually(lambda: max(self._kept(before).values(), default=0) > 1, "keepalives")
        return set(self._kept(before)) == {job.job_id for job in jobs}


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.fixture
def stage(server: SimulatedServer) -> Iterator[Stage]:
    stage = Stage(BackgroundHub(), server)
    stage.hub.acquire()
    try:
        yield stage
    finally:
        stage.hub.end()
        eventually(lambda: not stage.guardians, "the end of the guardian")


def test_the_jobs_that_are_held_are_kept_while_the_hub_is_held_up(stage: Stage) -> None:
    one, other, dropped = stage.new_job(), stage.new_job(), stage.new_job()
    assert stage.hold(one, other, dropped)
    stage.drop(dropped)
    assert stage.keeps(one, other)


def test_a_hub_that_was_held_up_is_told_of_though_the_job_is_dropped_at_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    job = stage.new_job(KEEPALIVE_S / 2)
    stage.hold(job)
    with stage.blocked():
        stage.hub.call_soon(lambda: stage.hub.singleton(Guardian).drop(job))
        # After the first one it depends on a millisecond whether that was too long.
        eventually(lambda: stage.server.command_counts["job_keepalive"] > 1, "keepalives")
    stage.on_hub(lambda guardian: guardian.wait_until_told())
    # On a busy machine it may have been held up before that as well.
    *_, message = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert message.startswith("the program kept the background thread from running for ")
    assert message.endswith(" s; the guardian stood in for it")


def test_a_job_without_a_keepalive_needs_no_guardian(stage: Stage) -> None:
    assert stage.hold(stage.new_job(None))
    assert not stage.guardians


def test_what_becomes_known_of_a_job_later_is_told_too(stage: Stage) -> None:
    ours, lost = stage.new_job(), stage.new_job()
    stage.hold(ours, lost)
    lost.learn_start(1.5)
    stage.hold(lost)
    assert stage.keeps(ours)


def test_a_job_with_two_holders_is_guarded_until_both_have_dropped_it(stage: Stage) -> None:
    job, witness = stage.new_job(), stage.new_job()
    again = TrackedJob(job.job_id, job.identity, job.keepalive_s)
    stage.hold(job, again, witness)
    stage.drop(job)
    assert stage.keeps(again, witness)
    stage.drop(again)
    assert stage.keeps(witness)


def test_a_keepalive_for_ever_does_not_leave_the_others_without_a_guardian(stage: Stage) -> None:
    stage.hold(stage.new_job(float(sys.maxsize)))
    first = stage.guardian
    job = stage.new_job()
    stage.hold(job)
    assert stage.keeps(job)
    assert stage.guardian == first


def test_the_next_background_thread_goes_on_with_the_same_process(stage: Stage) -> None:
    stage.hold(stage.new_job())
    first = stage.guardian
    stage.hub.release(wait_s=60.0)
    stage.hub.acquire()
    job = stage.new_job()
    stage.hold(job)
    assert stage.guardian == first
    assert stage.keeps(job)


def test_a_thread_that_ends_late_does_not_drop_the_jobs_of_the_next(stage: Stage) -> None:
    end = threading.Event()
    old, new = stage.new_job(), stage.new_job()
    stage.hub.run(stage.hub.add_cleanup, end.wait)
    stage.hold(old)
    stage.hub.release()
    stage.hub.acquire()
    stage.hold(new)
    end.set()
    assert stage.keeps(new)
    assert stage.keeps(new)


def test_one_that_was_killed_is_followed_by_another_which_is_told_all(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_guardian, "REST_AFTER_FAILURE_S", 0.0)
    job = stage.new_job()
    stage.hold(job)
    first = stage.guardian
    os.kill(first, signal.SIGKILL)
    eventually(lambda: stage.guardians - {first}, "another guardian")
    assert stage.keeps(job)


def test_however_long_the_keepalives_are_another_one_follows_when_its_end_is_noticed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport_guardian, "REST_AFTER_FAILURE_S", 0.0)
    caplog.set_level("INFO")
    stage.hold(stage.new_job(float(sys.maxsize)))
    first = stage.guardian
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not is_alive(first), "its end")
    # That is told to nobody; but it is found out, and nothing is to be told soon after that.
    stage.hold(stage.new_job(float(sys.maxsize)))
    eventually(lambda: stage.guardians - {first}, "another guardian")
    assert "the guardian has ended: " in caplog.text
    job = stage.new_job()
    stage.hold(job)
    assert stage.keeps(job)


def test_one_that_does_not_read_is_not_waited_for_long_and_reads_it_all_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_guardian, "LONGEST_TELLING_S", 0.1)
    jobs = [stage.new_job()]
    stage.hold(*jobs)
    process = stage.guardian
    os.kill(process, signal.SIGSTOP)
    try:
        # More than the socket takes.
        jobs += [stage.new_job() for _ in range(20)]
        while stage.hold(*jobs):
            pass
    finally:
        os.kill(process, signal.SIGCONT)
    monkeypatch.setattr(transport_guardian, "LONGEST_TELLING_S", 60.0)
    assert stage.hold()
    assert stage.keeps(*jobs)


def test_a_forked_child_leaves_the_guardian_to_its_parent_and_has_one_of_its_own(
    stage: Stage,
) -> None:
    script = """
import os, signal, sys
from spalloc_gevent.transport.background import default_background as hub
from spalloc_gevent.transport.guardian import Guardian
from spalloc_gevent.transport.tracked_jobs import TrackedJob
from spalloc_gevent.wire.identity import Identity

def hold():
    guardian = hub.singleton(Guardian)
    guardian.hold(TrackedJob(1, Identity("me"), 60.0), "127.0.0.1", 1)
    return guardian.wait_until_told()

def sockets():
    names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.readlink(n).startswith("socket:") for n in names if os.path.lexists(n))

hub.acquire()
assert hub.run(hold)
print(sockets(), flush=True)
pid = os.fork()
if pid == 0:
    print(sockets(), flush=True)
    hub.acquire()
    assert hub.run(hold)
    print(os.getpid(), flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, *STRICT, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        said = [program.stdout.readline().strip() for _ in range(3)]
        assert said[:2] == ["1", "0"]
        parents, childs = guardian_of(program.pid), guardian_of(int(said[2]))
        assert parents != childs
        _, errors = program.communicate("")
    assert (program.returncode, errors) == (0, "")
    eventually(lambda: not is_alive(parents) and not is_alive(childs), "the end of both")


def test_the_process_imports_nothing_but_what_it_needs() -> None:
    script = f"""
import sys
sys.path.append({str(ROOT)!r})
import spalloc_gevent.guardian.process
print(*sorted(name for name in sys.modules if name.startswith("spalloc_gevent.")))
print(*{{"gevent", "greenlet", "argparse", "asyncio", "ssl", "subprocess"}} & set(sys.modules))
"""
    python = [sys.executable, "-I", "-S", "-c", script]
    said = subprocess.run(python, capture_output=True, text=True, check=True).stdout
    ours, others = said.split("\n")[:2]
    folders = {name.split(".")[1] for name in ours.split()}
    assert folders == {
        "_version",
        "address",
        "deadline",
        "errors",
        "geometry",
        "guardian",
        "states",
        "transport",
        "wire",
    }
    transport = {name for name in ours.split() if ".transport." in name}
    needed = (
        "backoff",
        "connection",
        "database",
        "destroy_checks",
        "native",
        "server_kind",
        "waiting",
    )
    assert transport == {f"spalloc_gevent.transport.{name}" for name in needed}
    assert others == ""
