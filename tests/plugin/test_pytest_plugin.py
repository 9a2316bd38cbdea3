"""The pytest plugin, in suites of its own: on either server, in processes, forked, timed out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.contract.conftest import MakeServer
from tests.contract.conftest import make_server as make_server
from tests.contract.conftest import make_simulated_server as make_simulated_server
from tests.contract.conftest import pytest_generate_tests as pytest_generate_tests
from tests.contract.support import (
    ONE_TRIAD,
    PATIENCE_S,
    Server,
    await_true,
    job_of,
    listed,
)
from tests.transport.programs import ROOT

PROMPT_S = 100.0
PLUGINS = [f"-p{name}" for name in ("xdist", "pytest_forked", "pytest_timeout")]
"""Those that a suite here uses; the others of this environment take a second to load."""
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?)")


class Run:
    """How a run of pytest ended."""

    def __init__(self, code: int, said: str, complained: str) -> None:
        self.code = code
        self.said = said
        self.complained = complained
        last = said.rstrip().rpartition("\n")[2]
        self.counts = {word: int(count) for count, word in COUNTS.findall(last)}


class Suite:
    """Tests in a folder of their own, and runs of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.joinpath("pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
        plugins = 'pytest_plugins = ["spalloc_gevent.pytest_plugin"]\n'
        folder.joinpath("conftest.py").write_text(plugins)

    def write(self, tests: str) -> None:
        head = "import os, time\nimport pytest\nfrom spalloc_gevent import Job\n\n"
        self.folder.joinpath("test_it.py").write_text(head)
        self.add(tests)

    def add(self, tests: str) -> None:
        with self.folder.joinpath("test_it.py").open("a") as file:
            file.write(textwrap.dedent(tests))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        python = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *PLUGINS]
        return subprocess.Popen(
            [*python, *arguments],
            cwd=self.folder,
            # Where CI is set, pytest repeats in its summary what it has said.
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "CI": "",
                "BUILD_NUMBER": "",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As at a terminal, where Ctrl+C is not ignored.
            start_new_session=True,
        )

    def run(self, *arguments: str) -> Run:
        with self.start(*arguments) as process:
            said, complained = process.communicate(timeout=PROMPT_S)
        return Run(process.returncode, said, complained)

    def run_on(self, server: Server, *arguments: str) -> Run:
        return self.run(*where(server), *arguments)


def where(server: Server) -> list[str]:
    at = [f"--spalloc-hostname={server.host}", f"--spalloc-port={server.port}"]
    return [*at, "--spalloc-owner=me"]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server()


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    with SimulatedServer() as server:
        yield server


TWO_KINDS = """
    def test_own(spalloc_job):
        assert spalloc_job.state.name == "ready"

    @pytest.mark.spalloc(boards=3)
    def test_marked(spalloc_job):
        assert len(spalloc_job.boards) == 3

    @pytest.mark.parametrize("n", range(3))
    def test_shared(spalloc_session_job, n):
        print("shared", spalloc_session_job.id)
"""


def test_boards_are_there_for_tests_and_given_back(server: Server, suite: Suite) -> None:
    suite.write(TWO_KINDS)
    run = suite.run_on(server, "-rP")
    assert (run.code, run.counts) == (0, {"passed": 5})
    assert len(set(re.findall(r"shared \d+", run.said))) == 1
    assert listed(server) == []


@pytest.mark.parametrize("arguments", [("-n", "4"), ("--forked",), ("-n", "2", "--forked")])
def test_in_other_processes_too(
    simulated: SimulatedServer, suite: Suite, arguments: tuple[str, ...]
) -> None:
    suite.write(TWO_KINDS)
    run = suite.run_on(simulated, *arguments)
    assert (run.code, run.counts) == (0, {"passed": 5}), run.said
    assert listed(simulated) == []


@pytest.mark.parametrize("arguments", [(), ("-n", "4"), ("--forked",)])
def test_the_example_needs_no_hardware(arguments: tuple[str, ...], suite: Suite) -> None:
    # Away from this project's own settings, as it is tried elsewhere.
    shutil.copytree(ROOT / "docs" / "examples" / "pytest_suite", suite.folder, dirs_exist_ok=True)
    run = suite.run("--spalloc-simulate", *arguments)
    assert (run.code, run.counts) == (0, {"passed": 4}), run.said + run.complained


