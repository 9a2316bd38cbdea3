"""Whole programs: how they end, however they are patched, threaded and forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.transport import programs
from tests.transport.programs import PATCHED, run
from tests.transport.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.fixture(params=list(PATCHED))
def patched(request: pytest.FixtureRequest) -> tuple[str, str]:
    """What a program does before, and after, it imports the package."""
    return PATCHED[request.param]


# -- a program that computes ---------------------------------------------------------------


def test_a_computing_program_hands_over_promptly_while_it_holds_a_job(
    server: SimulatedServer, patched: tuple[str, str]
) -> None:
    before, after = patched
    said = run(
        server,
        after
        + """
with new_job(keepalive=60.0), new_client() as client:
    client.version()
    print(sys.getswitchinterval())
# Its last connection is closed: whatever ran for the job has ended.
print(sys.getswitchinterval())
""",
        first="import sys; sys.setswitchinterval(0.005);" + before,
    )
    assert said == "0.0005\n0.005\n"


# -- the end of a program ----------------------------------------------------------------


def test_a_program_ends_well_with_jobs_and_clients_held(
    server: SimulatedServer, patched: tuple[str, str]
) -> None:
    before, after = patched
    said = run(
        server,
        after
        + """
jobs = [new_job(keepalive=1.0) for _ in range(5)]
client = new_client()
client.notify_job()
print(len(client.list_jobs()), jobs[0].state.name)
""",
        first=before,
    )
    assert said == "5 ready\n"
    # Nothing of the program's was destroyed on the way out.
    assert server.command_counts["destroy_job"] == 0


def test_a_program_ends_well_with_its_jobs_destroyed(
    server: SimulatedServer, patched: tuple[str, str]
) -> None:
    before, after = patched
    said = run(
        server,
        after
        + """
with new_job(3) as job:
    print(job.state.name, job.width, job.height)
print(job.state.name)
""",
        first=before,
    )
    assert said == "ready 16 16\ndestroyed\n"
    assert server.command_counts["destroy_job"] == 1


def test_every_connection_is_closed_politely_as_the_interpreter_ends() -> None:
    with ScriptedServer() as server:
        run(
            server,
            """
            client = new_client()
            client.version()
            client.notify_job()
            """,
        )
        server.wait_until(lambda: server.open_connections == 0)
        assert [peer.end for peer in server.peers] == ["finished", "finished"]


def test_a_program_ends_politely_while_a_daemon_thread_is_calling() -> None:
    with ScriptedServer() as server:
        run(
            server,
            """
            import threading
            client, busy = new_client(), threading.Event()
            def work():
                while True:
                    client.version()
                    busy.set()
            threading.Thread(target=work, daemon=True).start()
            assert busy.wait(30)
            """,
        )
        server.wait_until(lambda: server.open_connections == 0)
        assert {peer.end for peer in server.peers} == {"finished"}


def test_ctrl_c_during_a_call_harms_no_other(server: SimulatedServer) -> None:
    said = run(
        server,
        """
        import os, signal
        from tests.transport.scripted_server import ScriptedServer
        interrupted = []
        def interrupt_once(peer, command):
            if command.name == "list_jobs" and not interrupted:
                interrupted.append(True)
                os.kill(os.getpid(), signal.SIGINT)
            else:
                peer.answer(command.name)
        with ScriptedServer(interrupt_once) as scripted:
            client = ProtocolClient(scripted.host, scripted.port).open()
            client.version()
            try:
                client.list_jobs()
            except KeyboardInterrupt:
                print("interrupted")
            scripted.peers[0].answer("late")
            print({client.version() for _ in range(10)})
            client.close()
        """,
    )
    assert said == "interrupted\n{'version'}\n"


def test_ctrl_c_during_the_only_call_hangs_up_politely() -> None:
    with ScriptedServer(lambda *_: None) as server:
        program = programs.PREAMBLE + (
            "try: new_client().list_jobs()\nexcept KeyboardInterrupt: print('interrupted')"
        )
        argv = [sys.executable, "-c", program, server.host, str(server.port)]
        with subprocess.Popen(
            argv, cwd=programs.ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            server.wait_until(lambda: server.commands)
            os.kill(process.pid, signal.SIGINT)
            server.wait_until(lambda: server.peers[0].end)
            said, _ = process.communicate()
    assert (said, process.returncode) == ("interrupted\n", 0)
    assert server.peers[0].end == "finished"


# -- a program that only asks --------------------------------------------------------------


def test_a_program_that_only_asks_needs_neither_gevent_nor_another_thread(
    server: SimulatedServer,
) -> None:
    said = run(
        server,
        """
        import os
        from spalloc_gevent.errors import SpallocServerException
        with new_client() as client:
            client.version(), client.list_jobs(), client.list_machines()
            client.where_is(machine="m", x=0, y=0, z=0), client.get_board_position("m", 0, 0, 0)
            number = client.create_job(owner="me", keepalive=None)
            client.job_keepalive(number)
            client.power_off_job_boards(number)
            client.power_on_job_boards(number)
            client.get_job_machine_info(number)
            client.destroy_job(number, "Enough.")
            print(client.get_job_state(number)["reason"], client.list_jobs())
            try:
                client.call("dance")
            except Exception as error:
                print(type(error).__name__)
            print(len(os.listdir("/proc/self/task")))
        print([name for name in ("gevent", "greenlet") if name in sys.modules])
        """,
    )
    assert said == "Enough. []\nConnectionLostError\n1\n[]\n"


def test_what_is_refused_here_is_refused_without_a_connection(server: SimulatedServer) -> None:
    said = run(
        server,
        """
        import os
        client = new_client()
        try:
            client.create_job(owner="me", machine="m", tags=["default"])
        except ValueError as error:
            print("only one of the two" in str(error), client.session.connections)
        """,
    )
    assert said == "True 0\n"


def test_a_program_ends_though_its_server_never_answers() -> None:
    with ScriptedServer(lambda *_: None) as server:
        said = run(
            server,
            """
            import contextlib, threading
            from spalloc_gevent import ProtocolTimeoutError
            from spalloc_gevent.errors import ClosedError
            client = new_client()
            try:
                client.version(timeout=0.2)
            except ProtocolTimeoutError:
                print("timed out")

            def ask():
                # Closed at exit, if the thread still runs then.
                with contextlib.suppress(ClosedError):
                    client.version()

            threading.Thread(target=ask, daemon=True).start()
            """,
        )
        assert said == "timed out\n"
        server.wait_until(lambda: server.open_connections == 0)
        assert {peer.end for peer in server.peers} == {"finished"}


def test_a_program_ends_well_with_a_daemon_thread_that_waits_for_its_job(
    server: SimulatedServer, patched: tuple[str, str]
) -> None:
    before, after = patched
    said = run(
        server,
        after
        + """
