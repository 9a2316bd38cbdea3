"""``import spalloc_client`` and ``import spalloc`` have the modules and names of both versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spalloc_gevent import JobState, ProtocolClient
from spalloc_gevent.compat.spalloc_config import SpallocConfig
from spalloc_gevent.config import ConfigWarning
from spalloc_gevent.simulator import Drop, SimulatedServer
from tests.transport.programs import PROMPT_S, ROOT
from tools import existing_client
from tools.real_server import RealServer

TERM = "ANSIDisplayAttributes Terminal render_cells render_definitions render_table"
SUPPORT = "Script Terminate version_verify VERSION_RANGE_START VERSION_RANGE_STOP"
MODULES = {
    "_version": "__version__",
    "config": "read_config SEARCH_PATH",
    "job": "Job JobDestroyedError StateChangeTimeoutError",
    "protocol_client": "ProtocolClient ProtocolError ProtocolTimeoutError SpallocServerException",
    "spalloc_config": "SpallocConfig SEARCH_PATH",
    "states": "JobState",
    "term": TERM,
    "scripts.alloc": "main",
    "scripts.job": "main",
    "scripts.machine": "main",
    "scripts.ps": "main",
    "scripts.support": SUPPORT,
    "scripts.where_is": "main",
}


@pytest.mark.parametrize("package", ["spalloc_client", "spalloc"])
def test_modules_are_found_in_every_way_to_import(package: str, tmp_path: Path) -> None:
    lines = ["import spalloc_gevent"]
    for module, names in MODULES.items():
        above, _, last = f"{package}.{module}".rpartition(".")
        lines += [f"from {above}.{last} import {', '.join(names.split())}"]
        lines += [f"import {above}.{last}", f"from {above} import {last} as found"]
        lines += [f"assert found is {above}.{last}"]
    lines += [f"assert {package} is spalloc_gevent"]
    lines += ["assert spalloc_gevent.job.__spec__.name == 'spalloc_gevent.job'"]
    program = tmp_path / "program.py"
    program.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "spalloc_gevent.compat", program],
        capture_output=True,
        text=True,
        timeout=PROMPT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_configuration_has_the_attributes_that_its_files_set(tmp_path: Path) -> None:
    path = tmp_path / "spalloc"
    path.write_text("[spalloc]\nhostname = there\ntags = one, two\nkeepalive = None\nodd = 1\n")
    with pytest.warns(ConfigWarning, match="odd"):
        config = SpallocConfig([str(path)])
    assert (config.hostname, list(config.tags or ()), config.keepalive) == (
        "there",
        ["one", "two"],
        None,
    )
    assert (SpallocConfig([]).port, SpallocConfig([]).owner) == (22244, None)


TEXTS = """
from {term} import ANSIDisplayAttributes, Terminal, render_cells, render_definitions, render_table
t = Terminal(force=True)
plain = Terminal(force=False)
print(repr([t.red("a"), t.bg_red_bright("b"), t.underscore_bg_blue(), plain.red("c")]))
print(repr([t.update("1"), t.update("2"), t.update("3", start_again=True), plain.update("4")]))
print(repr([t("x"), plain("x"), t.set_attrs([1, 31]), t.set_attrs(), t.wrap("m", "<", ">")]))
print(list(ANSIDisplayAttributes))
print(render_table([["Name", "Boards"], ["m", 24], [(t.red, "longer"), (t.dim, 3)], ["x"]]))
print(render_table([["a", "b"], [1, 2]], column_sep="|"), repr(render_table([])))
print(render_definitions({{"Key": "Value", "Something": "Else\\nthan", "n": 3}}))
print(render_cells([(3, "abc"), (5, t.red("defgh")), (1, "i")] * 9, width=40, col_spacing=3))
print(repr(render_cells([])), repr(render_definitions({{}})))
try:
    t.purple
except AttributeError:
    print("no such style")
"""


def test_texts_for_terminals_are_those_of_the_existing_client(tmp_path: Path) -> None:
    said = []
    for python, term in (
        (existing_client.python(), "spalloc_client.term"),
        (sys.executable, "spalloc_gevent.compat.term"),
    ):
        program = tmp_path / f"{term}.py"
        program.write_text(TEXTS.format(term=term))
        done = subprocess.run(
            [python, program], capture_output=True, text=True, timeout=PROMPT_S, check=True
        )
        said.append(done.stdout)
    assert said[1] == said[0]


LISTS_MACHINES = """
import argparse, sys
from spalloc_client.scripts.support import Script, Terminate

class Lists(Script):
    def get_parser(self, cfg):
        parser = argparse.ArgumentParser("lists", description=str(cfg.port))
        parser.add_argument("name")
        return parser

    def verify_arguments(self, args):
        if args.name == "odd":
            Terminate(7, "{} is {}", "this", args.name).exit()

    def body(self, client, args):
        if args.name not in [machine["name"] for machine in client.list_machines(args.timeout)]:
            raise Terminate(6, "No {}", args.name)
        print("there")

sys.exit(Lists()())
"""


@pytest.mark.parametrize(
    ("version", "name", "code", "out", "err"),
    [
        ("1!7.0.0", "m", 0, "there\n", ""),
        ("1!7.0.0", "n", 6, "", "No n\n"),
        ("1!7.0.0", "odd", 7, "", "this is odd\n"),
        ("99.0.0", "m", 2, "", "the version of the server is '99.0.0'"),
        (None, "m", 1, "", "Error communicating with server: "),
    ],
)
def test_command_made_of_a_script_ends_with_its_exit_codes(
    version: str | None, name: str, code: int, out: str, err: str, tmp_path: Path
) -> None:
    program = tmp_path / "lists.py"
    program.write_text(LISTS_MACHINES)
    faults = [Drop(times=None)] if version is None else []
    with SimulatedServer(version=version or "1!7.0.0", faults=faults) as server:
        address = (f"--hostname={server.host}", f"--port={server.port}")
        done = subprocess.run(
            [sys.executable, "-m", "spalloc_gevent.compat", program, name, *address],
            capture_output=True,
            text=True,
            timeout=PROMPT_S,
        )
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.startswith(err)
    assert done.stderr.count("\n") == bool(err)


SUITE_CONFTEST = """
import pytest
from spalloc_client import Job, ProtocolClient

@pytest.fixture
def job():
    with Job(1, owner="me") as job:
        yield job
"""

SUITE = """
import sys
import pytest
import spalloc
from spalloc_client.states import JobState

@pytest.mark.parametrize("number", range(12))
def test_board(job, number):
    assert job.state is JobState.ready
    assert spalloc is sys.modules["spalloc_gevent"]
"""


@pytest.mark.real_server
def test_suite_runs_on_this_client_in_forked_tests_of_four_workers(
    real_server: RealServer, tmp_path: Path
) -> None:
    tmp_path.joinpath("conftest.py").write_text(SUITE_CONFTEST)
    tmp_path.joinpath("test_it.py").write_text(SUITE)
    tmp_path.joinpath("pytest.ini").write_text("[pytest]\n")
    plugins = ["-pxdist", "-ppytest_forked", "-pspalloc_gevent.compat"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-pno:cacheprovider", *plugins, "-n4", "--forked"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT),
            "SPALLOC_HOSTNAME": real_server.host,
            "SPALLOC_PORT": str(real_server.port),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 12 passed" in done.stdout
    with ProtocolClient(real_server.host, real_server.port) as client:
        assert client.list_jobs() == []
        assert client.get_job_state(12)["state"] == JobState.destroyed