def test_all_workers_share_one_simulated_server(suite: Suite) -> None:
    suite.write(
        """
        @pytest.mark.parametrize("n", range(4))
        def test_where(spalloc_job, n, request):
            job = spalloc_job
            print("server", job._server.port, "job", job.id)
        """
    )
    run = suite.run("--spalloc-simulate", "-n", "2", "-rP")
    found = re.findall(r"server (\d+) job (\d+)", run.said)
    assert len({port for port, _ in found}) == 1
    assert len({job_id for _, job_id in found}) == 4


# ------------------------------------------------------------------- the mark


def test_what_a_mark_asks_for(simulated: SimulatedServer, suite: Suite) -> None:
    suite.write("")
    asked = {"boards=2": 3, "3": 3, "width=1, height=1": 3, "x=0, y=0, z=1": 1, "1, 1": 3}
    for number, (mark, boards) in enumerate(asked.items()):
        suite.add(
            f"""
            @pytest.mark.spalloc({mark})
            def test_{number}(spalloc_job):
                assert len(spalloc_job.boards) == {boards}
            """
        )
    assert suite.run_on(simulated).counts == {"passed": len(asked)}


def test_a_mark_may_say_how_it_is_to_be_checked(simulated: SimulatedServer, suite: Suite) -> None:
    suite.write(
        """
        @pytest.mark.spalloc(check=lambda job: job.boards != [[0, 0, 0]], keepalive=30.0)
        def test_it(spalloc_job):
            assert spalloc_job.boards != [[0, 0, 0]]
        """
    )
    assert suite.run_on(simulated).counts == {"passed": 1}


def test_the_number_of_boards_is_an_option(simulated: SimulatedServer, suite: Suite) -> None:
    suite.write(
        """
        def test_it(spalloc_job, spalloc_session_job):
            assert len(spalloc_job.boards) == len(spalloc_session_job.boards) == 3
        """
    )
    assert suite.run_on(simulated, "--spalloc-boards=3").counts == {"passed": 1}


WRONG_MARKS = {
    "board=3": "there is no board; there are",
    "width=3": "width do not go together",
    "boards=3, x=1": "boards, x do not go together",
    "3, boards=3": "the size is given twice",
    "resume_job_id=3": "there is no resume_job_id",
}


@pytest.mark.parametrize(
    ("arguments", "code"),
    # As pytest, and pytest-xdist, have it for whatever cannot be collected.
    [((), pytest.ExitCode.INTERRUPTED), (("-n", "2"), pytest.ExitCode.TESTS_FAILED)],
)
def test_marks_that_ask_for_nothing_there_is_are_each_told_once_and_no_test_is_run(
    suite: Suite, arguments: tuple[str, ...], code: int
) -> None:
    suite.write("def test_none(): ...")
    for number, mark in enumerate(WRONG_MARKS):
        suite.add(
            f"""
            @pytest.mark.parametrize("n", range(5))
            @pytest.mark.spalloc({mark})
            def test_{number}(spalloc_job, n): ...
            """
        )
    run = suite.run("--spalloc-simulate", *arguments)
    assert (run.code, run.counts) == (code, {"error": 1})
    for number, complaint in enumerate(WRONG_MARKS.values()):
        told = f"test_it.py::test_{number}[0]: @pytest.mark.spalloc: {complaint}"
        assert run.said.count(told) == 1
    assert "INTERNALERROR" not in run.said


# ------------------------------------------------------------------- no boards


def test_a_test_without_boards_in_time_is_skipped(make_server: MakeServer, suite: Suite) -> None:
    server = make_server(ONE_TRIAD)
    suite.write("@pytest.mark.spalloc(3)\ndef test_it(spalloc_job): ...\n")
    with job_of(server, 3):
        run = suite.run_on(server, "--spalloc-queue-timeout=0.2", "-rs")
    assert run.counts == {"skipped": 1}
    assert "no boards were free in time: job 2 was still queued after 0.2 s" in run.said