import threading
job = new_job()
job.wait_until_ready()
waiting = threading.Thread(target=job.wait_for_state_change, args=(JobState.ready,), daemon=True)
waiting.start()
print(job.state.name)
""",
        first=before,
    )
    assert said == "ready\n"


def test_a_program_that_raises_in_a_with_block_destroys_its_job(server: SimulatedServer) -> None:
    run(
        server,
        """
        try:
            with new_job():
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        """,
    )
    assert server.command_counts["destroy_job"] == 1


# -- who may use it ------------------------------------------------------------------------


def test_plain_threads_greenlets_and_threadpool_threads_use_one_client(
    server: SimulatedServer, patched: tuple[str, str]
) -> None:
    before, after = patched
    said = run(
        server,
        after
        + """
import threading, gevent
client, answers = new_client(), []

def ask():
    answers.append(client.version())

def greenlets():
    gevent.joinall([gevent.spawn(ask) for _ in range(5)], raise_error=True)

threads = [threading.Thread(target=work) for work in (ask, ask, greenlets, greenlets)]
for thread in threads:
    thread.start()
greenlets()
gevent.get_hub().threadpool.apply(ask)
for thread in threads:
    thread.join()
client.close()
print(len(answers), len(set(answers)))
""",
        first=before,
    )
    assert said == "18 1\n"


def test_a_waiting_greenlet_lets_the_others_of_its_thread_run(server: SimulatedServer) -> None:
    said = run(
        server,
        """
        import gevent
        client = new_client()
        client.notify_machine()
        waiting = gevent.spawn(client.wait_for_notification)
        gevent.sleep(0)
        print(client.version() != "", waiting.dead)
        with new_job():
            print(waiting.get(timeout=30))
        client.close()
        """,
    )
    assert said == "True False\n{'machines_changed': ['m']}\n"


def test_the_background_thread_ends_with_its_last_user(server: SimulatedServer) -> None:
    said = run(
        server,
        """
        import os, time
        def threads():
            return len(os.listdir("/proc/self/task"))
        def come_to(count):
            gives_up_at = time.monotonic() + 30
            while threads() != count and time.monotonic() < gives_up_at:
                time.sleep(0.01)
            return threads() == count
        print(come_to(1))
        first, second = new_client(), new_client()
        first.version(), second.version()
        print(come_to(1))
        first.notify_job(), second.notify_job()
        print(come_to(2))
        first.close()
        print(come_to(2), second.version() != "")
        second.close()
        print(come_to(1))
        """,
    )
    assert said.split() == ["True"] * 6


def test_a_forgotten_job_warns_and_is_kept_alive_no_more(server: SimulatedServer) -> None:
    said = run(
        server,
        """
        import gc, time, warnings
        observer = new_client()
        job = new_job(keepalive=0.4)
        number = job.id
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del job
            gc.collect()
        print([w.category.__name__ for w in caught], f"job {number}" in str(caught[0].message))
        gives_up_at = time.monotonic() + 30
        while observer.list_jobs() and time.monotonic() < gives_up_at:
            time.sleep(0.02)
        print(observer.list_jobs())
        observer.close()
        """,
    )
    assert said == "['ResourceWarning'] True\n[]\n"


# -- fork ----------------------------------------------------------------------------------

FORKED = """
import os
from spalloc_gevent.errors import ForkedError

