"""The names that users import, and scripts of the existing client that run unchanged."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spalloc_gevent
from spalloc_gevent.simulator import SimulatedServer
from tools import existing_client

WITH_OURS = {**os.environ, "PYTHONPATH": str(Path(spalloc_gevent.__file__).parent.parent)}

PUBLIC = (
    "Job",
    "JobDestroyedError",
    "JobState",
    "ProtocolClient",
    "ProtocolError",
    "ProtocolTimeoutError",
    "SpallocServerException",
    "StateChangeTimeoutError",
    "install_as_spalloc",
    "__version__",
)
MODULES = {
    "job": ("Job", "JobDestroyedError", "StateChangeTimeoutError", "VERSION_RANGE_START"),
    "states": ("JobState",),
    "protocol_client": ("ProtocolClient", "ProtocolError", "ProtocolTimeoutError"),
    "config": ("read_config", "SEARCH_PATH"),
    "scripts.alloc": ("main",),
    "scripts.ps": ("main",),
    "scripts.job": ("main",),
    "scripts.machine": ("main",),
    "scripts.where_is": ("main",),
}

SCRIPT = """
import sys
{first_lines}
from spalloc_client import Job, JobDestroyedError, JobState, ProtocolClient
from spalloc_client.states import JobState as SameState

host, port = sys.argv[1], int(sys.argv[2])
server = dict(hostname=host, port=port, owner="me", config_filenames=[])
with Job(3, **server) as j:
    print(j.state, j.power, j.width, j.height, sorted(j.connections), j.hostname)
    print(j.machine_name, sorted(map(tuple, j.boards)), j.reason, tuple(j.where_is_machine(4, 8)))
    j.set_power(False)
    j.wait_until_ready()
    print(j.state is JobState.ready, j.power)
job = Job(2, 1, keepalive=None, **server)
print(job.wait_for_state_change(SameState.queued, timeout=10) != JobState.queued)
with ProtocolClient(host, port) as c:
    c.notify_job(job.id)
    c.destroy_job(job.id, "enough")
    print(c.wait_for_notification(timeout=10))
    print(c.get_job_state(job.id)["reason"], c.get_job_machine_info(job.id)["width"])
    print([m["name"] for m in c.list_machines()], c.list_jobs())
    print(c.where_is(machine="m", x=0, y=0, z=0))
    print(c.wait_for_notification(timeout=-1) in (None, {{"jobs_changed": [job.id]}}))
try:
    job.wait_until_ready()
except JobDestroyedError as error:
    print("enough" in str(error))
job.close()
"""


def test_every_public_name_is_there() -> None:
    assert {name for name in PUBLIC if not hasattr(spalloc_gevent, name)} == set()
    assert set(PUBLIC) <= set(dir(spalloc_gevent))


def test_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Jobb'"):
        spalloc_gevent.Jobb  # noqa: B018


@pytest.mark.parametrize(("module", "names"), MODULES.items())
def test_modules_of_the_existing_client_have_their_names(module: str, names: list[str]) -> None:
    found = importlib.import_module(f"spalloc_gevent.{module}")
    assert [name for name in names if not hasattr(found, name)] == []


def run(interpreter: str | Path, script: Path, server: SimulatedServer) -> str:
    ended = subprocess.run(
        [interpreter, script, server.host, str(server.port)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=WITH_OURS,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_script_of_the_existing_client_prints_the_same_on_this_one(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.py", tmp_path / "theirs.py"
    install = "import spalloc_gevent; spalloc_gevent.install_as_spalloc()"
    ours.write_text(SCRIPT.format(first_lines=install))
    theirs.write_text(SCRIPT.format(first_lines=""))
    with SimulatedServer(version=existing_client.UNDERSTOOD_VERSION) as server:
        expected = run(existing_client.python(), theirs, server)
    with SimulatedServer(version=existing_client.UNDERSTOOD_VERSION) as server:
        assert run(sys.executable, ours, server) == expected


def test_both_old_names_mean_this_package_after_installing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import spalloc_gevent; spalloc_gevent.install_as_spalloc()\n"
        "import spalloc, spalloc_client, spalloc.scripts.alloc\n"
        "assert spalloc is spalloc_client is spalloc_gevent\n"
        "from spalloc.job import Job\n"
        "assert Job is spalloc_gevent.Job\n"
    )
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=WITH_OURS
    )
    assert (ended.returncode, ended.stderr) == (0, "")
