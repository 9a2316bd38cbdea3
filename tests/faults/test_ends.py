"""However a program, a job or a command ends: bounded, harmless, and as itself.

Whole programs that end well, fork or forget a job are in tests/transport/test_processes.py,
signals to commands whose server is well in tests/cli/test_alloc.py.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from spalloc_gevent import Job, JobState
from spalloc_gevent.simulator import SimulatedServer
from tests.contract.support import await_true, in_thread, job_of, told_of
from tests.faults.proxy import ChaosProxy, End, Where
from tests.faults.support import JobScript, connected
from tests.transport.programs import STRICT
from tests.transport.scripted_server import LONG_S, ScriptedServer

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 0.3

PREAMBLE = """
import os, sys
HOST, PORT = sys.argv[1], int(sys.argv[2])
from spalloc_gevent import Job, JobState, ProtocolClient

def new_job(**options):
    return Job(hostname=HOST, port=PORT, owner="me", config_filenames=[], **options)
"""


def write(folder: Path, script: str) -> list[str]:
    """A program in a file, which a spawned child can import."""
    program = folder / "program.py"
    program.write_text(PREAMBLE + textwrap.dedent(script))
    return [sys.executable, *STRICT, str(program)]


def run(command: list[str], server: Where) -> str:
    done = subprocess.run(
        [*command, server.host, str(server.port)], cwd=ROOT, capture_output=True, text=True,
        timeout=2 * LONG_S, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# -- programs -------------------------------------------------------------------------------


def test_jobs_of_a_killed_program_expire_on_their_own_and_nothing_lingers(
    server: SimulatedServer, tmp_path: Path
) -> None:
    command = write(tmp_path, """
        import time
        jobs = [new_job(keepalive=0.5) for _ in range(5)]
        print("held", flush=True)
        time.sleep(600)
        """)  # fmt: skip
    with subprocess.Popen(
        [*command, server.host, str(server.port)], stdout=subprocess.PIPE, cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        # Held through several keepalives, and no longer than one after its end.
        await_true(lambda: server.command_counts["get_job_state"] >= 20)
        assert len(server.jobs) == 5
        process.kill()
    await_true(lambda: server.jobs == [])
    await_true(lambda: server.connections == 0)


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_a_multiprocessing_child_has_jobs_of_its_own(
    server: SimulatedServer, tmp_path: Path, how: str
) -> None:
    said = run(write(tmp_path, f"""
        import multiprocessing

        def work():
            with new_job(keepalive=5.0) as own:
                print(own.state.name, flush=True)

        if __name__ == "__main__":
            job = new_job(keepalive=5.0)
            child = multiprocessing.get_context({how!r}).Process(target=work)
            child.start()
            child.join()
            print(child.exitcode, job.state.name)
            job.destroy()
        """), server)  # fmt: skip
    assert said == "ready\n0 ready\n"
    assert server.command_counts["destroy_job"] == 2


def test_a_child_that_ends_in_any_way_leaves_its_parents_job_alone(
    server: SimulatedServer, tmp_path: Path
) -> None:
    said = run(write(tmp_path, """
        import signal
        with new_job(keepalive=5.0) as job:
            for leave in ("_exit", "kill", "raise"):
                pid = os.fork()
                if not pid:
                    if leave == "_exit":
                        os._exit(3)
                    if leave == "kill":
                        os.kill(os.getpid(), signal.SIGKILL)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                    raise ZeroDivisionError
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), job.state.name, flush=True)
        """), server)  # fmt: skip
    assert said == "3 ready\n-9 ready\n1 ready\n"
    assert server.command_counts["destroy_job"] == 1


@pytest.mark.parametrize("fate", ["refuse", "freeze", "swallow"])
def test_a_program_ends_promptly_and_silently_though_its_server_is_gone(
    server: SimulatedServer, proxy: ChaosProxy, tmp_path: Path, fate: str
) -> None:
    command = write(tmp_path, """
        job, client = new_job(keepalive=60.0), ProtocolClient(HOST, PORT).open()
        client.notify_job()
        print("held", flush=True)
        sys.stdin.readline()
        """)  # fmt: skip
    with subprocess.Popen(
        [*command, proxy.host, str(proxy.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        getattr(proxy, fate)()
        if fate != "freeze":
            proxy.cut(End.RST)
        assert process.communicate(b"\n", timeout=LONG_S) == (b"", b"")
        assert process.returncode == 0


# -- jobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["refuse", "freeze"])
def test_an_exception_inside_a_with_block_comes_out_as_itself_with_the_server_gone(
    server: SimulatedServer, proxy: ChaosProxy, fate: str
) -> None:
    job = job_of(proxy, timeout=TIMEOUT_S, config_filenames=[])

    def fail_inside() -> None:
        with job:
            getattr(proxy, fate)()
            proxy.cut(End.RST) if fate == "refuse" else None
            raise ZeroDivisionError("the user's own")

    with pytest.raises(ZeroDivisionError, match="the user's own"):
        in_thread(fail_inside).result(LONG_S)
    assert job.state is JobState.destroyed


ORDERS = [ends for n in (2, 3) for ends in itertools.product(("destroy", "close"), repeat=n)]


@pytest.mark.parametrize("ends", ORDERS)
def test_destroy_and_close_in_any_order_from_any_thread_end_with_the_server_frozen(
    proxy: ChaosProxy, ends: Sequence[str]
) -> None:
    job = job_of(proxy, timeout=TIMEOUT_S, keepalive=60.0, config_filenames=[])
    proxy.freeze(new=True)
    for outcome in [in_thread(getattr(job, end)) for end in ends]:
        assert outcome.result(LONG_S) is None
    for end in ends:
        getattr(job, end)()
    proxy.thaw()


@pytest.mark.parametrize("ends", ORDERS[:4])
def test_what_was_destroyed_first_is_destroyed_on_the_server_once(
    server: SimulatedServer, ends: Sequence[str]
) -> None:
    job = job_of(server, keepalive=60.0, config_filenames=[])
    for end in ends:
        getattr(job, end)()
    assert server.command_counts["destroy_job"] == (ends[0] == "destroy")
    state = told_of(server, job.id)["state"]
    assert state == (JobState.destroyed if ends[0] == "destroy" else JobState.ready)


def test_a_destroy_whose_answer_is_late_reaches_the_server_all_the_same(
    server: SimulatedServer, proxy: ChaosProxy
) -> None:
    job = job_of(proxy, timeout=TIMEOUT_S, keepalive=60.0, config_filenames=[])
    # Asked when it began; the destroy goes out over the same connection.
    await_true(lambda: server.command_counts["get_job_state"] > 0)
    await_true(lambda: "0 in-flight, 0 waiting" in repr(job._client.session))
    proxy.freeze(new=True)
    in_thread(job.destroy).result(LONG_S)
    proxy.thaw()
    await_true(lambda: server.jobs == [])


# -- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", [ChaosProxy.freeze, ChaosProxy.refuse])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_us_with_the_server_gone(
    proxy: ChaosProxy, tmp_path: Path, number: signal.Signals, fate: Callable[[ChaosProxy], None]
) -> None:
    alloc = [sys.executable, "-m", "spalloc_gevent", "alloc", "--timeout", str(TIMEOUT_S)]
    where = ["--hostname", proxy.host, "--port", str(proxy.port), "--owner", "me"]
    child = tmp_path / "pid"
    process = subprocess.Popen(
        [*alloc, *where, "-c", f"echo $$ > {child}.new; mv {child}.new {child}; exec sleep 600"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, start_new_session=True, text=True,
    )  # fmt: skip
    await_true(child.exists)
    fate(proxy)
    proxy.cut(End.RST)
    process.send_signal(number)
    _, complaints = process.communicate(timeout=LONG_S)
    assert process.returncode == 128 + number
    assert "Traceback" not in complaints
    assert not Path(f"/proc/{child.read_text().strip()}").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_that_waits_for_a_silent_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    with ScriptedServer(lambda *_: None) as silent:
        where = ["--hostname", silent.host, "--port", str(silent.port), "--owner", "me"]
        process = subprocess.Popen(
            [sys.executable, "-m", "spalloc_gevent", "alloc", *where, "--timeout", "60"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, text=True,
        )  # fmt: skip
        silent.wait_until(lambda: silent.counts["version"])
        process.send_signal(number)
        _, complaints = process.communicate(timeout=LONG_S)
    assert process.returncode == (4 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in complaints


def test_a_program_that_forgets_its_job_is_warned_by_its_number() -> None:
    with ScriptedServer(JobScript()) as server, connected(server):
        job = job_of(server, keepalive=60.0, config_filenames=[])
        with pytest.warns(ResourceWarning, match=f"job {job.id} was neither"):
            Job.__del__(job)
