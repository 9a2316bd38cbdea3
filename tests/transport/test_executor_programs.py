"""Programs with a ``SpallocExecutor``: however they are patched, forked and ended."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from spalloc_gevent.simulator import SimulatedServer
from tests.transport.programs import PATCHED, run

EXECUTOR = """
from concurrent import futures
from spalloc_gevent.batch import SpallocExecutor

def new_executor(**options):
    options = {"owner": "me", "config_filenames": [], **options}
    return SpallocExecutor(hostname=HOST, port=PORT, **options)

def number_of(job, *_):
    return job.id
"""


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer() as started:
        yield started


@pytest.mark.parametrize("workers", ["threads", "greenlets"])
@pytest.mark.parametrize("patched", list(PATCHED))
def test_it_works_however_the_program_is_patched(
    server: SimulatedServer, patched: str, workers: str
) -> None:
    before, after = PATCHED[patched]
    said = run(
        server,
        after
        + EXECUTOR
        + f"""
with new_executor(max_jobs=8, workers={workers!r}) as executor:
    print(len(set(executor.map(number_of, range(100)))))
    submitted = [executor.submit(number_of) for _ in range(100)]
    print(len(set(futures.as_completed(submitted))))
    print(len(futures.wait([executor.submit(number_of) for _ in range(100)]).done))
print(executor.counts)
""",
        first=before,
    )
    assert said == "100\n100\n100\n{'done': 300}\n"
    assert server.jobs == []


def test_threads_of_the_standard_library_are_workers_too(server: SimulatedServer) -> None:
    said = run(
        server,
        EXECUTOR
        + """
with futures.ThreadPoolExecutor(4) as pool, new_executor(workers=pool) as executor:
    print(len(set(executor.map(number_of, range(50)))))
""",
    )
    assert said == "50\n"


@pytest.mark.parametrize("patched", ["before the import", "after the import"])
def test_workers_that_are_greenlets_in_disguise_are_refused(
    server: SimulatedServer, patched: str
) -> None:
    before, after = PATCHED[patched]
    said = run(
        server,
        EXECUTOR
        + """
pool = futures.ThreadPoolExecutor(4)
try:
    executor = new_executor(workers=pool)
except ValueError as error:
    print(error)
else:
"""
        + textwrap.indent(after, "    ")
        + """
    with executor:
        print(executor.submit(number_of).exception())
""",
        first=before,
    )
    assert "monkey-patched" in said
    assert server.jobs == []


def test_a_program_that_ends_runs_first_what_it_has_submitted(server: SimulatedServer) -> None:
    said = run(
        server,
        EXECUTOR
        + """
import time
executor = new_executor(max_jobs=2, keepalive=0.5)

def task(job, n):
    # Longer than a keepalive: jobs are kept alive to the end.
    time.sleep(1.0)
    sys.stdout.write(f"{n} {job.state.name}\\n")

for n in range(3):
    executor.submit(task, n)
print("ends")
""",
    )
    first, *others = said.splitlines()
    assert first == "ends"
    assert sorted(others) == ["0 ready", "1 ready", "2 ready"]
    assert server.jobs == []


def test_a_forked_child_has_no_part_in_it(server: SimulatedServer) -> None:
    said = run(
        server,
        EXECUTOR
        + """
import os
with new_executor(reuse=True) as executor:
    job_id = executor.submit(number_of).result()
    child = os.fork()
    if child == 0:
        try:
            executor.submit(number_of)
        except Exception as error:
            print(type(error).__name__, flush=True)
        executor.shutdown()
        sys.exit()
    os.waitpid(child, 0)
    print(executor.submit(number_of).result() == job_id)
""",
    )
    assert said == "ForkedError\nTrue\n"
