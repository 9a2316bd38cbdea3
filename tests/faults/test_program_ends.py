"""Calls and jobs at the end: of a client, of an object, of the program."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import gevent
import pytest

from spalloc_gevent.errors import ClosedError
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import await_true, in_thread, job_of
from tests.faults.support import JobScript, ask, client_of
from tests.transport.programs import PREAMBLE, ROOT, run
from tests.transport.scripted_server import LONG_S, Command, Peer, ScriptedServer

# -- the program's own close() -----------------------------------------------------------------


def in_a_thread(call: Callable[[], object]) -> Callable[[], object]:
    outcome = in_thread(call)
    return lambda: outcome.result(LONG_S)


def in_a_greenlet(call: Callable[[], object]) -> Callable[[], object]:
    """A greenlet of a thread that has nothing else."""
    return in_a_thread(lambda: gevent.spawn(call).get())


def tells_of_closing(wait: Callable[[], object]) -> None:
    with pytest.raises(ClosedError) as caught:
        wait()
    assert "the server closed" not in str(caught.value)


def is_asked(server: ScriptedServer, number: int) -> None:
    server.wait_until(lambda: any(command.args == [number] for command in server.commands))


IN = pytest.mark.parametrize("begin", [in_a_thread, in_a_greenlet])


@IN
@pytest.mark.parametrize("name", ["get_job_state", "power_on_job_boards"])
def test_closing_a_client_ends_a_call_in_flight_with_closed_error(
    begin: Callable[..., Callable[[], object]], name: str
) -> None:
    with ScriptedServer(lambda *_: None) as server:
        client = client_of(server)
        wait = begin(lambda: client.call(name, 1))
        is_asked(server, 1)
        in_thread(client.close).result(LONG_S)
        tells_of_closing(wait)
        assert server.counts[name] == 1


@IN
def test_closing_a_client_ends_calls_that_wait_in_line_with_closed_error(
    begin: Callable[..., Callable[[], object]],
) -> None:
    with ScriptedServer(lambda *_: None) as server:
        client = client_of(server)
        waits = [begin(lambda: ask(client, 1)) for _ in range(20)]
        is_asked(server, 1)
        in_thread(client.close).result(LONG_S)
        for wait in waits:
            tells_of_closing(wait)


@IN
def test_closing_a_job_ends_a_question_in_flight_with_closed_error(
    begin: Callable[..., Callable[[], object]],
) -> None:
    asked = threading.Event()

    def silent(peer: Peer, command: Command) -> bool:
        asked.set()
        return True

    script = JobScript()
    with ScriptedServer(script) as server:
        job = job_of(server, keepalive=60.0, config_filenames=[])
        script.on_state = silent
        wait = begin(lambda: job.state)
        assert asked.wait(LONG_S)
        in_thread(job.close).result(LONG_S)
        tells_of_closing(wait)


# -- finalisers ------------------------------------------------------------------------------

# Each collection is the background thread's: only that makes objects while this one waits.
COLLECTED = """
import gc, threading
from gevent.monkey import get_original

kept_alive = [new_job(keepalive=3.0) for _ in range(5)]
main, collected_in = threading.get_ident(), []
gc.callbacks.append(lambda *_: collected_in.append(threading.get_ident()))
finished = get_original("_thread", "allocate_lock")()
finished.acquire()

class Boards:
    jobs = {}
    def __init__(self, number):
        self.number, self.itself = number, self
        self.jobs[number] = new_job(keepalive=600.0)
    def __del__(self):
        try:
            self.jobs.pop(self.number).destroy()
        finally:
            finished.release()

gc.disable()
gc.set_threshold(1)
enable, wait, disable = gc.enable, finished.acquire, gc.disable
for number in range(20):
    Boards(number)
    enable(); wait(True, 60); disable()
print(main in collected_in, Boards.jobs, flush=True)
sys.stdin.readline()
for job in kept_alive:
    job.destroy()
"""


def test_a_finaliser_that_destroys_its_job_may_run_in_the_background_thread(
    server: SimulatedServer,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + COLLECTED, server.host, str(server.port)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "False {}\n"
        try:
            await_true(lambda: len(server.jobs) == 5)
        finally:
            _, complaints = process.communicate("\n", timeout=LONG_S)
        assert complaints == ""


# -- exit hooks ------------------------------------------------------------------------------

HOOKS = {
    "atexit": """
        import atexit
        atexit.register(lambda: end())
        """,
    "ExitStack": """
        import atexit, contextlib
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        stack.callback(lambda: end())
        """,
    "weakref.finalize": """
        import weakref
        class Thing: pass
        thing = Thing()
        weakref.finalize(thing, lambda: end())
        """,
}

ENDS = """
job, client = new_job(keepalive=600.0), new_client()
client.version()

def end():
    print(job.state.name, client.version() != "")
    job.destroy()
    client.close()
"""


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"])
@pytest.mark.parametrize("hook", list(HOOKS))
def test_an_exit_hook_from_before_the_import_can_use_and_destroy_its_job(
    server: SimulatedServer, hook: str, patch: str
) -> None:
    said = run(server, ENDS, first=textwrap.dedent(HOOKS[hook]) + patch)
    assert said == "ready True\n"
    assert server.command_counts["destroy_job"] == 1
    assert server.jobs == []


# -- what is left to the interpreter ------------------------------------------------------------

LEFT_OPEN = {
    "with in a suspended generator": """
        def boards():
            with new_job(keepalive=600.0) as job:
                yield job

        held = boards()
        print(next(held).state.name)
        """,
    "__del__": """
        class Boards:
            def __init__(self):
                self.job = new_job(keepalive=600.0)
                self.job.wait_until_ready()

            def __del__(self):
                self.job.destroy()

        held = Boards()
        print(held.job.state.name)
        """,
}


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"])
@pytest.mark.parametrize("form", list(LEFT_OPEN))
def test_boards_are_given_back_by_what_ends_with_the_interpreter(
    server: SimulatedServer, form: str, patch: str
) -> None:
    assert run(server, textwrap.dedent(LEFT_OPEN[form]), first=patch) == "ready\n"
    assert server.command_counts["destroy_job"] == 1
    assert server.jobs == []