def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        {leave}
    assert os.waitpid(pid, 0)[1] == 0
"""
LEAVE_BY_EXIT = "work(); sys.stdout.flush(); os._exit(0)"
LEAVE_BY_THE_END = "work(); sys.exit(0)"


@pytest.mark.parametrize("leave", [LEAVE_BY_EXIT, LEAVE_BY_THE_END])
def test_a_forked_child_leaves_its_parents_job_alone(server: SimulatedServer, leave: str) -> None:
    said = run(
        server,
        FORKED.format(leave=leave)
        + """
job = new_job(keepalive=1.0)
def use_and_end():
    try:
        job.state
    except ForkedError as error:
        print(f"job {job.id} belongs to the parent" in str(error))
    job.destroy()
    job.close()
in_child(use_and_end)
print(job.state.name)
job.destroy()
""",
    )
    assert said == "True\nready\n"
    assert server.command_counts["destroy_job"] == 1


def test_an_exception_in_a_childs_with_block_leaves_the_parents_job_alone(
    server: SimulatedServer,
) -> None:
    said = run(
        server,
        FORKED.format(leave="work()")
        + """
pid = None
try:
    with new_job() as job:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            raise ZeroDivisionError
        assert os.waitpid(pid, 0)[1] == 0
        print(job.state.name)
except ZeroDivisionError:
    assert pid == 0
""",
    )
    assert said == "ready\n"
    assert server.command_counts["destroy_job"] == 1


def test_parent_and_child_work_on_with_answers_of_their_own(server: SimulatedServer) -> None:
    said = run(
        server,
        FORKED.format(leave=LEAVE_BY_THE_END)
        + """
client, job = new_client(), new_job(keepalive=1.0)
client.version()
def work():
    inherited = {client.get_job_state(job.id)["state"] for _ in range(50)}
    with new_job() as own:
        print(inherited == {JobState.ready}, own.id != job.id, own.state.name)
in_child(work)
print({client.get_job_state(job.id)["state"] for _ in range(50)} == {JobState.ready})
print(job.state.name)
job.destroy()
client.close()
""",
    )
    assert said == "True True ready\nTrue\nready\n"
    assert server.command_counts["destroy_job"] == 2


def test_a_forked_child_leaves_its_parents_connection_alone(server: SimulatedServer) -> None:
    said = run(
        server,
        FORKED.format(leave=LEAVE_BY_THE_END)
        + """
client = new_client()
def versions():
    return len([client.version() for _ in range(10)])
print(versions(), client.session.connections)
in_child(lambda: print(versions(), client.session.connections))
print(versions(), client.session.connections)
client.close()
""",
    )
    assert said == "10 1\n" * 3


@pytest.mark.parametrize("first", ["", "from gevent import monkey; monkey.patch_all()"])
def test_a_multiprocessing_child_leaves_its_parents_job_alone(
    server: SimulatedServer, first: str
) -> None:
    said = run(
        server,
        """
        import multiprocessing
        job = new_job(keepalive=1.0)
        def work():
            with new_job() as own:
                print(own.state.name, flush=True)
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        print(child.exitcode, job.state.name)
        job.destroy()
        """,
        first=first,
    )
    assert said == "ready\n0 ready\n"


def test_the_parents_job_is_kept_alive_through_a_childs_life(server: SimulatedServer) -> None:
    said = run(
        server,
        FORKED.format(leave=LEAVE_BY_THE_END)
        + """
import time
job = new_job(keepalive=0.5)
in_child(lambda: time.sleep(1.5))
print(job.state.name)
job.destroy()
""",
    )
    assert said == "ready\n"