def test_no_server_is_asked_for_nothing(suite: Suite) -> None:
    suite.write("def test_none(): ...\n\ndef test_other(spalloc_job): ...\n")
    nowhere = ("--spalloc-hostname=127.0.0.1", "--spalloc-port=1", "--spalloc-owner=me")
    assert suite.run(*nowhere, "-k", "test_none").code == 0
    assert suite.run(*nowhere, "--collect-only").code == 0
    run = suite.run(*nowhere)
    assert run.counts == {"passed": 1, "error": 1}
    assert "127.0.0.1:1" in run.said


def test_two_servers_are_one_too_many(suite: Suite) -> None:
    run = suite.run("--spalloc-simulate", "--spalloc-hostname=example")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "--spalloc-hostname or --spalloc-simulate, not both" in run.complained


# ------------------------------------------------------------------- reports


@pytest.mark.parametrize("arguments", [(), ("-n", "2"), ("--forked",)])
def test_the_boards_are_in_the_junit_properties(
    simulated: SimulatedServer, suite: Suite, arguments: tuple[str, ...]
) -> None:
    suite.write(
        """
        def test_own(spalloc_job): ...
        def test_shared(spalloc_session_job): ...
        def test_again(spalloc_session_job): ...
        def test_none(): ...
        """
    )
    suite.run_on(simulated, "--junit-xml=junit.xml", *arguments)
    cases = ElementTree.parse(suite.folder / "junit.xml").iter("testcase")
    told = {
        case.get("name"): {one.get("name"): one.get("value") for one in case.iter("property")}
        for case in cases
    }
    assert told["test_none"] == {}
    for name in ("test_own", "test_shared", "test_again"):
        assert set(told[name]) == {
            "spalloc_job_id", "spalloc_machine", "spalloc_boards", "spalloc_hostname"
        }  # fmt: skip
        assert told[name]["spalloc_machine"] == "m"


def test_a_failed_test_tells_its_boards(server: Server, suite: Suite) -> None:
    suite.write("def test_it(spalloc_job):\n    assert False\n")
    run = suite.run_on(server)
    assert re.search(r"job 1, host name \S+, machine m, boards \(0,0,0\)", run.said)
    assert "is destroyed" not in run.said
    assert listed(server) == []


def test_a_job_that_was_taken_away_is_told_of(server: Server, suite: Suite) -> None:
    suite.write(
        """
        from spalloc_gevent import ProtocolClient

        def test_it(spalloc_job):
            where = spalloc_job._server
            with ProtocolClient(where.hostname, where.port) as client:
                client.destroy_job(spalloc_job.id, "the board is red")
            assert False
        """
    )
    assert "job 1 is destroyed: the board is red" in suite.run_on(server).said


def test_the_ledger_says_which_test_it_was(
    server: Server, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPALLOC_LEDGER", str(suite.folder / "ledger"))
    suite.write("def test_it(spalloc_job, spalloc_session_job): ...\n")
    suite.run_on(server)
    ledger = (suite.folder / "ledger").read_text()
    assert '"label": "test_it.py::test_it"' in ledger
    assert '"label": "the test session"' in ledger


# ------------------------------------------------------------------- the end


@pytest.mark.parametrize(
    "failing", ["assert False", "pytest.skip()", "raise SystemExit", "time.sleep(60)"]
)
def test_boards_are_given_back_whatever_happens(
    simulated: SimulatedServer, suite: Suite, failing: str
) -> None:
    suite.write(f"def test_it(spalloc_job):\n    {failing}\n")
    suite.run_on(simulated, "--timeout=0.5", "--timeout-method=signal")
    assert listed(simulated) == []


def test_ctrl_c_gives_all_back(simulated: SimulatedServer, suite: Suite) -> None:
    suite.write(
        """
        def test_it(spalloc_job, spalloc_session_job):
            time.sleep(60)
        """
    )
    with suite.start(*where(simulated)) as process:
        await_true(lambda: len(listed(simulated)) == 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert listed(simulated) == []
