"""On the Java server a destroyed job may live again when its program has ended: not for long."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spalloc_gevent.simulator import JavaOptions, SimulatedServer
from tests.contract.support import await_true, client_of, in_thread, job_of, results
from tests.transport.guardians import guardians_of
from tests.transport.programs import ROOT
from tests.transport.scripted_server import LONG_S

RUN_S = 1.5
"""A run of the allocator, which outlasts the program."""

ENDING = (
    # the end of main
    """
        from spalloc_gevent import Job
        Job(keepalive=600.0).destroy()
        """,
    # no exit hook at all
    """
        import os
        from spalloc_gevent import Job
        Job(keepalive=600.0).destroy()
        os._exit(0)
        """,
    # an exit hook from before the import
    """
        import atexit
        atexit.register(lambda: job.destroy())
        from spalloc_gevent import Job
        job = Job(keepalive=600.0)
        """,
    # with in a suspended generator
    """
        import contextlib
        from spalloc_gevent import Job

        def boards():
            with contextlib.ExitStack() as stack:
                job = Job(keepalive=600.0)
                stack.callback(job.destroy)
                yield job

        held = boards()
        next(held)
        """,
    # a command
    """
        import os
        from spalloc_gevent import ProtocolClient
        from spalloc_gevent.scripts import job
        where = os.environ["SPALLOC_HOSTNAME"], int(os.environ["SPALLOC_PORT"])
        with ProtocolClient(*where) as client:
            client.create_job(owner="me", keepalive=600.0)
        job.main(["1", "--destroy"])
        """,
)
INTERRUPTED = (
    # a group
    """
        from spalloc_gevent.batch import JobGroup
        with JobGroup(1) as group:
            list(group.as_ready())
        """,
    # an executor
    """
        from spalloc_gevent.batch import SpallocExecutor
        with SpallocExecutor() as executor:
            executor.submit(lambda job: job.id).result()
        """,
)
COMMANDS = (
    ["alloc", "-c", "true"],
    ["batch", "cases"],
)


class Program:
    """A program with a server of its own, whose allocator brings back what it works on."""

    def __init__(self, server: SimulatedServer, folder: Path, *arguments: str) -> None:
        self.server = server
        where = {"SPALLOC_HOSTNAME": server.host, "SPALLOC_PORT": str(server.port)}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **where, "SPALLOC_OWNER": "me", "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def interrupt(self) -> None:
        """Once its job is queued."""
        await_true(lambda: self.server.command_counts["create_job"] > 0)
        self._process.send_signal(signal.SIGINT)

    def end(self) -> str:
        """Wait for its end; what it said on standard error."""
        return self._process.communicate(timeout=LONG_S)[1]

    def has_left_nothing(self) -> bool:
        """Whether it has no job any more when the run of the allocator is over."""
        self.server.java = JavaOptions(revive="always")
        with job_of(self.server, keepalive=60.0, config_filenames=[]):
            pass
        await_true(lambda: not self.server.jobs)
        return True


@contextlib.contextmanager
def programs(folder: Path, argument_lists: Iterable[Sequence[str]]) -> Iterator[list[Program]]:
    """All at the same time: they mostly wait."""
    java = JavaOptions(revive="always", allocator_seconds=RUN_S)
    with contextlib.ExitStack() as stack:
        started = []
        for arguments in argument_lists:
            server = stack.enter_context(SimulatedServer(dialect="java", java=java))
            program = Program(server, folder, *arguments)
            started.append(stack.enter_context(contextlib.closing(program)))
        yield started


def test_a_program_that_ends_right_after_its_destroy_leaves_nothing(tmp_path: Path) -> None:
    with programs(tmp_path, [["-c", textwrap.dedent(script)] for script in ENDING]) as started:
        assert [program.end() for program in started] == [""] * len(ENDING)
        assert all(program.has_left_nothing() for program in started)


def test_a_program_that_is_interrupted_with_a_queued_job_leaves_nothing(tmp_path: Path) -> None:
    tmp_path.joinpath("cases").write_text("case true\n")
    scripts = [["-c", textwrap.dedent(script)] for script in INTERRUPTED]
    commands = [["-m", "spalloc_gevent", *command] for command in COMMANDS]
    with programs(tmp_path, [*scripts, *commands]) as started:
        results([in_thread(program.interrupt) for program in started])
        for program in started:
            program.end()
        assert all(program.has_left_nothing() for program in started)


def test_nothing_outlives_a_program_for_the_sake_of_the_python_server() -> None:
    before = guardians_of(os.getpid())
    with SimulatedServer() as server, client_of(server) as client:
        client.version()
        client.session.have_guardian_check(1, None)
    assert set(guardians_of(os.getpid())) <= set(before)
